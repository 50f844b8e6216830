"""Forward-only migrations: numbered .sql files, applied once, in order, in one transaction, checked by checksum."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING

from backend.errors import Misconfigured

if TYPE_CHECKING:
    from asyncpg import Connection

LOCK = 7_215_001  # any constant: two servers that boot at once must not migrate at once
_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    text        PRIMARY KEY,
    checksum   text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: `version` is its name without the ending."""

    version: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def shipped(folder: Traversable | None = None) -> Sequence[Migration]:
    """The migrations of this release, in order."""
    folder = folder or files("backend.stores") / "migrations"
    found = sorted((one for one in folder.iterdir() if one.name.endswith(".sql")), key=lambda one: one.name)
    return [Migration(one.name.removesuffix(".sql"), one.read_text("utf-8")) for one in found]


async def migrate(connection: Connection, migrations: Sequence[Migration] | None = None) -> list[str]:
    """Apply what is missing, as the owner; return the versions applied.

    Errors: `Misconfigured` when a migration that already ran was edited, or when the database is newer than we are.
    """
    migrations = shipped() if migrations is None else migrations
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        await connection.execute(_LEDGER)
        done = await _applied(connection)
        _refuse_unknown(done, migrations)
        return [one.version for one in migrations if await _apply(connection, one, done.get(one.version))]


async def pending(connection: Connection) -> list[str]:
    """The shipped migrations that this database lacks. Errors: `Misconfigured`, as `migrate`."""
    if await connection.fetchval("SELECT to_regclass('schema_migrations') IS NULL"):
        return [one.version for one in shipped()]
    done = await _applied(connection)
    _refuse_unknown(done, shipped())
    for one in shipped():
        _refuse_edited(one, done.get(one.version))
    return [one.version for one in shipped() if one.version not in done]


async def _applied(connection: Connection) -> dict[str, str]:
    rows = await connection.fetch("SELECT version, checksum FROM schema_migrations")
    return {row["version"]: row["checksum"] for row in rows}


def _refuse_edited(migration: Migration, known: str | None) -> None:
    if known is not None and known != migration.checksum:
        raise Misconfigured(
            f"The migration {migration.version} was changed after it ran. Restore the file and write a new one."
        )


def _refuse_unknown(done: dict[str, str], migrations: Sequence[Migration]) -> None:
    if unknown := sorted(done.keys() - {one.version for one in migrations}):
        raise Misconfigured(
            f"The database has migrations that this release does not know ({', '.join(unknown)}): "
            "it belongs to a newer release. Run that one, or restore a backup from before."
        )


async def _apply(connection: Connection, migration: Migration, known: str | None) -> bool:
    _refuse_edited(migration, known)
    if known is not None:
        return False
    await connection.execute(migration.sql)
    insert = "INSERT INTO schema_migrations (version, checksum) VALUES ($1, $2)"
    await connection.execute(insert, migration.version, migration.checksum)
    return True
