"""What is done now and then, each job for itself; and what the only server takes over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from backend.gateways.contract_files import DiskContractFiles
from backend.models.run import ChatRequest
from backend.models.tenant import Caller
from backend.services.contract_mirror import KIND, ContractMirror
from backend.services.idempotency_service import IdempotencyService
from backend.services.janitor import Janitor
from backend.services.model_catalog import ModelCatalog
from backend.stores.database import Database
from backend.tests.factories import TenantFactory
from backend.tests.fakes import ScriptedModel
from backend.tests.services.one_server import OneServer

if TYPE_CHECKING:
    from asyncpg import Connection


class Listing(ScriptedModel):
    """A provider that names the end of a model."""

    async def retirements(self) -> dict[str, str | None]:
        return {"some-model": "2026-01-01"}


class EndlessMirror(ContractMirror):
    """A mirror with more to mend than there is time."""

    async def reconcile(self) -> int:
        await asyncio.Event().wait()
        return 0


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


@pytest.fixture
def server(database: Database) -> OneServer:
    return OneServer(database)


def janitor(
    server: OneServer, folder: Path, catalog: ModelCatalog, kind: type[ContractMirror] = ContractMirror
) -> Janitor:
    mirror = kind(server.database, DiskContractFiles(folder))
    model = Listing()
    return Janitor(
        server.database, IdempotencyService(server.database), server.relay, server.runs, mirror, catalog, model
    )


@asynccontextmanager
async def working(one: Janitor) -> AsyncGenerator[None]:
    task = asyncio.create_task(one.run())
    try:
        async with asyncio.timeout(30):
            yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize("kind", [ContractMirror, EndlessMirror])
async def test_every_job_is_done_at_the_start(
    kind: type[ContractMirror], server: OneServer, caller: Caller, tmp_path: Path, owner: Connection
) -> None:
    agent = await server.agent(caller)
    await server.ledger.open(caller, agent, ChatRequest(message="Hello"))
    await owner.execute("UPDATE runs SET leased_until = now() - interval '1 s'")
    await owner.execute(
        "INSERT INTO idempotency_keys (tenant_id, user_id, key, request_hash, leased_until, created_at)"
        " VALUES ($1, $2, 'old', '', now(), now() - interval '3 days')",
        caller.tenant_id, caller.user_id,
    )  # fmt: skip
    catalog = ModelCatalog("gpt-6-luna", server.clock)
    async with working(janitor(server, tmp_path, catalog, kind)):
        while not (  # noqa: ASYNC110 — the rows, the catalog and the folder say so
            await owner.fetchval("SELECT count(*) FROM runs WHERE status = 'running'") == 0
            and await owner.fetchval("SELECT count(*) FROM idempotency_keys") == 0
            and catalog.resolve("openai", "some-model").retired
            and (kind is EndlessMirror or (tmp_path / str(agent)).is_dir())
        ):
            await asyncio.sleep(0.01)


async def test_the_only_server_takes_over_at_once(
    server: OneServer, caller: Caller, tmp_path: Path, owner: Connection
) -> None:
    agent = await server.agent(caller)
    await server.ledger.open(caller, agent, ChatRequest(message="Hello"))
    async with server.database.worker() as worker:
        await worker.claim_deliveries(timedelta(seconds=30), 10, [KIND])
    async with server.database.tenant(caller.tenant_id) as tx:
        await tx.idempotency.claim(caller.user_id, str(uuid4()), b"hash", timedelta(seconds=30))
    one = janitor(server, tmp_path, ModelCatalog("gpt-6-luna", server.clock))
    await one.take_over(alone=False)
    assert await held(owner) == (1, 1, 1)
    await one.take_over(alone=True)
    assert await held(owner) == (0, 0, 0)


async def held(owner: Connection) -> tuple[int, int, int]:
    """Leases that somebody holds: on orders, on requests, on runs."""
    counts = [
        await owner.fetchval("SELECT count(*) FROM outbox WHERE leased_until > clock_timestamp()"),
        await owner.fetchval("SELECT count(*) FROM idempotency_keys WHERE leased_until > clock_timestamp()"),
        await owner.fetchval("SELECT count(*) FROM runs WHERE status = 'running'"),
    ]
    return counts[0], counts[1], counts[2]
