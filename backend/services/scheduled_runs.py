"""ScheduledRuns: what the scheduler ordered is started, in the name of the agent's owner."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from backend.errors import Conflict, Forbidden, Invalid, NotFound, NumenError
from backend.services.identifiers import new_id
from backend.services.run_orders import RunOrder, StartRun
from backend.stores.database import Database
from backend.stores.worker import Delivery
from backend.telemetry import get_logger

KIND = "run.scheduled"
_FOR_GOOD = (NotFound, Conflict, Forbidden, Invalid)
_log = get_logger(__name__)


class ScheduledRuns:
    """Delivers the outbox's orders of kind `run.scheduled`: `start` is called for each, and may be called again.

    An order is dropped when its agent is gone or not to run by itself any more. Ticks that were missed before it are
    written to the audit log, once. The run's metadata says for when it was scheduled; its input is empty.
    """

    def __init__(self, database: Database, start: StartRun) -> None:
        self._database = database
        self._start = start

    async def deliver(self, orders: Sequence[Delivery]) -> Mapping[int, str]:
        """Start these runs; those that could not be started now, each with the reason."""
        told = await asyncio.gather(*(self._deliver(one) for one in orders))
        return {one.id: reason for one, reason in zip(orders, told, strict=True) if reason is not None}

    async def _deliver(self, order: Delivery) -> str | None:
        dropped = ""
        try:
            owner_id = await self._owner(order)
            if owner_id is None:
                dropped = "not scheduled any more"
            else:
                await self._start(_run_order(order, owner_id))
        except _FOR_GOOD as error:
            dropped = error.code
        except NumenError as error:
            return error.detail
        if dropped:
            named = {"tenant_id": str(order.tenant_id), "agent_id": str(order.subject_id)}
            _log.warning("scheduled run dropped", **named, tick=order.payload["tick"], reason=dropped)
        return None

    async def _owner(self, order: Delivery) -> UUID | None:
        async with self._database.tenant(order.tenant_id) as tx:
            owner_id = await tx.schedules.wanted(order.subject_id)
            if owner_id is not None and order.payload["missed"]:
                await tx.schedules.report_missed(order.subject_id, owner_id, order.payload)
        return owner_id


def _run_order(order: Delivery, owner_id: UUID) -> RunOrder:
    tick = datetime.fromisoformat(order.payload["tick"]).isoformat()
    return RunOrder(
        tenant_id=order.tenant_id,
        user_id=owner_id,
        agent_id=order.subject_id,
        input="",
        metadata={"trigger": "schedule", "scheduled_for": tick},
        operation_id=new_id(order.subject_id, tick),
        trigger="schedule",
    )
