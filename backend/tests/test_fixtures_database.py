"""The database that tests stand on is empty before each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from backend.stores.database import Database
from backend.stores.users import Standing
from backend.tests.factories import TenantFactory, make_default_tenant

if TYPE_CHECKING:
    from asyncpg import Connection


@pytest.mark.parametrize("time", [1, 2])
async def test_each_test_finds_an_empty_database(
    time: int, tenant: TenantFactory, database: Database, owner: Connection
) -> None:
    assert await owner.fetchval("SELECT count(*) FROM tenants") == 0
    caller = await tenant()
    default = await make_default_tenant(database)
    async with database.tenant(caller.tenant_id) as tx:
        assert await tx.users.standing(caller.user_id) == Standing("active", "active")
        assert await tx.users.standing(default.user_id) == Standing("active", None)
