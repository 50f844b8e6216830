"""Spoken parts on disk: `{folder}/{tenant}/{session}/{digest}.pcm`, each there whole or not at all."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from uuid import UUID

from backend.ports.audio_files import AudioKey, KeptAudio

_PART = ".pcm"
_TEMPORARY = ".tmp"
_LONGEST_PIECE_SECONDS = 3600.0  # far above every deadline of speech: who writes so slowly is dead
_TOUCH_SECONDS = 600.0
_PRIVATE_FOLDER = 0o700
_PRIVATE_FILE = 0o600
_TRIES = 5


class DiskAudioFiles:
    """See `AudioFiles`. The folder is made when the first part is; only its owner may enter it.

    Several servers may share it: what one is writing has a name of its own, and the others leave it alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = secrets.token_hex(8)  # no process id: two containers have the same
        self._numbers = itertools.count()

    def find(self, key: AudioKey) -> KeptAudio | None:
        """See `AudioFiles.find`. A file is modified when it is made, and accessed when it was last used."""
        path = self._path(key)
        try:
            found = path.stat()
            if time.time() - found.st_atime > _TOUCH_SECONDS:
                os.utime(path, ns=(time.time_ns(), found.st_mtime_ns))
        except FileNotFoundError:
            return None
        return KeptAudio(found.st_size, found.st_mtime_ns)

    def read(self, key: AudioKey, offset: int, length: int) -> bytes:
        """See `AudioFiles.read`."""
        with self._path(key).open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def begin(self, key: AudioKey) -> DiskAudioWriter:
        """See `AudioFiles.begin`."""
        path = self._path(key)
        name = f".{key.digest}.{self._name}.{next(self._numbers)}{_TEMPORARY}"
        for _ in range(_TRIES):
            path.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
            self._folder.chmod(_PRIVATE_FOLDER)  # the folders above the last are made with the umask only
            with contextlib.suppress(FileNotFoundError):  # a sweep has just taken the empty folder away
                return DiskAudioWriter(path.with_name(name), path)
        raise FileNotFoundError(path.parent)

    def drop(self, key: AudioKey) -> None:
        """See `AudioFiles.drop`."""
        self._path(key).unlink(missing_ok=True)

    def sessions(self) -> list[tuple[UUID, UUID]]:
        """See `AudioFiles.sessions`; what is not named like one is somebody else's."""
        tenants = ((UUID(one.name), one) for one in _folders(self._folder))
        return [(tenant_id, UUID(one.name)) for tenant_id, folder in tenants for one in _folders(folder)]

    def count(self, tenant_id: UUID, sessions: Collection[UUID]) -> int:
        """See `AudioFiles.count`."""
        return sum(len(_listed(self._of(tenant_id, one))) for one in sessions)

    def remove(self, tenant_id: UUID, sessions: Collection[UUID]) -> None:
        """See `AudioFiles.remove`."""
        for one in sessions:
            folder = self._of(tenant_id, one)
            for path in _listed(folder):
                path.unlink(missing_ok=True)  # one that somebody else removes meanwhile keeps none of the others
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()

    def sweep(self, unused_seconds: float) -> int:
        """See `AudioFiles.sweep`; folders that are empty go, too."""
        removed = 0
        for tenant_id, session_id in self.sessions():
            folder = self._of(tenant_id, session_id)
            for path in _listed(folder):
                if self._has_had_its_time(path, unused_seconds):
                    path.unlink(missing_ok=True)
                    removed += 1
            for empty in (folder, folder.parent):
                with contextlib.suppress(OSError):  # somebody has just put something into it
                    empty.rmdir()
        return removed

    def _has_had_its_time(self, path: Path, unused_seconds: float) -> bool:
        try:
            found = path.stat()
        except FileNotFoundError:
            return False
        age = time.time() - max(found.st_atime, found.st_mtime)
        return age > (_LONGEST_PIECE_SECONDS if path.name.endswith(_TEMPORARY) else unused_seconds)

    def _of(self, tenant_id: UUID, session_id: UUID) -> Path:
        return self._folder / str(tenant_id) / str(session_id)

    def _path(self, key: AudioKey) -> Path:
        return self._of(key.tenant_id, key.session_id) / f"{key.digest}{_PART}"


class DiskAudioWriter:
    """See `AudioWriter`. Temporary file, fsync, rename, fsync of the folder."""

    def __init__(self, temporary: Path, path: Path) -> None:
        self._temporary = temporary
        self._path = path
        self._using = threading.Lock()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        self._file = os.fdopen(os.open(temporary, flags, _PRIVATE_FILE), "r+b", buffering=0)

    def write(self, piece: bytes) -> None:
        """See `AudioWriter.write`."""
        left = memoryview(piece)
        while left:
            left = left[self._file.write(left) :]

    def read(self, offset: int, length: int) -> bytes:
        """See `AudioWriter.read`."""
        with self._using:  # it is not closed under us: its number might be another file's by then
            return b"" if self._file.closed else os.pread(self._file.fileno(), length, offset)

    def keep(self) -> None:
        """See `AudioWriter.keep`."""
        os.fsync(self._file.fileno())
        self._temporary.replace(self._path)
        handle = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def discard(self) -> None:
        """See `AudioWriter.discard`."""
        with self._using:
            self._file.close()
        self._temporary.unlink(missing_ok=True)


def _folders(folder: Path) -> Iterator[Path]:
    """The folders in this one that are named by an id; none where there is no such folder."""
    for one in _listed(folder):
        with contextlib.suppress(ValueError):
            if str(UUID(one.name)) == one.name and one.is_dir():
                yield one


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
