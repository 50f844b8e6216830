"""Where an account may walk, as the kernel sees it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backend.embedded.server_account import ServerAccount

STRANGER = ServerAccount(uid=54_321, gid=54_321, other=True)


@pytest.mark.parametrize(("mode", "enters"), [(0o711, True), (0o755, True), (0o700, False), (0o766, False)])
def test_a_stranger_enters_what_is_open_to_all(data_folder: Path, mode: int, enters: bool) -> None:
    inner = data_folder / "closed" / "inner"
    inner.mkdir(parents=True)
    inner.parent.chmod(mode)
    assert STRANGER.can_enter(inner) is enters


@pytest.mark.parametrize(("mode", "enters"), [(0o710, True), (0o701, False)])
def test_the_group_counts_before_the_others(data_folder: Path, mode: int, enters: bool) -> None:
    data_folder.chmod(mode)
    member = ServerAccount(uid=54_321, gid=data_folder.stat().st_gid, other=True)
    assert member.can_enter(data_folder) is enters


def test_the_owner_counts_before_the_group(data_folder: Path) -> None:
    owner = ServerAccount(uid=os.geteuid(), gid=54_321, other=True)
    data_folder.chmod(0o700)
    assert owner.can_enter(data_folder)
    data_folder.chmod(0o077)
    assert not owner.can_enter(data_folder)
    data_folder.chmod(0o700)


def test_the_server_never_runs_as_root(data_folder: Path) -> None:
    account = ServerAccount.for_data(data_folder)
    assert account.uid != 0
    assert account.other is (os.geteuid() == 0)


def test_our_own_account_needs_no_change(data_folder: Path) -> None:
    data_folder.chmod(0o700)
    ours = ServerAccount(uid=os.geteuid(), gid=os.getegid(), other=False)
    assert ours.can_enter(data_folder)
    assert ours.run_as == {}
    ours.give(data_folder)
    assert data_folder.stat().st_uid == os.geteuid()
