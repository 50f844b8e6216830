"""The machine: Python, and the folders that Numen writes to."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from backend.scripts.doctor.check import Check
from backend.settings import Settings

OLDEST = (3, 11)
_SCARCE = 1_000_000_000
_TOO_LITTLE = 100_000_000


def python_check() -> Check:
    """Whether this Python is new enough."""
    found = f"{platform.python_version()} in {sys.prefix}"
    if sys.version_info[:2] >= OLDEST:
        return Check("python", "ok", found)
    return Check("python", "fail", found, f"Numen needs Python {OLDEST[0]}.{OLDEST[1]} or newer.")


def folder_checks(settings: Settings) -> Iterator[Check]:
    """The data folder (embedded only) and the folder of the mirror."""
    if settings.embedded:
        yield folder_check("data folder", settings.data_dir, "NUMEN_DATA_DIR")
    yield folder_check("mirror folder", settings.prompts_dir, "NUMEN_PROMPTS_DIR")


def folder_check(name: str, folder: Path, variable: str) -> Check:
    """Whether we may write into the folder, or make it, and whether there is room."""
    folder = folder.resolve()
    nearest = next(one for one in (folder, *folder.parents) if one.exists())
    if not nearest.is_dir():
        return Check(name, "fail", f"{nearest} is no folder", f"Set {variable} to another folder.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        return Check(name, "fail", f"{nearest} cannot be written", f"Allow it, or set {variable} to another folder.")
    free = shutil.disk_usage(nearest).free
    found = f"{folder}, {free / 1e9:.1f} GB free"
    if free < _TOO_LITTLE:
        return Check(name, "fail", found, f"Make room, or set {variable} to a folder on another disk.")
    if free < _SCARCE:
        return Check(name, "warn", found, "Make room soon.")
    return Check(name, "ok", found if folder == nearest else f"{found}; it is made when it is needed")
