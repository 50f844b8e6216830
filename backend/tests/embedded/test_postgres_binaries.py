"""The programs are found without importing their package, and a copy of them works as well."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from backend.embedded.postgres_binaries import PACKAGE, binaries_for, copy_binaries, find_binaries
from backend.embedded.server_account import ServerAccount


def test_the_package_is_not_imported() -> None:
    assert (find_binaries() / "initdb").exists()
    assert PACKAGE not in sys.modules


def test_the_installed_ones_are_used_where_they_can_be() -> None:
    ours = ServerAccount(uid=os.geteuid(), gid=os.getegid(), other=False)
    assert binaries_for(ours) == find_binaries()


def test_a_copy_runs_and_is_made_once(data_folder: Path) -> None:
    copied = copy_binaries(find_binaries(), data_folder)
    made = (copied / "postgres").stat().st_ino
    said = subprocess.run([str(copied / "postgres"), "--version"], check=True, capture_output=True, text=True)
    assert said.stdout.startswith("postgres (PostgreSQL) 18.")
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in copied.rglob("*"))
    assert copy_binaries(find_binaries(), data_folder) == copied
    assert (copied / "postgres").stat().st_ino == made
    assert len(list(data_folder.iterdir())) == 1
