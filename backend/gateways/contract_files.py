"""The file mirror on disk: `{folder}/{agent_id}/` with one file per name, replaced atomically."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

_TEMPORARY = ".tmp"
_LONGEST_WRITE_SECONDS = 60.0
_numbers = itertools.count()


class DiskContractFiles:
    """Temporary file, fsync, rename, fsync of the folder: at any moment a file is the old one or the new one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, agent_id: UUID, files: Mapping[str, bytes]) -> bool:
        """See `ContractFiles.write`."""
        folder = self._folder / str(agent_id)
        changed = {name: content for name, content in files.items() if _content(folder / name) != content}
        if not changed:
            return False
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            _sync_folder(self._folder)
        for name, content in changed.items():
            _replace(folder / name, content)
        _sync_folder(folder)
        return True

    def remove(self, agent_id: UUID) -> None:
        """See `ContractFiles.remove`."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._folder / str(agent_id))

    def agents(self) -> list[UUID]:
        """See `ContractFiles.agents`; what is not named like an agent is somebody else's."""
        if not self._folder.is_dir():
            return []
        return [UUID(one.name) for one in self._folder.iterdir() if one.is_dir() and _is_uuid(one.name)]

    def sweep(self) -> None:
        """See `ContractFiles.sweep`."""
        for agent_id in self.agents():
            for found in (self._folder / str(agent_id)).glob(f".*{_TEMPORARY}"):
                if _is_left_behind(found):
                    found.unlink(missing_ok=True)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{next(_numbers)}{_TEMPORARY}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o640)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _is_left_behind(temporary: Path) -> bool:
    """Whether nobody writes this file any more: its process is gone, or it is older than any write takes."""
    try:
        pid = int(temporary.name.split(".")[-3])
        os.kill(pid, 0)
        return time.time() - temporary.stat().st_mtime > _LONGEST_WRITE_SECONDS
    except (ValueError, IndexError, ProcessLookupError):
        return True
    except (PermissionError, FileNotFoundError):  # somebody else's living process; or it is finished by now
        return False


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_uuid(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False
