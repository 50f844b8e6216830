"""Bringing a database up to date: roles, then migrations, as the owner, before anything serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from backend.stores.migrate import migrate, pending
from backend.stores.pool import connecting
from backend.stores.roles import Logins, prepare_roles

if TYPE_CHECKING:
    from asyncpg import Connection


async def create_database(maintenance_url: str, name: str) -> bool:
    """Make a database of this name unless it is there; True when it was made."""
    connection = await _connect(maintenance_url)
    try:
        if await connection.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name):
            return False
        quoted = await connection.fetchval("SELECT quote_ident($1)", name)
        await connection.execute(f"CREATE DATABASE {quoted}")
        return True
    except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):  # somebody else was faster
        return False
    finally:
        await connection.close()


async def bring_up_to_date(logins: Logins) -> list[str]:
    """Make the roles and apply the missing migrations; return the versions applied.

    Errors: `DatabaseUnavailable`, and `Misconfigured` with what an administrator has to do.
    """
    connection = await _connect(logins.owner)
    try:
        await prepare_roles(connection, logins)
        return await migrate(connection)
    finally:
        await connection.close()


@dataclass(frozen=True, slots=True)
class SchemaState:
    """`server` is PostgreSQL's version; `pending` are the migrations of this release that were not applied."""

    server: str
    pending: list[str]


async def look_at_schema(logins: Logins) -> SchemaState:
    """How the database stands to this release; nothing is changed. Errors: `DatabaseUnavailable`, `Misconfigured`."""
    connection = await _connect(logins.owner)
    try:
        return SchemaState(await connection.fetchval("SHOW server_version"), await pending(connection))
    finally:
        await connection.close()


async def _connect(url: str) -> Connection:
    with connecting(url):
        return await asyncpg.connect(url, timeout=10)
