"""A person at a terminal, for commands that behave differently when somebody is there."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

PATIENCE = 30


class Terminal:
    """Types, presses keys, and waits for what they want to see."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *arguments: str) -> None:
        self._screen, inside = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "backend.cli", *arguments],
            cwd=folder, env={**environment, "TERM": "dumb"}, stdin=inside, stdout=inside, stderr=inside,
            start_new_session=True,
        )  # fmt: skip
        os.close(inside)
        os.set_blocking(self._screen, False)
        self._seen = ""

    def wait_for(self, pattern: str) -> str:
        """What came on the screen up to the first match."""
        give_up = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self._seen)):
            assert time.monotonic() < give_up, f"{pattern!r} does not come: {self._seen!r}"
            self._read()
        text, self._seen = self._seen[: found.end()], self._seen[found.end() :]
        return text

    def type(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Wait until the program has ended."""
        give_up = time.monotonic() + PATIENCE
        while self._process.poll() is None:
            assert time.monotonic() < give_up, f"it does not end: {self._seen!r}"
            self._read()
        os.close(self._screen)
        return self._process.returncode

    def _read(self) -> None:
        try:
            self._seen += os.read(self._screen, 65536).decode(errors="replace")
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:  # what a terminal says that its last program has left
            self._process.wait(PATIENCE)

    def leave(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self.end()
