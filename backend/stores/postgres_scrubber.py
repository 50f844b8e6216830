"""Takes deleted rows out of the files of the embedded PostgreSQL: tables, indexes, and the log of writes."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from backend.errors import Unavailable
from backend.models.erasure import Scrubbed
from backend.stores.migrate import LOCK as SCHEMA_LOCK

if TYPE_CHECKING:
    from asyncpg import Connection

LOCK = 7_215_003  # one scrub at a time
LOCK_TIMEOUT = "250ms"  # whoever wants the table meanwhile waits behind us: not longer than this
PATIENCE_SECONDS = 20.0
PAUSE_SECONDS = 0.25
PIECE = 1 << 20
_MOST_ROUNDS = 80
_FILE_OF_A_TABLE = re.compile(r"(\d+)(?:_(?:fsm|vm|init))?(?:\.\d+)?")
_FILE_OF_THE_LOG = re.compile(r"[0-9A-F]{24}")

# What an unfinished transaction may still see is copied along, deleted or not. (A vacuum does not look at rows so.)
_OLDER = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < $1
   AND (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL) AND query NOT LIKE 'autovacuum: VACUUM %'"""
_TABLES = """
SELECT oid::regclass::text AS name FROM pg_class held
 WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
   AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = held.oid AND attname = 'tenant_id' AND NOT attisdropped)
 ORDER BY pg_relation_size(oid)"""
_NODES = "SELECT pg_relation_filenode(oid)::text AS node FROM pg_class WHERE pg_relation_filenode(oid) IS NOT NULL"
# ANALYZE keeps samples, of ids at least, and forgets none of a table that it finds empty.
_FORGET_SAMPLES = """
SELECT pg_clear_attribute_stats('public', held.relname, named.attname, sampled.stainherit)
  FROM pg_statistic sampled
  JOIN pg_class held ON held.oid = sampled.starelid
  JOIN pg_attribute named ON named.attrelid = held.oid AND named.attnum = sampled.staattnum
 WHERE held.oid = to_regclass($1::text)"""


class PostgresScrubber:
    """Works on the database at `url` as the superuser of a server whose files are on this machine.

    It holds the lock of the migrations: meanwhile nobody makes a table, and a file that belongs to none is the leftover
    of a crash.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    async def scrub(self, traces: Sequence[bytes]) -> Scrubbed:
        """Take everything deleted out of the files, then search them. Errors: `Unavailable`; it may be tried again."""
        try:
            async with self._connected() as connection:
                data = Path(await connection.fetchval("SHOW data_directory"))
                await self._wait_for_older(connection)
                changed = await self._remove_leftovers(connection, data)
                changed += await self._rewrite(connection)
                changed += await self._let_go_of_the_log(connection)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise Unavailable(
                f"The database's files could not be written anew now ({type(error).__name__}); it is tried again."
            ) from error
        return Scrubbed(changed, await asyncio.to_thread(_search, data, traces))

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[Connection]:
        settings = {"application_name": "numen scrub", "lock_timeout": LOCK_TIMEOUT, "statement_timeout": "0"}
        connection = await asyncpg.connect(self._url, timeout=10, server_settings=settings)
        try:
            for lock in (LOCK, SCHEMA_LOCK):
                if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", lock):
                    raise Unavailable("Somebody else is at the database's files; it is tried again.")
            yield connection
        finally:
            await connection.close()

    async def _wait_for_older(self, connection: Connection) -> None:
        begun = await connection.fetchval("SELECT clock_timestamp()")
        give_up = time.monotonic() + PATIENCE_SECONDS
        while await connection.fetchval(_OLDER, begun):
            if time.monotonic() > give_up:
                raise Unavailable("A transaction that began before the removal has not ended; it is tried again.")
            await asyncio.sleep(PAUSE_SECONDS / 5)

    async def _remove_leftovers(self, connection: Connection, data: Path) -> int:
        """Files which a crash left behind in the middle of a rewriting: PostgreSQL never looks at them again."""
        await connection.execute("CHECKPOINT")
        oid = await connection.fetchval("SELECT oid::text FROM pg_database WHERE datname = current_database()")
        folder = data / "base" / oid
        files = await asyncio.to_thread(lambda: [path for path in folder.iterdir() if path.stat().st_size])
        known = {row["node"] for row in await connection.fetch(_NODES)}
        left = [path for path in files if (named := _FILE_OF_A_TABLE.fullmatch(path.name)) and named[1] not in known]
        for path in left:
            path.unlink()
        return len(left)

    async def _rewrite(self, connection: Connection) -> int:
        # Small tables first: what is written about them while the large ones are copied does not wait for these.
        tables = [row["name"] for row in await connection.fetch(_TABLES)]
        for table in (*tables, "pg_catalog.pg_statistic"):
            await self._rewrite_one(connection, table)
        return len(tables)

    async def _rewrite_one(self, connection: Connection, table: str) -> None:
        give_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                await connection.fetch(_FORGET_SAMPLES, table)
                await connection.execute(f"VACUUM (FULL, ANALYZE) {table}")  # from pg_class, which quotes names
                return
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
                if time.monotonic() > give_up:
                    raise
            await asyncio.sleep(PAUSE_SECONDS)

    async def _let_go_of_the_log(self, connection: Connection) -> int:
        """Go on to new files of the log until none is left of those that were there."""
        if await connection.fetchval("SHOW wal_recycle") != "off":
            raise Unavailable("This PostgreSQL was started by an older Numen and uses files again: restart it.")
        before = await self._log_files(connection)
        for _ in range(_MOST_ROUNDS):
            # An empty file is not left: a word is written to it first.
            await connection.execute("SELECT pg_logical_emit_message(true, 'numen', '')")
            await connection.execute("SELECT pg_switch_wal()")
            await connection.execute("CHECKPOINT")
            if not before & await self._log_files(connection):
                return len(before)
        raise Unavailable("The database does not let go of its log of writes; it is tried again.")

    @staticmethod
    async def _log_files(connection: Connection) -> set[str]:
        rows = await connection.fetch("SELECT name FROM pg_ls_waldir()")
        return {row["name"] for row in rows if _FILE_OF_THE_LOG.fullmatch(row["name"])}


def _search(data: Path, traces: Sequence[bytes]) -> list[str]:
    found = [path for path in data.rglob("*") if traces and path.is_file() and _holds(path, traces)]
    return [path.relative_to(data).as_posix() for path in found]


def _holds(path: Path, traces: Sequence[bytes]) -> bool:
    overlap = max(map(len, traces)) - 1
    tail = b""
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                piece = tail + piece
                if any(trace in piece for trace in traces):
                    return True
                tail = piece[-overlap:]
    except FileNotFoundError:  # it was a temporary one
        return False
    return False
