"""The mirror on disk: at any moment the old file or the new one, whoever writes at the same time."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from uuid import uuid4

import pytest

from backend.gateways.contract_files import DiskContractFiles

AGENT = uuid4()


def listed(folder: Path) -> set[str]:
    return {path.name for path in (folder / str(AGENT)).iterdir()}


def test_files_are_written_once_and_changed_when_they_differ(tmp_path: Path) -> None:
    files = DiskContractFiles(tmp_path / "made" / "on the way")
    assert files.agents() == []
    files.sweep()
    assert files.write(AGENT, {"a.json": b"1", "b.json": b"2"})
    assert not files.write(AGENT, {"a.json": b"1", "b.json": b"2"})
    untouched = (tmp_path / "made" / "on the way" / str(AGENT) / "b.json").stat().st_ino
    assert files.write(AGENT, {"a.json": b"3", "b.json": b"2"})
    folder = tmp_path / "made" / "on the way"
    assert (folder / str(AGENT) / "a.json").read_bytes() == b"3"
    assert (folder / str(AGENT) / "b.json").stat().st_ino == untouched
    assert listed(folder) == {"a.json", "b.json"}
    assert files.agents() == [AGENT]


def test_a_removed_agent_leaves_nothing(tmp_path: Path) -> None:
    files = DiskContractFiles(tmp_path)
    files.write(AGENT, {"a.json": b"1"})
    files.remove(AGENT)
    files.remove(AGENT)
    assert list(tmp_path.iterdir()) == []


def test_other_names_are_somebody_elses(tmp_path: Path) -> None:
    for name in ("templates", str(AGENT).upper(), AGENT.hex, f"{AGENT}.bak"):
        (tmp_path / name).mkdir()
    (tmp_path / str(uuid4())).write_text("a file", "utf-8")
    assert DiskContractFiles(tmp_path).agents() == []


def test_readers_never_see_half_a_file(tmp_path: Path) -> None:
    """Two writers, one reader: every read is one of the two texts as a whole, and nothing is left over."""
    texts = [b"a" * 200_000, b"b" * 100_000]
    DiskContractFiles(tmp_path).write(AGENT, {"a.json": texts[0]})
    done, faults = threading.Event(), list[BaseException]()

    def write(first: int) -> None:
        files = DiskContractFiles(tmp_path)
        try:
            for number in range(40):
                files.write(AGENT, {"a.json": texts[(first + number) % 2]})
        except OSError as error:
            faults.append(error)

    writers = [threading.Thread(target=write, args=(first,)) for first in range(2)]
    for writer in writers:
        writer.start()
    path = tmp_path / str(AGENT) / "a.json"
    while any(writer.is_alive() for writer in writers):
        assert path.read_bytes() in texts
    done.set()
    assert faults == []
    assert listed(tmp_path) == {"a.json"}


def test_what_is_in_the_way_is_an_error_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    files = DiskContractFiles(tmp_path)
    files.write(AGENT, {"a.json": b"1"})
    (tmp_path / str(AGENT) / "b.json").mkdir()
    with pytest.raises(OSError, match="directory"):
        files.write(AGENT, {"a.json": b"2", "b.json": b"2"})
    assert listed(tmp_path) == {"a.json", "b.json"}
    (tmp_path / str(AGENT) / "b.json").rmdir()
    assert files.write(AGENT, {"a.json": b"2", "b.json": b"2"})


def test_a_sweep_takes_what_is_left_behind_and_nothing_else(tmp_path: Path) -> None:
    files = DiskContractFiles(tmp_path)
    files.write(AGENT, {"a.json": b"1"})
    folder = tmp_path / str(AGENT)
    dead, old, fresh = "999999999", f"{os.getpid()}.1", f"{os.getpid()}.2"
    for name in (f".a.json.{dead}.0.tmp", f".a.json.{old}.tmp", f".a.json.{fresh}.tmp", ".a.json.tmp", ".hidden"):
        (folder / name).write_bytes(b"half")
    os.utime(folder / f".a.json.{old}.tmp", (0, 0))
    files.sweep()
    assert listed(tmp_path) == {"a.json", f".a.json.{fresh}.tmp", ".hidden"}
