"""A tenant, somebody who is in every store of it, and what erases them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from backend.errors import Unavailable
from backend.models.erasure import Certificate, Erasure, Scrubbed
from backend.models.namespace import Namespace
from backend.models.tenant import Caller, Role
from backend.ports import IndexPoint
from backend.services.access_service import AccessService
from backend.services.erasure_job import KIND, ErasureJob, KeptAudio
from backend.services.erasure_service import ErasureService
from backend.services.run_registry import RunRegistry
from backend.stores.database import Database
from backend.tests.fakes import FakeIndex, FrozenClock
from backend.tests.person_everywhere import Planted, plant_person

if TYPE_CHECKING:
    from asyncpg import Connection

WORDS = "Quillfeather-7193"
_TABLES = "SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public'"


class House:
    """A tenant with an agent, its owner, and what erases."""

    def __init__(self, database: Database, rows: Connection, owner: Caller, agent_id: UUID) -> None:
        self.database = database
        self.rows = rows
        self.owner = owner
        self.agent_id = agent_id
        self.index = FakeIndex()
        self.scrubber: Scrubber | None = Scrubber()
        self.clock = FrozenClock()
        self.access = AccessService(database, mode="keys", clock=self.clock)
        self.runs = RunRegistry()
        self.orders = 0
        self.forgotten = 0
        self.audio: KeptAudio | None = None
        self.service = ErasureService(database, self.access, self.runs, self._ordered)

    def _ordered(self) -> None:
        self.orders += 1

    def _forget(self) -> None:
        self.forgotten += 1

    @property
    def owner_with_act_as(self) -> Caller:
        return Caller(self.owner.tenant_id, self.owner.user_id, Role.OWNER, frozenset({"act_as"}))

    async def plant(self, words: str = WORDS) -> Planted:
        """A person with these words everywhere, in the index, too."""
        planted = await plant_person(self.rows, self.owner.tenant_id, self.agent_id, words)
        here = (planted.tenant_id, planted.agent_id)
        spaces = [
            Namespace(*here, "thread" if number % 2 else "user", planted.threads[0] if number % 2 else planted.user_id)
            for number in range(len(planted.memories))
        ]
        for memory_id, space in zip(planted.memories, spaces, strict=True):
            await self.put(memory_id, space)
        await self.put(planted.agent_memory, Namespace(*here))
        return planted

    async def put(self, memory_id: UUID, namespace: Namespace) -> None:
        await self.index.put([IndexPoint(memory_id, namespace, np.zeros(3, np.float32), "", datetime.now(UTC))])

    async def deliver(self) -> dict[int, str]:
        """What the relay does, without its pauses; the failures."""
        async with self.database.worker() as worker:
            claimed = await worker.claim_deliveries(timedelta(seconds=30), 10, [KIND])
        job = ErasureJob(self.database, self.index, self.scrubber, self.clock, [self._forget], self.audio)
        failures = dict(await job.deliver(claimed))
        async with self.database.worker() as worker:
            await worker.delivered([one.id for one in claimed if one.id not in failures])
            await worker.postpone(list(failures), timedelta(0), "again")
        return failures

    async def certificate(self, erasure: Erasure) -> Certificate:
        found = await self.service.get(self.owner, erasure.id)
        assert found.status == "done"
        assert found.certificate is not None
        return found.certificate

    async def everything(self) -> str:
        """Every row of every table, as text."""
        tables = [row["name"] for row in await self.rows.fetch(_TABLES)]
        rows = [tuple(row) for table in tables for row in await self.rows.fetch(f"SELECT * FROM {table}")]  # noqa: S608
        return str(rows)


class Scrubber:
    """A `Scrubber` that remembers what it was to look for."""

    def __init__(self) -> None:
        self.asked: list[Sequence[bytes]] = []
        self.away = False
        self.still_in: list[str] = []

    async def scrub(self, traces: Sequence[bytes]) -> Scrubbed:
        self.asked.append(traces)
        if self.away:
            raise Unavailable("the files are in use")
        return Scrubbed(7, self.still_in)
