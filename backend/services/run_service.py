"""RunService: what became of a turn, its events from any place on, and how to stop it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import UUID

from backend.errors import RunFinished, RunNotFound
from backend.models.events import TERMINAL, Place, ServerEvent, events_after
from backend.models.run import Run
from backend.models.tenant import Caller
from backend.services.run_outcomes import orphaned
from backend.services.run_registry import RunRegistry
from backend.services.turn_ledger import LEASE
from backend.stores.database import Database
from backend.stores.runs import StoredRun, TurnIds
from backend.telemetry import get_logger

_POLL_SECONDS = 0.25
_CANCEL_SECONDS = 5.0
_log = get_logger(__name__)


class RunService:
    """Runs of this process are read where they live, those of others and of the past from their rows."""

    def __init__(self, database: Database, runs: RunRegistry) -> None:
        self._database = database
        self._runs = runs

    async def get(self, caller: Caller, run_id: UUID) -> Run:
        """The run as it is stored. Errors: `RunNotFound`."""
        return (await self._stored(caller, run_id)).run

    async def events(self, caller: Caller, run_id: UUID, place: Place) -> AsyncIterator[ServerEvent]:
        """Everything after `place`, until the run has ended. Errors, before the first event: `RunNotFound`."""
        stored = await self._stored(caller, run_id)
        live = self._runs.get(run_id)
        return live.events(place) if live is not None else self._follow(caller, stored, place)

    async def cancel(self, caller: Caller, run_id: UUID) -> Run:
        """Stop a run; what had been said is kept and marked. Errors: `RunNotFound`, `RunFinished`."""
        stored = await self._stored(caller, run_id)
        if stored.run.status != "running":
            raise RunFinished(f"The run has already ended ({stored.run.status}); there is nothing to stop.")
        live = self._runs.get(run_id)
        if live is not None:
            live.stop("cancelled")
            with suppress(TimeoutError):
                async with asyncio.timeout(_CANCEL_SECONDS):
                    await live.ending()
        else:
            async with self._database.tenant(caller.tenant_id) as tx:
                await tx.runs.request_cancel(run_id, caller.sees_only)
        return (await self._stored(caller, run_id)).run

    async def end_all(self, seconds: float) -> None:
        """No new runs here; those that live may end, and are stopped after half of the time: what they said is kept."""
        await self._runs.close(seconds)

    async def recover_orphans(self, *, even_leased: bool = False) -> int:
        """Mark the runs whose server is gone as failed; return how many. `even_leased`: we are the only server."""
        async with self._database.worker() as worker:
            found = await worker.orphaned_runs(even_leased=even_leased)
        recovered = 0
        for tenant_id, run_id in found:
            if self._runs.get(run_id) is None:
                recovered += await self._recover(tenant_id, run_id, even_leased=even_leased)
        if recovered:
            _log.warning("runs of a lost server marked as failed", count=recovered)
        return recovered

    async def _recover(self, tenant_id: UUID, run_id: UUID, *, even_leased: bool) -> bool:
        async with self._database.tenant(tenant_id) as tx:
            stored = await tx.runs.claim_orphan(run_id, LEASE, even_leased=even_leased)
            if stored is None:
                return False
            run = stored.run
            ids = TurnIds(
                run.agent_id, run.thread_id, run.user_id, run.id, run.user_message_id, run.assistant_message_id
            )
            return await tx.runs.finish(ids, orphaned(run, stored.marks), orphan=True)

    async def _stored(self, caller: Caller, run_id: UUID) -> StoredRun:
        async with self._database.tenant(caller.tenant_id) as tx:
            stored = await tx.runs.get(run_id, caller.sees_only)
        if stored is None:
            raise RunNotFound("There is no run with this id.")
        return stored

    async def _follow(self, caller: Caller, stored: StoredRun, place: Place) -> AsyncIterator[ServerEvent]:
        while True:
            for event in events_after(place, stored.marks, stored.run.text):
                yield event
                place = Place.parse(event.id)
                if event.type in TERMINAL:
                    return
            if stored.run.status != "running":
                return
            await asyncio.sleep(_POLL_SECONDS)
            stored = await self._stored(caller, stored.run.id)
