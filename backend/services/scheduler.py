"""The scheduler: agents that run by themselves are run when their time has come, once, whoever looks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from backend.errors import DatabaseUnavailable
from backend.services.outbox_relay import to_its_end
from backend.services.timetable import Timetable
from backend.stores.database import Database
from backend.stores.worker import DueSchedule, Ticked, WorkerStore
from backend.telemetry import Metrics, get_logger

PAUSE_SECONDS = 1.0
BATCH = 100
_log = get_logger(__name__)


class Scheduler:
    """Runs in every process. A tick is taken by comparing the next one with what was read and setting it, and the order
    for its run is written in the same statement: one order for each tick, whatever stops whom. All times are the
    database's.

    Of ticks that passed while nobody looked the latest is run, the others are counted and told. A run may still be
    going when the next tick comes: that one is started all the same. `order_placed` wakes the relay of the orders.
    """

    def __init__(
        self,
        database: Database,
        order_placed: Callable[[], None],
        metrics: Metrics,
        *,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._database = database
        self._order_placed = order_placed
        self._metrics = metrics
        self._pause = pause_seconds

    async def run(self) -> None:
        """Look about once a second until cancelled."""
        while True:
            try:
                await self._catch_up()
            except DatabaseUnavailable:
                _log.warning("schedules wait for the database")
            except Exception:  # noqa: BLE001 — the seam of this background task: one bad step must not end all schedules
                _log.exception("schedules were not looked at")
            await asyncio.sleep(self._pause)

    async def _catch_up(self) -> None:
        found = BATCH
        while found >= BATCH:
            found = await to_its_end(self.step())

    async def step(self) -> int:
        """Do what there is to do now, some of it when it is much; how much that was."""
        async with self._database.worker() as worker:
            found = await worker.due_schedules(BATCH)
            for one in found:
                await self._attend(worker, one)
        return len(found)

    async def _attend(self, worker: WorkerStore, due: DueSchedule) -> None:
        if due.schedule is None:
            await worker.pause_schedule(due)
        elif due.next_at is None or due.schedule != due.known:
            # A clock that was set back makes no tick twice.
            start = max(due.now, due.last_at or due.now)
            await worker.begin_schedule(due, Timetable(due.schedule).after(start))
        else:
            timetable = Timetable(due.schedule)
            tick, missed, last_missed = timetable.due(due.next_at, due.now)
            ticked = Ticked(tick, timetable.after(max(due.now, tick)), missed, last_missed)
            if await worker.tick_schedule(due, ticked):
                self._tell(due, ticked)

    def _tell(self, due: DueSchedule, ticked: Ticked) -> None:
        self._order_placed()
        self._metrics.schedule_ticks_total.inc()
        if ticked.missed:
            self._metrics.schedule_missed_total.inc(ticked.missed)
            _log.warning(
                "scheduled runs were missed",
                tenant_id=str(due.tenant_id),
                agent_id=str(due.agent_id),
                missed=ticked.missed,
                first=str(due.next_at),
                last=str(ticked.last_missed),
            )
