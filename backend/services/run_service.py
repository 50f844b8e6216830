"""RunService: what became of a run, its events from any place on, what it waits for, and how to stop it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import NoReturn
from uuid import UUID

from backend.errors import ApprovalAnswered, CallNotFound, RunFinished, RunNotFound
from backend.models.events import TERMINAL, Place, ServerEvent, events_after
from backend.models.run import ApprovalAnswer, Run, RunStatus, RunStep
from backend.models.tenant import Caller
from backend.services.run_driver import RunDriver
from backend.services.run_outcomes import abandoned, orphaned
from backend.services.run_registry import RunRegistry
from backend.services.turn_ledger import LEASE
from backend.stores.database import Database, TenantTransaction
from backend.stores.runs import StoredRun, TurnIds
from backend.telemetry import get_logger

_POLL_SECONDS = 0.25
_CANCEL_SECONDS = 5.0
_log = get_logger(__name__)


class RunService:
    """Runs of this process are read where they live, those of others and of the past from their rows."""

    def __init__(self, database: Database, runs: RunRegistry, driver: RunDriver) -> None:
        self._database = database
        self._runs = runs
        self._driver = driver

    async def get(self, caller: Caller, run_id: UUID) -> Run:
        """The run as it is stored, with the calls that wait for a person. Errors: `RunNotFound`."""
        return await self._driver.stored(caller, run_id)

    async def steps(self, caller: Caller, run_id: UUID) -> list[RunStep]:
        """What the run did, in order; of a chat only what it did with tools. Errors: `RunNotFound`."""
        await self._stored(caller, run_id)
        return [step.shown() for step in await self._database.statements(caller.tenant_id).run_steps.all(run_id)]

    async def answer(
        self, caller: Caller, run_id: UUID, call_id: UUID, answer: ApprovalAnswer, operation_id: UUID | None = None
    ) -> Run:
        """Agree to a tool call that waits, or refuse it; when no other waits, the run goes on. A repeated operation
        changes nothing.

        Errors: `RunNotFound`, `CallNotFound`, `ApprovalAnswered`, `RunFinished`.
        """
        async with self._database.tenant(caller.tenant_id) as tx:
            status = await tx.runs.lock(run_id, caller.sees_only)
            if status is None:
                raise RunNotFound("There is no run with this id.")
            answered = await tx.run_steps.answer(
                run_id,
                call_id,
                caller.user_id,
                approved=answer.approved,
                reason=answer.reason,
                operation_id=operation_id,
            )
            if answered:
                verdict = {"call_id": str(call_id), "approved": answer.approved}
                await tx.audit.record(caller, "run.call_answered", "run", run_id, verdict)
            elif operation_id is None or not await tx.run_steps.answered_in(run_id, call_id, operation_id):
                await _refuse_answer(tx, run_id, call_id, status)
            awake = await tx.runs.wake(run_id)
        if awake:
            await self._driver.resume(caller.tenant_id, run_id)
        return await self._driver.stored(caller, run_id)

    async def events(self, caller: Caller, run_id: UUID, place: Place) -> AsyncIterator[ServerEvent]:
        """Everything after `place`, until the run has ended. Errors, before the first event: `RunNotFound`."""
        stored = await self._stored(caller, run_id)
        live = self._runs.get(run_id)
        return live.events(place) if live is not None else self._follow(caller, stored, place)

    async def cancel(self, caller: Caller, run_id: UUID) -> Run:
        """Stop a run; what had been said is kept and marked. Errors: `RunNotFound`, `RunFinished`."""
        stored = await self._stored(caller, run_id)
        if stored.run.status == "waiting" and await self._abandon(caller, run_id):
            return (await self._stored(caller, run_id)).run
        if stored.run.status not in ("running", "waiting"):
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

    async def _abandon(self, caller: Caller, run_id: UUID) -> bool:
        """End a run that waits for a person; False when it goes on again meanwhile."""
        async with self._database.tenant(caller.tenant_id) as tx:
            stored = await tx.runs.claim_orphan(run_id, LEASE, even_leased=False, waiting=True)
            if stored is None:
                return False
            await tx.run_steps.close(run_id)
            return await tx.runs.finish(
                _ids_of(stored.run), abandoned(stored.run, stored.marks), stored.claim, orphan=True
            )

    async def end_all(self, seconds: float) -> None:
        """No new runs here; those that live may end, and are stopped after half of the time: what they said is kept."""
        await self._runs.close(seconds)

    async def recover_orphans(self, *, even_leased: bool = False) -> int:
        """Go on with the recorded runs whose server is gone, and mark the others as failed; return how many these are.

        `even_leased`: we are the only server.
        """
        async with self._database.worker() as worker:
            found = await worker.orphaned_runs(even_leased=even_leased)
        recovered = 0
        for tenant_id, run_id, recorded in found:
            if recorded:
                await self._driver.resume(tenant_id, run_id, even_leased=even_leased)
            elif self._runs.get(run_id) is None:
                recovered += await self._recover(tenant_id, run_id, even_leased=even_leased)
        if recovered:
            _log.warning("runs of a lost server marked as failed", count=recovered)
        return recovered

    async def _recover(self, tenant_id: UUID, run_id: UUID, *, even_leased: bool) -> bool:
        async with self._database.tenant(tenant_id) as tx:
            stored = await tx.runs.claim_orphan(run_id, LEASE, even_leased=even_leased)
            if stored is None:
                return False
            await tx.run_steps.close(run_id)
            return await tx.runs.finish(
                _ids_of(stored.run), orphaned(stored.run, stored.marks), stored.claim, orphan=True
            )

    async def _stored(self, caller: Caller, run_id: UUID) -> StoredRun:
        stored = await self._database.statements(caller.tenant_id).runs.get(run_id, caller.sees_only)
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


def _ids_of(run: Run) -> TurnIds:
    return TurnIds(run.agent_id, run.thread_id, run.user_id, run.id, run.user_message_id, run.assistant_message_id)


async def _refuse_answer(tx: TenantTransaction, run_id: UUID, call_id: UUID, status: RunStatus) -> NoReturn:
    if not await tx.run_steps.exists(run_id, call_id):
        raise CallNotFound("The run has no tool call with this id.")
    if status not in ("running", "waiting"):
        raise RunFinished(f"The run has already ended ({status}); nothing waits for an answer.")
    raise ApprovalAnswered("This call does not wait for an answer: it was answered already, or needs none.")
