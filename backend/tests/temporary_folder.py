"""A folder for data: short enough for sockets, and open to the account that PostgreSQL runs under when we are root."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path


@contextlib.contextmanager
def temporary_folder() -> Generator[Path]:
    """A fresh folder under /tmp that everybody may walk through; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="numen-", dir="/tmp"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
