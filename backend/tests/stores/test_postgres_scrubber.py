"""What was deleted, and whether a file still holds it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import asyncpg
import pytest

from backend.embedded.postgres import EmbeddedPostgres
from backend.errors import Unavailable
from backend.stores.migrate import LOCK
from backend.stores.postgres_scrubber import PostgresScrubber
from backend.stores.roles import Logins
from backend.stores.schema import bring_up_to_date, create_database
from backend.tests.person_everywhere import plant_person
from backend.tests.temporary_folder import temporary_folder

if TYPE_CHECKING:
    from asyncpg import Connection

DATABASE = "scrubbed"
WORDS = "Quillfeather-7193-said-so"


def holding(folder: Path, words: str = WORDS) -> list[str]:
    """The files that hold these words."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and words.encode() in path.read_bytes()
    )


class House:
    """A server of its own, with a tenant, an agent, and the scrubber."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = EmbeddedPostgres(folder)
        self.tenant_id, self.agent_id = uuid4(), uuid4()

    @property
    def url(self) -> str:
        return self.server.dsn(DATABASE)

    @property
    def scrubber(self) -> PostgresScrubber:
        return PostgresScrubber(self.url)

    @contextlib.asynccontextmanager
    async def rows(self) -> AsyncGenerator[Connection]:
        connection = await asyncpg.connect(self.url)
        try:
            yield connection
        finally:
            await connection.close()

    async def furnish(self) -> None:
        await asyncio.to_thread(self.server.start)
        await create_database(self.server.dsn(), DATABASE)
        await bring_up_to_date(Logins.derived(self.url))
        async with self.rows() as rows:
            somebody = uuid4()
            await rows.execute("INSERT INTO tenants VALUES ($1, 'One', 'one')", self.tenant_id)
            await rows.execute(
                "INSERT INTO users (tenant_id, id, name) VALUES ($1, $2, 'Somebody')", self.tenant_id, somebody
            )
            await rows.execute(
                "INSERT INTO agents (tenant_id, id, owner_id, name, type, version, contract) VALUES ($1, $2, $3, 'A',"
                """ 'conversational', '1.0.0', '{"configuration": {"llm_provider": "p", "llm_model": "m"}}')""",
                self.tenant_id, self.agent_id, somebody,
            )  # fmt: skip

    async def come_and_go(self) -> None:
        """Somebody says things, is looked at by ANALYZE, written down by a checkpoint, and deleted."""
        async with self.rows() as rows:
            # Not through the log of statements: the words are parameters.
            planted = await plant_person(rows, self.tenant_id, self.agent_id, WORDS)
            await rows.execute("ANALYZE")
            await rows.execute("CHECKPOINT")
            assert holding(self.folder), "nothing was written: the test would prove nothing"
            await self.delete(rows, planted.user_id)

    async def delete(self, rows: Connection, user_id: UUID) -> None:
        for table in ("memory_revisions", "outbox", "audit_log"):
            await rows.execute(f"DELETE FROM {table}")  # noqa: S608 — names from above
        await rows.execute("DELETE FROM users WHERE id = $1", user_id)


@pytest.fixture(scope="module")
async def house() -> AsyncGenerator[House]:
    with temporary_folder() as folder:
        house = House(folder)
        await house.furnish()
        try:
            yield house
        finally:
            await asyncio.to_thread(house.server.stop)


async def test_what_was_deleted_is_in_no_file_any_more(house: House) -> None:
    await house.come_and_go()
    left = holding(house.folder)
    assert any("/base/" in one for one in left), left
    assert any("/pg_wal/" in one for one in left), left
    assert not (await house.scrubber.scrub([uuid4().bytes])).still_in
    assert holding(house.folder) == []


async def test_a_trace_that_lives_is_found(house: House) -> None:
    """The control of the search."""
    assert (await house.scrubber.scrub([house.agent_id.bytes])).still_in


async def test_files_that_an_older_numen_laid_out_for_use_are_let_go_too(house: House) -> None:
    """With `wal_recycle`, which was on, old files of the log wait under new names to be used again."""
    log = house.server.data / "pg_wal"
    newest = max(one.name for one in log.iterdir() if len(one.name) == 24)
    await asyncio.to_thread(house.server.stop)
    for ahead in (2, 3):
        old = log / f"{int(newest, 16) + ahead:024X}"
        old.write_bytes(WORDS.encode() * (1 << 14) + bytes((1 << 24) - len(WORDS) * (1 << 14)))
        shutil.copystat(log / newest, old)
        shutil.chown(old, (log / newest).stat().st_uid)
    await asyncio.to_thread(house.server.start)
    assert len(holding(house.folder)) == 2
    await house.scrubber.scrub([])
    assert holding(house.folder) == []


async def test_what_a_crash_left_of_a_rewriting_is_removed(house: House) -> None:
    async with house.rows() as rows:
        base = (
            house.server.data
            / "base"
            / await rows.fetchval("SELECT oid::text FROM pg_database WHERE datname = current_database()")
        )
        node = await rows.fetchval("SELECT pg_relation_filenode('threads')")
    left = base / "987654.1"
    left.write_text(WORDS)
    shutil.chown(left, (base / str(node)).stat().st_uid)
    await house.scrubber.scrub([])
    assert not left.exists()
    async with house.rows() as rows:
        assert await rows.fetchval("SELECT count(*) FROM threads") == 0


async def test_it_waits_for_who_may_still_see_the_rows(house: House) -> None:
    async with house.rows() as other:
        async with other.transaction(isolation="repeatable_read"):
            await other.fetchval("SELECT count(*) FROM tenants")
            await house.come_and_go()
            scrubbing = asyncio.create_task(house.scrubber.scrub([]))
            done, _ = await asyncio.wait([scrubbing], timeout=0.5)
            assert not done
        await scrubbing
    assert holding(house.folder) == []


async def test_a_table_in_use_is_waited_for_and_others_are_let_through(house: House) -> None:
    await house.come_and_go()
    async with house.rows() as user, house.rows() as passer_by:
        transaction = user.transaction()
        await transaction.start()
        await user.execute("LOCK TABLE thread_messages IN ACCESS SHARE MODE")
        scrubbing = asyncio.create_task(house.scrubber.scrub([]))
        longest = 0.0
        for _ in range(40):
            begun = time.perf_counter()
            await passer_by.fetchval("SELECT count(*) FROM thread_messages")
            longest = max(longest, time.perf_counter() - begun)
            await asyncio.sleep(0.02)
        assert not scrubbing.done()
        await transaction.rollback()
        await scrubbing
    assert longest < 2, "who only reads must not wait for the whole time that the table is in use"
    assert holding(house.folder) == []


async def test_two_do_not_scrub_at_once(house: House) -> None:
    async with house.rows() as other:
        await other.execute("SELECT pg_advisory_lock($1)", LOCK)
        with pytest.raises(Unavailable):
            await house.scrubber.scrub([])
    await house.scrubber.scrub([])
