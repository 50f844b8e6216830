"""One statement as a tenant's whole transaction: it sets the tenant and reads its rows in the same round trip."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from backend.stores.pool import taken, translated

if TYPE_CHECKING:
    from asyncpg import Pool

    from backend.stores.pool import HouseConnection

_READS = re.compile(r"(?:\s*--[^\n]*\n)*\s*(?:SELECT|WITH)\b")
_NEEDS_A_TRANSACTION = re.compile(
    r"\bFOR\s+(?:NO\s+KEY\s+UPDATE|UPDATE|KEY\s+SHARE|SHARE)\b|\bpg_advisory_|\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\b"
)
_GIVEN = "WITH given AS MATERIALIZED (\n    SELECT $1::uuid AS tenant_id"
_GIVEN_ALONE = _GIVEN.replace("$1::uuid", "set_config('app.tenant_id', $1::uuid::text, true)::uuid")
_READS_ALONE = """
SELECT asked.*
  FROM (SELECT set_config('app.tenant_id', $1::uuid::text, true) AS tenant OFFSET 0) AS first,
       LATERAL (SELECT * FROM (
{query}
       ) AS query WHERE first.tenant IS NOT NULL OFFSET 0) AS asked
"""


@cache
def alone(sql: str) -> str:
    """This query, so that its own transaction is of the tenant $1. Errors: `ValueError` for one that cannot be alone.

    The setting lasts as long as the statement. What is read depends on it (LATERAL, OFFSET 0), and what is written is
    made from it (`given`), so it is there before any row is looked at. Were it not, the row policies would see no
    tenant and let no row through.
    """
    if _GIVEN in sql:
        return sql.replace(_GIVEN, _GIVEN_ALONE)
    if not _READS.match(sql) or _NEEDS_A_TRANSACTION.search(sql):
        raise ValueError(f"this is part of a transaction and cannot be alone: {sql}")
    return _READS_ALONE.replace("{query}", sql.strip().rstrip(";"))


class SingleStatements:
    """Stands for asyncpg's connection in a store: takes one from the pool for each call and gives it back after it."""

    def __init__(self, pool: Pool, tenant_id: UUID, patience: float) -> None:
        self._pool = pool
        self._tenant_id = tenant_id
        self._patience = patience

    async def fetch(self, sql: str, *values: Any) -> Any:
        """See asyncpg."""
        return await self._do("fetch", sql, values)

    async def fetchrow(self, sql: str, *values: Any) -> Any:
        """See asyncpg."""
        return await self._do("fetchrow", sql, values)

    async def fetchval(self, sql: str, *values: Any) -> Any:
        """See asyncpg."""
        return await self._do("fetchval", sql, values)

    async def _do(self, how: str, sql: str, values: tuple[Any, ...]) -> Any:
        if not values or values[0] != self._tenant_id:
            raise ValueError("the first value of a tenant's query is the tenant")
        with translated():
            connection = await taken(self._pool, self._patience)
            try:
                found = await getattr(connection, how)(alone(sql), *values)
                cast("HouseConnection", connection).left_clean()
                return found
            finally:
                await self._pool.release(connection, timeout=self._patience)
