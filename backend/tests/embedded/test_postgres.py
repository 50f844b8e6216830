"""A PostgreSQL of our own: started, shared, killed, found again, and never forgetful."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import asyncpg
import pytest

from backend.embedded.data_folder import DataFolderLock
from backend.embedded.postgres import EmbeddedPostgres
from backend.errors import DatabaseUnavailable, Misconfigured
from backend.tests.embedded.other_process import OtherProcess, count_notes, forget_notes, insert_a_note
from backend.tests.temporary_folder import temporary_folder


@pytest.fixture(scope="module")
def set_up_folder() -> Generator[Path]:
    """A data folder that was used before, so that a start takes a tenth of the time."""
    with temporary_folder() as folder:
        server = EmbeddedPostgres(folder)
        server.start()
        server.stop()
        yield folder


@pytest.fixture
async def server(set_up_folder: Path) -> AsyncGenerator[EmbeddedPostgres]:
    """A server without notes, not started; stopped whatever the test does."""
    server = EmbeddedPostgres(set_up_folder)
    try:
        server.start()
        await forget_notes(server)
        server.stop()
        yield server
    finally:
        server.stop()


async def test_a_cold_start_is_durable_and_a_warm_one_has_every_row(data_folder: Path) -> None:
    server = EmbeddedPostgres(data_folder)
    assert not server.is_running
    assert server.pid is None
    server.start()
    assert server.is_running
    assert not server.attached
    await insert_a_note(server)
    connection = await asyncpg.connect(server.dsn())
    for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
        assert await connection.fetchval(f"SHOW {setting}") == "on"
    assert int(await connection.fetchval("SHOW max_connections")) >= 100
    assert await connection.fetchval("SHOW listen_addresses") == ""
    await connection.close()
    server.stop()
    assert not server.is_running
    server.stop()
    server.start()
    assert await count_notes(server) == 1
    server.stop()


async def test_the_log_holds_no_words_of_people(server: EmbeddedPostgres) -> None:
    server.start()
    connection = await asyncpg.connect(server.dsn())
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await connection.execute("SELECT 'a secret of mine'::uuid")
    await connection.close()
    server.stop()
    written = server.log.read_text()
    assert "shut down" in written
    assert "a secret of mine" not in written


async def test_another_process_attaches_and_leaves_the_server_running(server: EmbeddedPostgres) -> None:
    server.start()
    await insert_a_note(server)
    with OtherProcess(server.folder.parent) as other:
        assert other.ask("start") == "attached"
        assert other.ask("count") == "1"
        assert other.ask("stop") == "done"
    assert server.is_running
    assert await count_notes(server) == 1


async def test_the_last_user_stops_a_server_that_another_started(server: EmbeddedPostgres) -> None:
    with OtherProcess(server.folder.parent) as other:
        assert other.ask("start") == "started"
        server.start()
        assert server.attached
        other.ask("stop")
    assert await count_notes(server) == 0
    server.stop()
    assert not server.is_running


def test_two_that_start_at_once_share_one_server(data_folder: Path) -> None:
    with OtherProcess(data_folder) as first, OtherProcess(data_folder) as second:
        for one in (first, second):
            one.say("start")
        assert {first.answer(), second.answer()} == {"started", "attached"}
        assert first.ask("insert") == "done"
        assert second.ask("count") == "1"
        first.ask("stop")
        second.ask("stop")
    assert not EmbeddedPostgres(data_folder).is_running


async def test_a_killed_server_comes_back_with_every_row(server: EmbeddedPostgres) -> None:
    server.start()
    for n in range(20):
        await insert_a_note(server, f"note {n}")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    server.start()
    assert await count_notes(server) == 20


async def test_the_survivor_of_a_killed_parent_is_attached_and_stopped(server: EmbeddedPostgres) -> None:
    with OtherProcess(server.folder.parent) as other:
        other.ask("lock")
        other.ask("start")
        other.ask("insert")
        other.kill()
    assert server.is_running
    with DataFolderLock(server.folder.parent):
        server.start()
        assert server.attached
        assert await count_notes(server) == 1
        server.stop()
    assert not server.is_running


def test_a_server_whose_folder_is_deleted_under_it_is_stopped(data_folder: Path) -> None:
    server = EmbeddedPostgres(data_folder / "data")
    server.start()
    pid = server.pid
    assert pid is not None
    shutil.rmtree(data_folder / "data")
    server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_closed_folder_keeps_its_rows_until_it_is_deleted() -> None:
    with temporary_folder() as home:
        home.chmod(0o700)
        server = EmbeddedPostgres(home / "data")
        places: set[Path] = set()
        try:
            server.start()
            places.add(server.home)
            await insert_a_note(server)
            server.stop()
            again = EmbeddedPostgres(home / "data")
            again.start()
            assert await count_notes(again) == 1
            again.stop()
            shutil.rmtree(home / "data")
            server.start()
            places.add(server.home)
            assert await count_notes(server) == 0
        finally:
            server.stop()
            for place in places:
                shutil.rmtree(place, ignore_errors=True)


async def test_a_path_too_long_for_a_socket_and_an_interrupted_set_up(data_folder: Path) -> None:
    server = EmbeddedPostgres(data_folder / ("long, " * 20))
    left_over = server.folder / "pgdata.new" / "PG_VERSION"
    left_over.parent.mkdir(parents=True)
    left_over.write_text("18")
    server.start()
    try:
        assert await count_notes(server) == 0
    finally:
        server.stop()


def test_a_strict_umask_does_not_lock_the_server_out(data_folder: Path) -> None:
    server = EmbeddedPostgres(data_folder / "made" / "here")
    before = os.umask(0o077)
    try:
        server.start()
        assert server.home == server.folder
    finally:
        server.stop()
        os.umask(before)


def test_a_server_that_cannot_start_says_why(server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    written = server.data / "postgresql.auto.conf"
    before = written.read_text()
    written.write_text("no_such_setting = 1\n")
    with pytest.raises(DatabaseUnavailable, match="no_such_setting"):
        server.start()
    assert not server.is_running
    written.write_text(before)


def test_a_damaged_location_is_named(data_folder: Path) -> None:
    server = EmbeddedPostgres(data_folder)
    server.folder.mkdir()
    (server.folder / "location").write_text("../../etc")
    with pytest.raises(Misconfigured, match="location is damaged"):
        server.start()
