"""Whether the server can work: without a database it cannot, without the search index it can."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from backend.errors import IndexUnavailable
from backend.services.memory.indexing import KIND
from backend.services.memory.reindex import Reindex
from backend.services.outbox_relay import OutboxRelay
from backend.services.readiness_service import LATE_SECONDS, ReadinessService
from backend.stores.database import Database
from backend.telemetry import Metrics
from backend.tests.factories import TenantFactory
from backend.tests.fakes import FakeIndex


async def test_the_index_is_opened_lost_and_found_while_people_are_served(
    database: Database, tenant: TenantFactory
) -> None:
    metrics, index = Metrics(), FakeIndex()
    mirror = OutboxRelay(database, {}, metrics)

    async def nothing(_: object) -> dict[int, str]:
        return {}

    memories = OutboxRelay(database, {KIND: nothing}, metrics)
    reindex = Reindex(database, index, memories.wake)
    readiness = ReadinessService(database, mirror, memories, reindex)

    async def told() -> tuple[str, str, str]:
        found = await readiness.check()
        return found.status, found.dependencies["index"].status, found.dependencies["index"].detail

    status, index_status, detail = await told()
    assert (status, index_status) == ("ready", "late")
    assert detail.startswith("being opened")
    await reindex.watch()
    assert await told() == ("ready", "ok", "0 waiting, the oldest for 0.0 s")
    index.away = True
    with pytest.raises(IndexUnavailable):
        await reindex.watch()
    assert await told() == ("degraded", "down", "the index is away; 0 waiting, the oldest for 0.0 s")
    index.away = False
    await reindex.watch()
    assert (await told())[:2] == ("ready", "ok")
    caller = await tenant()
    async with database.tenant(caller.tenant_id) as tx:
        await tx.memories._connection.execute(  # pyright: ignore[reportPrivateUsage] — an order of an hour ago
            "INSERT INTO outbox (tenant_id, kind, subject_id, created_at) VALUES ($1, $2, $3, now() - $4::interval)",
            caller.tenant_id, KIND, uuid4(), timedelta(seconds=LATE_SECONDS + 1),
        )  # fmt: skip
    assert (await told())[:2] == ("ready", "late")
