"""One process serves from a data folder; the others are told which."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backend.embedded.data_folder import DataFolderLock
from backend.errors import Misconfigured
from backend.tests.embedded.other_process import OtherProcess


def test_a_second_server_is_refused_with_the_pid_of_the_first(data_folder: Path) -> None:
    with OtherProcess(data_folder) as other:
        assert other.ask("lock") == "done"
        assert DataFolderLock(data_folder).holder() == other.pid
        with pytest.raises(Misconfigured, match=rf"{other.pid} already serves from {data_folder}"):
            DataFolderLock(data_folder).acquire()


def test_this_process_is_seen_by_others(data_folder: Path) -> None:
    with DataFolderLock(data_folder) as lock, OtherProcess(data_folder) as other:
        assert lock.held
        assert lock.holder() == os.getpid()
        assert f"Process {os.getpid()} already serves" in other.ask("lock")


def test_who_is_killed_holds_nothing(data_folder: Path) -> None:
    with OtherProcess(data_folder) as other:
        other.ask("lock")
        other.kill()
        assert DataFolderLock(data_folder).holder() is None
        with DataFolderLock(data_folder) as lock:
            assert lock.holder() == os.getpid()


def test_a_released_lock_can_be_taken_again(data_folder: Path) -> None:
    lock = DataFolderLock(data_folder / "not" / "yet" / "there")
    assert lock.holder() is None
    lock.acquire()
    lock.release()
    lock.release()
    assert not lock.held
    assert lock.holder() is None
    with lock:
        assert lock.held
