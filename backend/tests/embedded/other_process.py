"""Another process at the same data folder: it does what the test types into it, line by line."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

import asyncpg

from backend.embedded.data_folder import DataFolderLock
from backend.embedded.postgres import EmbeddedPostgres
from backend.errors import Misconfigured

ROOT = Path(__file__).parents[3]


class OtherProcess:
    """A child python over `folder`. `ask` types one word and returns what the child answers."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "backend.tests.embedded.other_process", str(folder)]
        self._child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @property
    def pid(self) -> int:
        return self._child.pid

    def say(self, word: str) -> None:
        """Type the word and do not wait for the answer."""
        assert self._child.stdin is not None
        self._child.stdin.write(f"{word}\n")
        self._child.stdin.flush()

    def answer(self) -> str:
        """The next answer; empty when the child has ended."""
        assert self._child.stdout is not None
        return self._child.stdout.readline().strip()

    def ask(self, word: str) -> str:
        self.say(word)
        return self.answer()

    def kill(self) -> None:
        """End the child as a power cut would."""
        os.kill(self._child.pid, signal.SIGKILL)
        self._child.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self._child.stdin, self._child.stdout):
            assert pipe is not None
            pipe.close()
        self._child.wait(30)


async def insert_a_note(server: EmbeddedPostgres, text: str = "a note") -> None:
    connection = await asyncpg.connect(server.dsn())
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS notes (body text)")
        await connection.execute("INSERT INTO notes VALUES ($1)", text)
    finally:
        await connection.close()


async def forget_notes(server: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(server.dsn())
    try:
        await connection.execute("SET client_min_messages = error; DROP TABLE IF EXISTS notes")
    finally:
        await connection.close()


async def count_notes(server: EmbeddedPostgres) -> int:
    connection = await asyncpg.connect(server.dsn())
    try:
        if await connection.fetchval("SELECT to_regclass('notes') IS NULL"):
            return 0
        return await connection.fetchval("SELECT count(*) FROM notes")
    finally:
        await connection.close()


def _do(word: str, server: EmbeddedPostgres, lock: DataFolderLock) -> str:
    match word:
        case "lock":
            try:
                lock.acquire()
            except Misconfigured as error:
                return error.detail
        case "start":
            server.start()
            return "attached" if server.attached else "started"
        case "insert":
            asyncio.run(insert_a_note(server))
        case "count":
            return str(asyncio.run(count_notes(server)))
        case "stop":
            server.stop()
        case _:
            return "what?"
    return "done"


def main() -> None:
    """Read words until the test closes the pipe."""
    folder = Path(sys.argv[1])
    server, lock = EmbeddedPostgres(folder), DataFolderLock(folder)
    for line in sys.stdin:
        sys.stdout.write(f"{_do(line.strip(), server, lock)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
