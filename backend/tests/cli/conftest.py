"""The command in this process, which is faster than a process of its own and says as much."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from backend.cli.__main__ import app
from backend.tests.fixtures_api import Api, Person
from backend.tests.fixtures_server import NumenServer, Said


class Numen:
    """`numen(...)` runs the command against a server, in an empty folder, and returns what it said."""

    def __init__(self, url: str, folder: Path, key: str | None = None) -> None:
        self.url = url
        self.folder = folder
        self._key = key

    def __call__(self, *arguments: str, typed: str = "", **settings: str | None) -> Said:
        ours = {name: None for name in os.environ if name.startswith(("NUMEN_", "OPENAI_", "DATABASE_"))}
        environment = {**ours, "NUMEN_URL": self.url, "NUMEN_API_KEY": self._key, **settings}
        done = CliRunner().invoke(app, list(arguments), input=typed, env=environment)
        return Said(done.exit_code, done.stdout, done.stderr)

    def ok(self, *arguments: str, typed: str = "", **settings: str | None) -> str:
        """What a command wrote that must succeed."""
        said = self(*arguments, typed=typed, **settings)
        assert said.status == 0, said
        return said.out

    def json(self, *arguments: str) -> Any:
        """The document that a command wrote."""
        return json.loads(self.ok(*arguments))

    def write(self, name: str, document: Any) -> str:
        """A JSON file; its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document), "utf-8")
        return str(path)


class Operator:
    """Somebody with a key for the application that this event loop serves: the command runs in a thread beside it."""

    def __init__(self, numen: Numen, person: Person) -> None:
        self.numen = numen
        self.person = person

    async def __call__(self, *arguments: str, typed: str = "") -> Said:
        return await asyncio.to_thread(self.numen, *arguments, typed=typed)

    async def ok(self, *arguments: str, typed: str = "") -> str:
        """What a command wrote that must succeed."""
        return await asyncio.to_thread(self.numen.ok, *arguments, typed=typed)


@pytest.fixture
def numen(running_server: NumenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Numen:
    """The command against the session's server."""
    monkeypatch.chdir(tmp_path)
    return Numen(running_server.url, tmp_path)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Numen:
    """The command where nothing answers."""
    monkeypatch.chdir(tmp_path)
    return Numen("http://127.0.0.1:1", tmp_path)


@pytest.fixture
async def operator(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    """The owner of a new tenant, which is empty."""
    monkeypatch.chdir(tmp_path)
    person = await api.owner()
    return Operator(Numen(api.url, tmp_path, person.key), person)
