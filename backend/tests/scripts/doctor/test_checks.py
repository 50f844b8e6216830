"""What the doctor finds, in health and in sickness."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import asyncpg
import pytest

from backend import __version__
from backend.embedded.postgres import EmbeddedPostgres
from backend.scripts.doctor.check import Check
from backend.scripts.doctor.database import database_checks
from backend.scripts.doctor.machine import folder_check, folder_checks, python_check
from backend.scripts.doctor.provider import provider_checks
from backend.scripts.doctor.server import server_checks
from backend.settings import Settings
from backend.stores.roles import Logins
from backend.stores.schema import bring_up_to_date, create_database
from backend.tests.protocol_servers.openai_server import OpenAIServer

DATABASE = "numen_doctor_tests"


async def found(checks: AsyncIterator[Check]) -> dict[str, tuple[str, str]]:
    return {one.name: (one.status, one.found) async for one in checks}


def settings(**values: Any) -> Settings:
    return Settings.model_validate(values)


def inside(folder: Path) -> list[Path]:
    return list(folder.iterdir())


# --- the machine ---


def test_this_python_is_new_enough() -> None:
    assert python_check().status == "ok"


def test_folders_that_can_be_written_or_made_are_fine(data_folder: Path) -> None:
    checks = list(folder_checks(settings(data_dir=data_folder, prompts_dir=data_folder / "a" / "b")))
    assert [(one.name, one.status) for one in checks] == [("data folder", "ok"), ("mirror folder", "ok")]
    assert "GB free" in checks[0].found
    assert "it is made when it is needed" in checks[1].found
    assert not (data_folder / "a").exists()


def test_a_file_where_a_folder_should_be_is_told(data_folder: Path) -> None:
    (data_folder / "file").touch()
    check = folder_check("data folder", data_folder / "file" / "below", "NUMEN_DATA_DIR")
    assert (check.status, check.found) == ("fail", f"{data_folder / 'file'} is no folder")
    assert "NUMEN_DATA_DIR" in check.advice


def test_an_external_database_needs_no_data_folder(data_folder: Path) -> None:
    external = settings(database_url="postgresql://u@127.0.0.1/x", prompts_dir=data_folder)
    assert [one.name for one in folder_checks(external)] == ["mirror folder"]


# --- the database ---


@pytest.fixture
async def external(postgres_server: EmbeddedPostgres) -> AsyncGenerator[Settings]:
    """A deployment over an empty database of its own."""
    await create_database(postgres_server.dsn(), DATABASE)
    yield settings(database_url=postgres_server.dsn(DATABASE))
    connection = await asyncpg.connect(postgres_server.dsn())
    await connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
    await connection.close()


async def test_a_database_without_migrations_is_told_and_left_alone(external: Settings) -> None:
    for _ in range(2):
        told = await found(database_checks(external))
        assert told["database"][0] == "ok"
        assert told["database"][1].startswith("PostgreSQL ")
        assert told["migrations"] == ("fail", "not applied: 0001_foundation, 0002_memory, 0003_agents_that_work")
        assert "walls" not in told


async def test_a_database_in_health(external: Settings, postgres_server: EmbeddedPostgres) -> None:
    await bring_up_to_date(Logins.derived(postgres_server.dsn(DATABASE)))
    told = await found(database_checks(external))
    assert [status for status, _ in told.values()] == ["ok", "ok", "ok"]


async def test_a_gap_in_the_wall_is_told(external: Settings, postgres_server: EmbeddedPostgres) -> None:
    await bring_up_to_date(Logins.derived(postgres_server.dsn(DATABASE)))
    connection = await asyncpg.connect(postgres_server.dsn(DATABASE))
    await connection.execute("ALTER TABLE threads NO FORCE ROW LEVEL SECURITY")
    await connection.close()
    status, said = (await found(database_checks(external)))["walls"]
    assert status == "fail"
    assert "threads" in said


async def test_an_edited_migration_is_told(external: Settings, postgres_server: EmbeddedPostgres) -> None:
    await bring_up_to_date(Logins.derived(postgres_server.dsn(DATABASE)))
    connection = await asyncpg.connect(postgres_server.dsn(DATABASE))
    await connection.execute("UPDATE schema_migrations SET checksum = 'another'")
    await connection.close()
    told = await found(database_checks(external))
    assert told["database"] == (
        "fail", "The migration 0001_foundation was changed after it ran. Restore the file and write a new one."
    )  # fmt: skip


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("postgresql://u:hidden@127.0.0.1:1/x", "PostgreSQL at 127.0.0.1:1 does not answer"),
        ("mysql://u:hidden@127.0.0.1/x", "The database URL must look like postgresql://"),
        ("postgresql://u:hidden@127.0.0.1:port/x", "DATABASE_URL cannot be read"),
    ],
)
async def test_an_address_that_does_not_work_is_told_without_its_password(url: str, complaint: str) -> None:
    status, said = (await found(database_checks(settings(database_url=url))))["database"]
    assert status == "fail"
    assert said.startswith(complaint)
    assert "hidden" not in said


async def test_a_database_that_is_not_there_is_told(postgres_server: EmbeddedPostgres) -> None:
    told = await found(database_checks(settings(database_url=postgres_server.dsn("no_such_database"))))
    assert told["database"][0] == "fail"
    assert 'database "no_such_database" does not exist' in told["database"][1]


async def test_an_embedded_database_is_not_made_by_looking(data_folder: Path) -> None:
    told = await found(database_checks(settings(data_dir=data_folder / "data")))
    assert told == {"database": ("warn", "there is none yet")}
    assert inside(data_folder) == []


# --- the server ---


@asynccontextmanager
async def answering(answers: Callable[[str], tuple[int, Any]]) -> AsyncGenerator[str]:
    """The address of a small server that answers a path with a status and a document."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, document = answers(self.path)
            if document is None:
                return  # it hangs up
            body = document.encode() if isinstance(document, str) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def numen(status: int, version: str = __version__, **dependencies: Any) -> Callable[[str], tuple[int, Any]]:
    documents = {
        "/readyz": (status, {"dependencies": dependencies}),
        "/openapi.json": (200, {"info": {"version": version}}),
    }
    return lambda path: documents[path]


async def test_a_server_in_health() -> None:
    healthy = numen(200, database={"status": "ok"}, mirror={"status": "ok", "detail": "0 waiting"})
    async with answering(healthy) as url:
        assert await found(server_checks(url)) == {
            "server": ("ok", f"ready at {url}"),
            "release": ("ok", __version__),
            "mirror": ("ok", "0 waiting"),
        }


@pytest.mark.parametrize(("status", "verdict"), [("ok", "ok"), ("late", "warn"), ("down", "warn")])
async def test_an_index_that_lags_or_is_away_is_a_warning(status: str, verdict: str) -> None:
    degraded = numen(200, database={"status": "ok"}, index={"status": status, "detail": "7 waiting"})
    async with answering(degraded) as url:
        told = await found(server_checks(url))
    assert (told["server"][0], told["index"]) == ("ok", (verdict, "7 waiting"))


async def test_a_server_that_is_not_ready_or_lags_or_is_old() -> None:
    sick = numen(
        503, "0.0.9", database={"status": "down", "detail": "gone"}, mirror={"status": "late", "detail": "9 waiting"}
    )
    async with answering(sick) as url:
        assert await found(server_checks(url)) == {
            "server": ("fail", "not ready: database (gone)"),
            "release": ("warn", f"the server is 0.0.9, this command {__version__}"),
            "mirror": ("warn", "9 waiting"),
        }


async def test_a_server_that_does_not_say_its_release_is_a_warning() -> None:
    healthy = numen(200, database={"status": "ok"})
    async with answering(lambda path: (200, None) if path == "/openapi.json" else healthy(path)) as url:
        assert await found(server_checks(url)) == {
            "server": ("ok", f"ready at {url}"),
            "release": ("warn", "the server does not say which it is (RemoteProtocolError)"),
        }


@pytest.mark.parametrize("document", ["<html>", [], {"hello": "world"}])
async def test_another_program_at_the_address_is_told(document: Any) -> None:
    async with answering(lambda _: (200, document)) as url:
        assert await found(server_checks(url)) == {"server": ("fail", f"{url} does not answer like Numen")}


async def test_nobody_at_the_address_is_told() -> None:
    told = await found(server_checks("http://127.0.0.1:1"))
    assert told == {"server": ("fail", "nothing answers at http://127.0.0.1:1 (ConnectError)")}


# --- the provider ---


async def test_without_a_model_the_doctor_says_so() -> None:
    told = await found(provider_checks(settings(llm_provider="offline")))
    assert told == {"models": ("warn", "the built-in offline provider, which answers by rule")}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-6-luna", {}),
        ("gpt-4o-mini", {"fallback model": ("warn", "gpt-4o-mini ends on 2027-01-14")}),
        ("gpt-2", {"fallback model": ("warn", "gpt-2, which replaces retired models, is not among them")}),
    ],
)
async def test_a_provider_that_answers(openai_server: OpenAIServer, model: str, expected: dict[str, Any]) -> None:
    ours = settings(openai_base_url=openai_server.base_url, llm_model=model)
    told = await found(provider_checks(ours))
    assert told.pop("models") == ("ok", f"{openai_server.base_url} lists 2 models")
    assert told == expected
    assert openai_server.calls == []


async def test_a_provider_that_does_not_answer(openai_server: OpenAIServer) -> None:
    openai_server.fault("dead")
    told = await found(provider_checks(settings(openai_base_url=openai_server.base_url)))
    assert told == {"models": ("fail", f"{openai_server.base_url} does not list its models")}


async def test_a_provider_with_a_taken_name() -> None:
    told = await found(provider_checks(settings(llm_providers={"openai": {"base_url": "http://127.0.0.1:1"}})))
    assert told["models"][0] == "fail"
