"""Migrations: once, in order, all or nothing, and never over a database that somebody else changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest

from backend.embedded.postgres import EmbeddedPostgres
from backend.errors import DatabaseUnavailable, Misconfigured
from backend.stores.migrate import Migration, migrate, pending, shipped
from backend.stores.roles import Logins
from backend.stores.schema import bring_up_to_date, create_database, look_at_schema

if TYPE_CHECKING:
    from asyncpg import Connection

FIRST = Migration("0001_first", "CREATE TABLE first (id int)")
SECOND = Migration("0002_second", "CREATE TABLE second (id int); INSERT INTO first VALUES (2)")
BROKEN = Migration("0003_broken", "CREATE TABLE third (id int); SELECT nothing FROM nowhere")


@pytest.fixture
async def empty_url(postgres_server: EmbeddedPostgres) -> AsyncGenerator[str]:
    """The URL of a new, empty database."""
    name = f"migrate_{uuid4().hex[:8]}"
    assert await create_database(postgres_server.dsn(), name)
    yield postgres_server.dsn(name)
    connection = await asyncpg.connect(postgres_server.dsn())
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()


@pytest.fixture
async def connection(empty_url: str) -> AsyncGenerator[Connection]:
    opened = await asyncpg.connect(empty_url)
    yield opened
    await opened.close()


async def applied(connection: Connection) -> list[str]:
    return [row[0] for row in await connection.fetch("SELECT version FROM schema_migrations ORDER BY version")]


async def test_each_runs_once_and_in_order(connection: Connection) -> None:
    assert await migrate(connection, [FIRST]) == ["0001_first"]
    assert await migrate(connection, [FIRST, SECOND]) == ["0002_second"]
    assert await migrate(connection, [FIRST, SECOND]) == []
    assert await applied(connection) == ["0001_first", "0002_second"]
    assert await connection.fetchval("SELECT count(*) FROM first") == 1


async def test_a_broken_one_leaves_everything_as_it_was(connection: Connection) -> None:
    await migrate(connection, [FIRST])
    with pytest.raises(asyncpg.UndefinedTableError):
        await migrate(connection, [FIRST, SECOND, BROKEN])
    assert await applied(connection) == ["0001_first"]
    assert await connection.fetchval("SELECT to_regclass('second') IS NULL AND to_regclass('third') IS NULL")
    assert await migrate(connection, [FIRST, SECOND]) == ["0002_second"]


async def test_an_edited_one_is_refused(connection: Connection) -> None:
    await migrate(connection, [FIRST])
    edited = Migration(FIRST.version, f"{FIRST.sql} ")
    with pytest.raises(Misconfigured, match="0001_first was changed after it ran"):
        await migrate(connection, [edited, SECOND])
    assert await applied(connection) == ["0001_first"]


async def test_a_newer_database_is_refused(connection: Connection) -> None:
    await migrate(connection, [FIRST, SECOND])
    with pytest.raises(Misconfigured, match=r"does not know \(0002_second\): it belongs to a newer release"):
        await migrate(connection, [FIRST])


def test_files_are_taken_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("0010_c.sql", "0002_b.sql", "0001_a.sql", "notes.txt"):
        (tmp_path / name).write_text(f"-- {name}\n", "utf-8")
    assert [one.version for one in shipped(tmp_path)] == ["0001_a", "0002_b", "0010_c"]
    assert shipped(tmp_path)[0].sql == "-- 0001_a.sql\n"


async def test_servers_that_boot_at_once_migrate_once(postgres_server: EmbeddedPostgres, empty_url: str) -> None:
    found = await asyncio.gather(*(bring_up_to_date(Logins.derived(empty_url)) for _ in range(4)))
    assert sorted(found, key=len) == [[], [], [], [one.version for one in shipped()]]
    assert await bring_up_to_date(Logins.derived(empty_url)) == []


async def test_a_look_changes_nothing(empty_url: str, connection: Connection) -> None:
    ours = [one.version for one in shipped()]
    state = await look_at_schema(Logins.derived(empty_url))
    assert state.pending == ours
    assert int(state.server.split(".")[0]) >= 15
    assert await connection.fetchval("SELECT to_regclass('schema_migrations') IS NULL")
    await bring_up_to_date(Logins.derived(empty_url))
    assert await pending(connection) == []
    await connection.execute("INSERT INTO schema_migrations VALUES ('9999_later', '')")
    with pytest.raises(Misconfigured, match="9999_later"):
        await pending(connection)


async def test_a_database_is_made_once(postgres_server: EmbeddedPostgres) -> None:
    name = f'odd "{uuid4().hex[:8]}'
    made = await asyncio.gather(*(create_database(postgres_server.dsn(), name) for _ in range(3)))
    assert sorted(made) == [False, False, True]
    connection = await asyncpg.connect(postgres_server.dsn())
    await connection.execute(f"DROP DATABASE {await connection.fetchval('SELECT quote_ident($1)', name)}")
    await connection.close()


async def test_a_server_that_is_not_there_is_named(empty_url: str) -> None:
    with pytest.raises(DatabaseUnavailable, match="PostgreSQL at its socket does not answer"):
        await bring_up_to_date(Logins.derived("postgresql://postgres@/numen?host=/tmp/no-such-folder"))
    with pytest.raises(DatabaseUnavailable, match=r"PostgreSQL at 127\.0\.0\.1:9 does not answer"):
        await bring_up_to_date(Logins.derived("postgresql://postgres:secret@127.0.0.1:9/numen"))
    missing = empty_url.replace("migrate_", "missing_")
    with pytest.raises(Misconfigured, match="does not exist"):
        await bring_up_to_date(Logins.derived(missing))
