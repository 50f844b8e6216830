"""Fixtures for everything that uses Numen as people do: the real command, and a real server in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from backend.tests.protocol_servers.openai_server import OpenAIServer
from backend.tests.temporary_folder import temporary_folder

ROOT = Path(__file__).parents[2]
_ANNOUNCED = re.compile(r"Numen is at (http://\S+)")
_SCRUBBED = ("NUMEN_", "OPENAI_", "DATABASE_", "ELEVENLABS_", "DEEPGRAM_")
_PATIENCE = 60


def clean_environment(**settings: str) -> dict[str, str]:
    """This process's environment without any setting of Numen but these; `backend` can be imported from anywhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SCRUBBED)}
    return {**kept, "PYTHONPATH": str(ROOT), **settings}


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended."""

    status: int
    out: str
    err: str


class NumenServer:
    """`numen serve` in a process of its own, with a data folder of its own, on a free port."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.prompts = folder / "prompts"
        own = {"NUMEN_DATA_DIR": str(folder / "data"), "NUMEN_PROMPTS_DIR": str(self.prompts), "NUMEN_PORT": "0"}
        self._settings = {**own, **settings}
        self._make_command(folder / "bin")
        with (folder / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "backend.cli", "serve"],
                cwd=folder,
                env=clean_environment(**self._settings),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.announced = ""
        self.url = self._wait_for_address()
        self._settings["NUMEN_URL"] = self.url
        # Nobody may stop the server by not reading what it says.
        self._reader = threading.Thread(target=self._read_on)
        self._reader.start()

    @property
    def process(self) -> psutil.Process:
        """The server's process, to be looked at."""
        return psutil.Process(self._process.pid)

    @property
    def log(self) -> str:
        """What the server has logged."""
        return (self.folder / "server.log").read_text("utf-8")

    def environment(self, **settings: str) -> dict[str, str]:
        """What a person's shell has who works with this server; `numen` is on the path."""
        path = f"{self.folder / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return clean_environment(**{**self._settings, "PATH": path, **settings})

    def run(self, command: Sequence[str], *, typed: str = "", settings: Mapping[str, str] | None = None) -> Said:
        """Run a program to its end in the server's folder, with `typed` as its standard input."""
        environment = self.environment(**(settings or {}))
        done = subprocess.run(
            command, cwd=self.folder, env=environment, input=typed, capture_output=True, text=True,
            timeout=_PATIENCE, check=False,
        )  # fmt: skip
        return Said(done.returncode, done.stdout, done.stderr)

    def numen(self, *arguments: str, typed: str = "", settings: Mapping[str, str] | None = None) -> Said:
        """Run the command."""
        return self.run([sys.executable, "-m", "backend.cli", *arguments], typed=typed, settings=settings)

    def mirrored(self, agent_id: str) -> Path:
        """The agent's contract in its file, which the server writes soon after the answer."""
        path = self.prompts / agent_id / "agent_specific_prompt.json"
        give_up = time.monotonic() + _PATIENCE
        while not path.exists():
            assert time.monotonic() < give_up, f"{path} is not written"
            time.sleep(0.02)
        return path

    def wait_until_announced(self, word: str) -> str:
        """What the server has said by the time it says this."""
        give_up = time.monotonic() + _PATIENCE
        while word not in self.announced:
            assert time.monotonic() < give_up, f"{word} is not announced: {self.announced}"
            time.sleep(0.01)
        return self.announced

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        """Ctrl-C; the exit status. Whatever the server started must have ended with it."""
        children = psutil.Process(self._process.pid).children(recursive=True)
        self._process.send_signal(how)
        status = self._process.wait(_PATIENCE)
        self._close()
        left = [one for one in children if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        assert not left, f"the server left {left} behind"
        return status

    def kill(self, *, postgres: bool = True) -> None:
        """End the server as a power cut would, its PostgreSQL too, or as the kernel would that needs memory."""
        children = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        self._process.wait(_PATIENCE)
        for one in children if postgres else ():
            with contextlib.suppress(psutil.NoSuchProcess):  # a session of PostgreSQL that ended by itself
                one.kill()
        self._close()

    def _wait_for_address(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.announced += line
            if found := _ANNOUNCED.search(line):
                return found[1]
        raise AssertionError(f"numen serve ended with {self._process.wait(_PATIENCE)}: {self.log}")

    def _read_on(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.announced += line

    def _close(self) -> None:
        self._reader.join(_PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _make_command(self, folder: Path) -> None:
        """`numen` as installation makes it."""
        folder.mkdir(parents=True, exist_ok=True)  # a server may come back to its folder
        command = folder / "numen"
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m backend.cli "$@"\n')
        command.chmod(0o755)


@pytest.fixture(scope="session")
def running_server(openai_server_process: OpenAIServer) -> Generator[NumenServer]:
    """One server for the session, in development mode, answering by the offline provider.

    Agents with the provider `local` are answered by the session's OpenAI server.
    """
    with temporary_folder() as folder:
        providers = json.dumps({"local": {"base_url": openai_server_process.base_url}})
        server = NumenServer(folder, NUMEN_LLM_PROVIDERS=providers)
        try:
            yield server
        except BaseException:
            server.kill()
            raise
        assert server.stop() == 0, server.log
