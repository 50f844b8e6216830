"""Spoken parts on disk: whole or not at all, and gone when they are to go."""

from __future__ import annotations

import os
import time
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from backend.gateways.audio_files import DiskAudioFiles
from backend.ports.audio_files import AudioKey

HOUR = 3600.0
DAY = 24 * HOUR
WEEK = 7 * DAY


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audio"


@pytest.fixture
def files(folder: Path) -> DiskAudioFiles:
    return DiskAudioFiles(folder)


def key(session_id: UUID | None = None, tenant_id: UUID | None = None, digest: str = "a" * 64) -> AudioKey:
    return AudioKey(tenant_id or uuid4(), session_id or uuid4(), digest)


def keep(files: DiskAudioFiles, one: AudioKey, content: bytes = b"12345678") -> None:
    writer = files.begin(one)
    writer.write(content)
    writer.keep()
    writer.discard()


def size(files: DiskAudioFiles, one: AudioKey) -> int | None:
    found = files.find(one)
    return found.size if found else None


def path_of(folder: Path, one: AudioKey) -> Path:
    return folder / str(one.tenant_id) / str(one.session_id) / f"{one.digest}.pcm"


def aged(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_part_is_found_when_it_is_whole(files: DiskAudioFiles, folder: Path) -> None:
    one = key()
    assert size(files, one) is None
    writer = files.begin(one)
    writer.write(b"1234")
    writer.write(b"5678")
    assert size(files, one) is None
    assert (writer.read(2, 100), writer.read(8, 4)) == (b"345678", b"")
    writer.keep()
    writer.discard()
    assert size(files, one) == 8
    assert files.read(one, 3, 2) == b"45"
    assert [path.name for path in folder.rglob("*") if path.is_file()] == [f"{one.digest}.pcm"]


def test_only_the_owner_may_look(files: DiskAudioFiles, folder: Path) -> None:
    one = key()
    keep(files, one)
    assert path_of(folder, one).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_is_given_up_leaves_nothing(files: DiskAudioFiles) -> None:
    one = key()
    writer = files.begin(one)
    writer.write(b"1234")
    assert files.count(one.tenant_id, [one.session_id]) == 1
    writer.discard()
    assert files.count(one.tenant_id, [one.session_id]) == 0
    with pytest.raises(FileNotFoundError):
        files.read(one, 0, 1)


def test_a_session_goes_with_all_of_its_parts_and_others_stay(files: DiskAudioFiles) -> None:
    gone, kept = key(), key()
    second = AudioKey(gone.tenant_id, gone.session_id, "b" * 64)
    for one in (gone, second, kept):
        keep(files, one)
    writer = files.begin(AudioKey(gone.tenant_id, gone.session_id, "c" * 64))
    assert files.count(gone.tenant_id, [gone.session_id]) == 3
    files.remove(gone.tenant_id, [gone.session_id, uuid4()])
    assert (files.count(gone.tenant_id, [gone.session_id]), size(files, gone), size(files, kept)) == (0, None, 8)
    with pytest.raises(FileNotFoundError):
        writer.keep()
    writer.discard()
    assert files.sessions() == [(kept.tenant_id, kept.session_id)]


def test_one_part_goes_alone(files: DiskAudioFiles) -> None:
    gone = key()
    kept = AudioKey(gone.tenant_id, gone.session_id, "b" * 64)
    for one in (gone, kept):
        keep(files, one)
    files.drop(gone)
    files.drop(gone)
    assert (size(files, gone), size(files, kept)) == (None, 8)


def test_the_same_session_of_another_tenant_is_another(files: DiskAudioFiles) -> None:
    ours = key()
    theirs = key(ours.session_id)
    keep(files, ours)
    assert size(files, theirs) is None
    files.remove(theirs.tenant_id, [ours.session_id])
    assert size(files, ours) == 8


def test_what_nobody_used_for_a_week_is_swept(files: DiskAudioFiles, folder: Path) -> None:
    old, used = key(), key()
    for one, age in ((old, WEEK + 60), (used, WEEK - 60)):
        keep(files, one)
        aged(path_of(folder, one), age)
    assert size(files, used) == 8  # which counts as a use
    assert files.sweep(WEEK) == 1
    assert (size(files, old), size(files, used)) == (None, 8)
    assert not (folder / str(old.tenant_id)).exists()
    assert files.sweep(DAY) == 0


def test_using_a_part_does_not_make_it_another(files: DiskAudioFiles, folder: Path) -> None:
    one = key()
    keep(files, one)
    aged(path_of(folder, one), DAY)
    found = files.find(one)
    assert found
    assert files.find(one) == found
    assert files.sweep(HOUR) == 0
    keep(files, one)
    anew = files.find(one)
    assert anew
    assert (anew.size, anew.made_at > found.made_at) == (8, True)


def test_what_a_killed_process_left_is_swept_and_what_is_being_written_is_not(
    files: DiskAudioFiles, folder: Path
) -> None:
    one = key()
    mine, theirs = files.begin(one), DiskAudioFiles(folder).begin(one)
    mine.write(b"12")
    theirs.write(b"1")
    left = path_of(folder, one).with_name(f".{one.digest}.0123456789abcdef.77.tmp")
    left.write_bytes(b"half")
    aged(left, HOUR - 60)
    assert files.sweep(WEEK) == 0
    aged(left, HOUR + 60)
    assert files.sweep(WEEK) == 1
    for writer, rest in ((mine, b"34"), (theirs, b"234")):
        writer.write(rest)
        writer.keep()
        writer.discard()
    assert files.read(one, 0, 9) == b"1234"
    assert [path.name for path in path_of(folder, one).parent.iterdir()] == [path_of(folder, one).name]


def test_two_servers_that_share_a_folder_do_not_disturb_each_other(folder: Path) -> None:
    """Not even in two containers, where both have the same process id."""
    one = key()
    writers = [DiskAudioFiles(folder).begin(one) for _ in range(2)]
    for content, writer in zip((b"aaaa", b"bbbb"), writers, strict=True):
        writer.write(content)
    assert [writer.read(0, 9) for writer in writers] == [b"aaaa", b"bbbb"]
    writers[0].keep()
    writers[1].discard()
    assert path_of(folder, one).read_bytes() == b"aaaa"
    writers[0].discard()
    assert writers[0].read(0, 9) == b""


def test_other_peoples_files_stay(files: DiskAudioFiles, folder: Path) -> None:
    folder.mkdir()
    (folder / "README").write_text("mine")
    (folder / "not-an-id").mkdir()
    assert files.sessions() == []
    assert files.sweep(0) == 0
    assert (folder / "README").exists()
