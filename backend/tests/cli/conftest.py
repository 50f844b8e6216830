"""The command in this process, which is faster than a process of its own and says as much."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from backend.cli.__main__ import app
from backend.tests.fixtures_server import NumenServer, Said


class Numen:
    """`numen(...)` runs the command against a server, in an empty folder, and returns what it said."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder

    def __call__(self, *arguments: str, typed: str = "", **settings: str | None) -> Said:
        ours = {name: None for name in os.environ if name.startswith(("NUMEN_", "OPENAI_", "DATABASE_"))}
        environment = {**ours, "NUMEN_URL": self.url, **settings}
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
        path.write_text(json.dumps(document), "utf-8")
        return str(path)


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
