"""The shape of the house, held by a machine: layers, sizes, errors, addresses, and a tenant in every query."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar, cast

import pytest

from backend.stores.queries import load

Node = TypeVar("Node", bound=ast.AST)

ROOT = Path(__file__).parents[2]
BACKEND = ROOT / "backend"
SQL = BACKEND / "stores" / "sql"
SOURCES = sorted([*BACKEND.rglob("*.py"), *(ROOT / "examples").rglob("*.py")])
PRODUCT = [path for path in SOURCES if BACKEND / "tests" not in path.parents]

LONGEST_FUNCTION = 50
LONGEST_FILE = 400

# Where anything at all may arrive and must be answered for: a request, a WebSocket, a background task.
SEAMS = {
    "backend/routers/problems.py",
    "backend/routers/request_context.py",
    "backend/routers/voice_socket.py",
    "backend/services/janitor.py",
    "backend/services/outbox_relay.py",
    "backend/services/run_driver.py",
    "backend/services/scheduler.py",
}
# Starlette raises it for unknown routes and wrong methods; here it becomes a problem like any other.
MAY_NAME_HTTP_EXCEPTION = {"backend/routers/problems.py"}

# They run as the worker's role, whose policies let it see all tenants in exactly these tables.
ACROSS_TENANTS = {
    "worker.claim_deliveries",
    "worker.delivered",
    "worker.postpone",
    "worker.waiting",
    "worker.release_deliveries",
    "worker.agent_versions_now",
    "worker.orphaned_runs",
    "worker.release_requests",
    "worker.forget_requests",
    "worker.schedule_reindex",
    "worker.hasten",
    "worker.known_memories",
    "worker.due_schedules",
}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def by_kind(path: Path) -> dict[type[ast.AST], list[ast.AST]]:
    found: dict[type[ast.AST], list[ast.AST]] = {}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        found.setdefault(type(node), []).append(node)
    return found


def nodes(paths: list[Path], *kinds: type[Node]) -> Iterator[tuple[str, Node]]:
    """What stands in these files of these kinds, and in which; each file is walked once for all tests."""
    for path in paths:
        found = by_kind(path)
        for kind in kinds:
            for node in found.get(kind, ()):
                yield named(path), cast("Node", node)


# --- layers ---

PLANTED = {
    "routers/planted.py": ("import asyncpg", "Routers speak HTTP and nothing else"),
    "models/planted.py": ("import fastapi", "Models are pure"),
    "graphs/planted.py": ("import openai", "Services and graphs know no web framework, no driver, no vendor"),
    "services/planted.py": ("import backend.gateways.planted", "Only the composition root names a gateway"),
    "gateways/planted.py": ("import backend.settings", "Only the composition root and entry points read settings"),
    "stores/planted.py": ("import backend.services.planted", "A request walks down the house"),
    "utils.py": ("", "A request walks down the house"),
    "cli/planted/one.py": ("import backend.cli.planted_too.other", "No cycles between siblings"),
    "cli/planted_too/other.py": ("import backend.cli.planted.one", "No cycles between siblings"),
}
CYCLE = ".planted_too -> .planted"


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports; "
    code += "sys.exit(lint_imports(config_filename='pyproject.toml', no_cache=True, no_logo=True))"
    return subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)


def test_every_import_goes_down() -> None:
    said = lint_imports(ROOT)
    assert said.returncode == 0, said.stdout + said.stderr


def test_planted_faults_are_named(tmp_path: Path) -> None:
    shutil.copytree(
        BACKEND, tmp_path / "backend", ignore=shutil.ignore_patterns("tests", "__pycache__", "*.sql", "*.json")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name, (fault, _) in {**PLANTED, "tests/planted.py": ("", "")}.items():
        planted = tmp_path / "backend" / name
        planted.parent.mkdir(exist_ok=True)
        planted.write_text(f"{fault}\n")
        (planted.parent / "__init__.py").touch()
    said = lint_imports(tmp_path)
    assert said.returncode == 1, said.stderr
    for name, (_, contract) in PLANTED.items():
        assert f"{contract} BROKEN" in said.stdout
        module = name.removesuffix(".py").replace("/", ".")
        words = CYCLE if module.startswith("cli.") else f"backend.{module}"
        assert words in said.stdout, f"{module} is not named"


# --- sizes ---


def test_functions_are_short() -> None:
    long = [
        f"{where}:{node.lineno} {node.name}"
        for where, node in nodes(SOURCES, ast.FunctionDef, ast.AsyncFunctionDef)
        if (node.end_lineno or node.lineno) - node.lineno >= LONGEST_FUNCTION
    ]
    assert not long, long


def test_files_are_short() -> None:
    long = [named(path) for path in SOURCES if len(path.read_text("utf-8").splitlines()) > LONGEST_FILE]
    assert not long, long


def test_drawers_for_everything_do_not_come_back() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "core", "misc"}
    found = [named(path) for path in SOURCES if drawers & {path.stem, *(part.name for part in path.parents)}]
    assert not found, found


# --- errors ---


def swallows_everything(node: ast.ExceptHandler) -> bool:
    """Whether a handler takes any exception and does not end by raising that very one again, after cleaning up."""
    if isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None:
        return False
    caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    names = {one.id if isinstance(one, ast.Name) else None if one is None else "" for one in caught}
    return bool(names & {None, "Exception", "BaseException"})


def test_everything_is_caught_at_the_seams_only() -> None:
    found = {where for where, node in nodes(PRODUCT, ast.ExceptHandler) if swallows_everything(node)}
    assert found <= SEAMS, found - SEAMS


def test_nobody_raises_http_exceptions() -> None:
    found = {
        where
        for where, node in nodes(PRODUCT, ast.Name, ast.ImportFrom)
        if (isinstance(node, ast.Name) and node.id == "HTTPException")
        or (isinstance(node, ast.ImportFrom) and "HTTPException" in {one.name for one in node.names})
    }
    assert found <= MAY_NAME_HTTP_EXCEPTION, found
    raised = [
        where
        for where, node in nodes(PRODUCT, ast.Raise)
        if node.exc is not None and "HTTPException" in ast.unparse(node.exc)
    ]
    assert not raised, raised


def test_nothing_is_global() -> None:
    found = {where for where, _ in nodes(PRODUCT, ast.Global)}
    assert not found, found


def test_tests_use_fakes() -> None:
    mocks = {"unittest.mock", "mock", "pytest_mock"}
    found = [
        f"{where}:{node.lineno}"
        for where, node in nodes(SOURCES, ast.Import, ast.ImportFrom, ast.Attribute)
        if (isinstance(node, ast.ImportFrom) and node.module in mocks)
        or (isinstance(node, ast.Import) and mocks & {one.name for one in node.names})
        or (
            isinstance(node, ast.Attribute)
            and node.attr in {"setattr", "skip"}
            and ast.unparse(node) in {"monkeypatch.setattr", "pytest.skip", "pytest.mark.skip"}
        )
    ]
    assert not found, found


# --- addresses ---

# Split, so that this file does not find itself.
INDEXES = r"pypi\.o" + r"rg|pythonhosted\.o" + r"rg|npmjs\.o" + r"rg|://[^/\s]+/simp" + r"le\b"
PLACES = {
    "a path of somebody's machine": r"(?<![\w.~-])/(?:root|home|Users|wor" + r"k)/\w",
    "the address of a package index": INDEXES,
    "a local file as an address": r"file:/" + r"//(?:opt|tmp|var|srv|mnt)",
}


def committed_files() -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        found = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:  # a copy without its history
        hidden = re.compile(r"/\.(?!ci/|env\.example|gitignore|dockerignore)|__pycache__")
        found = [path for path in ROOT.rglob("*") if not hidden.search(f"/{named(path)}")]
    return [path for path in found if path.is_file()]


@pytest.mark.parametrize("what", PLACES)
def test_no_file_depends_on_where_it_was_written(what: str) -> None:
    pattern = re.compile(PLACES[what].encode())
    found = [named(path) for path in committed_files() if pattern.search(path.read_bytes())]
    assert not found, f"{what} in {found}"


# --- ways out ---

HTTP_CLIENTS = {
    "httpx", "httpx2", "aiohttp", "requests", "urllib3", "urllib.request", "elevenlabs", "deepgram", "http.client",
    "websockets", "mcp",
}  # fmt: skip
# Where a tenant's address goes, it goes through `guarded_transport`. The others call what the operator named.
MAY_CALL_OUT = {
    "backend/embedded/qdrant.py": {"httpx"},
    "backend/gateways/deepgram_live.py": {"deepgram"},
    "backend/gateways/deepgram_speech.py": {"deepgram"},
    "backend/gateways/elevenlabs_voice.py": {"elevenlabs"},
    "backend/gateways/guarded_bytes.py": {"httpx2"},
    "backend/gateways/guarded_transport.py": {"httpx2"},
    "backend/gateways/httpx_over_httpx2.py": {"httpx", "httpx2"},
    "backend/gateways/jwt_tokens.py": {"httpx2"},
    "backend/gateways/mcp_exchange.py": {"mcp"},
    "backend/gateways/mcp_replies.py": {"mcp"},
    "backend/gateways/mcp_session.py": {"httpx2", "mcp"},
    "backend/gateways/model_fault.py": {"aiohttp", "httpx2"},
    "backend/gateways/openai_client.py": {"httpx2"},
    "backend/gateways/speech_client.py": {"httpx", "httpx2"},
    "backend/gateways/speech_fault.py": {"httpx"},
    "backend/gateways/speech_socket.py": {"websockets"},
}
# Without the operator's programs, which may call what they like.
SERVER = [
    path
    for path in PRODUCT
    if BACKEND in path.parents and not {BACKEND / "cli", BACKEND / "scripts"} & set(path.parents)
]
# They start a process, or connect without asking the guard.
AROUND_THE_GUARD = {
    "stdio_client", "StdioServerParameters", "sse_client", "websocket_client", "create_mcp_http_client", "urlopen",
    "ClientSessionGroup",
}  # fmt: skip


def http_clients(node: ast.AST) -> set[str]:
    """Which of the HTTP clients a statement imports."""
    if isinstance(node, ast.Import):
        names = [one.name for one in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = [node.module or "", *(f"{node.module}.{one.name}" for one in node.names)]
    else:
        return set()
    return {client for client in HTTP_CLIENTS for name in names if f"{name}.".startswith(f"{client}.")}


def test_the_server_calls_out_from_known_places_only() -> None:
    found: dict[str, set[str]] = {}
    for where, node in nodes(SERVER, ast.Import, ast.ImportFrom):
        if clients := http_clients(node):
            found.setdefault(where, set()).update(clients)
    assert found == MAY_CALL_OUT


@pytest.mark.parametrize(
    ("statement", "client"),
    [
        ("import httpx", "httpx"),
        ("import urllib.request as web", "urllib.request"),
        ("from urllib import request", "urllib.request"),
        ("from mcp.client.sse import sse_client", "mcp"),
        ("import httpx2._client", "httpx2"),
    ],
)
def test_a_new_way_out_is_noticed(statement: str, client: str) -> None:
    assert http_clients(ast.parse(statement).body[0]) == {client}


def test_nothing_goes_around_the_guard() -> None:
    found = [
        f"{where}:{node.lineno}"
        for where, node in nodes(SERVER, ast.Name, ast.Attribute, ast.alias)
        if (isinstance(node, ast.Name) and node.id in AROUND_THE_GUARD)
        or (isinstance(node, ast.Attribute) and node.attr in AROUND_THE_GUARD)
        or (isinstance(node, ast.alias) and node.name in AROUND_THE_GUARD)
    ]
    assert not found, found
    session = ast.parse((BACKEND / "gateways" / "mcp_session.py").read_text("utf-8"))
    made = [
        node for node in ast.walk(session) if isinstance(node, ast.Call) and "AsyncClient" in ast.unparse(node.func)
    ]
    (client,) = made
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in client.keywords}
    assert (given["transport"], given["trust_env"]) == ("way", "False")


# --- tenants ---


def tenant_tables() -> set[str]:
    schema = "".join(path.read_text("utf-8") for path in sorted((BACKEND / "stores" / "migrations").glob("*.sql")))
    tables = re.findall(r"^CREATE TABLE (\w+) \((.*?)^\)", schema, re.MULTILINE | re.DOTALL)
    return {name for name, columns in tables if re.search(r"\btenant_id\b", columns)}


def statements(sql: str) -> Iterator[str]:
    """Every statement of a query by itself, subqueries and common table expressions apart from what they stand in."""
    sql = re.sub(r"--[^\n]*|'(?:[^']|'')*'", "", sql)
    innermost = re.compile(r"\(([^()]*)\)")
    while found := innermost.search(sql):
        inner = found.group(1)
        if re.match(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH)\b", inner):
            yield inner
            inner = ""
        sql = f"{sql[: found.start()]}[{inner}]{sql[found.end() :]}"
    yield sql


def conditions(statement: str) -> str:
    """What decides which rows are touched: the statement without what it gives back."""
    return re.sub(r"\bSELECT\b.*?(?=\bFROM\b)|\bRETURNING\b.*", "", statement, flags=re.DOTALL)


def forgets_the_tenant(sql: str, tables: set[str]) -> bool:
    named_table = re.compile(rf"\b(?:FROM|JOIN|INTO|UPDATE|,)\s+(?:{'|'.join(sorted(tables))})\b")
    return any(
        len(named_table.findall(one)) > len(re.findall(r"\btenant_id\b", conditions(one))) for one in statements(sql)
    )


def all_queries() -> dict[str, str]:
    return {f"{path.stem}.{name}": sql for path in sorted(SQL.glob("*.sql")) for name, sql in load(path.stem).items()}


def test_every_query_names_the_tenant() -> None:
    tables = tenant_tables()
    assert {"agents", "threads", "thread_messages", "users"} <= tables
    forgetful = {name for name, sql in all_queries().items() if forgets_the_tenant(sql, tables)}
    assert forgetful == ACROSS_TENANTS


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM agents WHERE id = $1",
        "SELECT tenant_id, id FROM agents WHERE id = $1",
        "UPDATE agents SET name = $2 WHERE id = $1 RETURNING tenant_id",
        "SELECT a.id FROM agents a JOIN threads t ON t.agent_id = a.id WHERE a.tenant_id = $1",
        "SELECT id, (SELECT count(*) FROM threads) FROM agents WHERE tenant_id = $1",
        "WITH gone AS (DELETE FROM threads WHERE id = $1) SELECT 1 FROM agents WHERE tenant_id = $2",
        "UPDATE agents SET name = 'tenant_id' WHERE id = $1 -- tenant_id",
        "INSERT INTO threads (id) VALUES ($1)",
    ],
)
def test_a_forgotten_tenant_is_noticed(sql: str) -> None:
    assert forgets_the_tenant(sql, {"agents", "threads"})


def test_no_query_is_written_in_python() -> None:
    outside = re.compile(r"\b(?:SELECT\b.+\bFROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM)\b", re.DOTALL)
    found = [
        f"{where}:{node.lineno}"
        for where, node in nodes([path for path in PRODUCT if BACKEND / "stores" not in path.parents], ast.Constant)
        if isinstance(node.value, str) and outside.search(node.value)
    ]
    assert not found, found
