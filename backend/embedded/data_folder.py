"""The data folder: how it is made, and who may serve from it: one process at a time, and all can see which."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from backend.errors import Misconfigured


def make_folder(folder: Path) -> None:
    """Make the folder, and those above it, so that PostgreSQL's account may walk through whatever the umask says."""
    if not folder.exists():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o711)


class DataFolderLock:
    """The right to serve from `folder`, held as a flock on `<folder>/serve.lock` with the holder's pid inside.

    The kernel gives the lock back when its holder dies, however it dies, so a stale file never locks anybody out.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "serve.lock"
        self._file: IO[str] | None = None

    def acquire(self) -> Self:
        """Take the lock, making the folder if need be. `Misconfigured` names the pid that has it already."""
        make_folder(self.path.parent)
        file = self.path.open("a+", encoding="ascii")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _written_pid(file)
            file.close()
            raise Misconfigured(
                f"Process {pid or '(unknown)'} already serves from {self.path.parent}: stop it, or set NUMEN_DATA_DIR "
                "to another folder",
                pid=pid,
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file
        return self

    def release(self) -> None:
        """Let the next one serve. Does nothing when the lock is not held."""
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None

    @property
    def held(self) -> bool:
        """Whether this object has the lock."""
        return self._file is not None

    def holder(self) -> int | None:
        """The pid of the process that serves from this folder now, this one included; None when nobody does."""
        try:
            file = self.path.open("r", encoding="ascii")
        except FileNotFoundError:
            return None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _written_pid(file)
            return None

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


def _written_pid(file: IO[str]) -> int | None:
    file.seek(0)
    text = file.read().strip()
    return int(text) if text.isdecimal() else None
