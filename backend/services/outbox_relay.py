"""The relay of the outbox: what a transaction ordered is delivered, at least once, and again until it works."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import timedelta

from backend.errors import DatabaseUnavailable
from backend.stores.database import Database
from backend.stores.worker import Backlog, Delivery
from backend.telemetry import Metrics, get_logger

Deliver = Callable[[Sequence[Delivery]], Awaitable[Mapping[int, str]]]
"""Delivers orders of one kind and returns those that failed, each with its reason."""

LEASE_SECONDS = 30.0
BATCH = 10
REST = 3.0
_POLL_SECONDS = 1.0
_GATHER_SECONDS = 0.05  # a short wait lets orders of one busy moment go together, and leaves the loop to requests
_LONGEST_WAIT = 300
_LAST_STEP_SECONDS = 2.0
_log = get_logger(__name__)


class OutboxRelay:
    """Runs in every process; `FOR UPDATE SKIP LOCKED` and leases by the database's time share the work.

    It claims orders of the kinds it has handlers for, `batch` at once, so that relays of other kinds run beside it. The
    pause after a full batch is `rest` times as long as that took: many changes must not slow requests down. What takes
    longer than `lease_seconds` is delivered again.
    """

    def __init__(
        self,
        database: Database,
        handlers: Mapping[str, Deliver],
        metrics: Metrics,
        *,
        batch: int = BATCH,
        rest: float = REST,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._database = database
        self._handlers = dict(handlers)
        self._metrics = metrics
        self._batch = batch
        self._rest = rest
        self._lease = timedelta(seconds=lease_seconds)
        self._woken = asyncio.Event()
        self._stepping = asyncio.Lock()
        for kind in self._handlers:  # what was not counted yet is 0, not absent
            metrics.outbox_pending.labels(kind)
            metrics.outbox_oldest_seconds.labels(kind)
            metrics.outbox_failures_total.labels(kind)

    def wake(self) -> None:
        """There is something to deliver."""
        self._woken.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._woken.wait()
            self._woken.clear()
            await asyncio.sleep(_GATHER_SECONDS)
            try:
                await self._catch_up()
            except DatabaseUnavailable:
                _log.warning("outbox waits for the database")
                await asyncio.sleep(_POLL_SECONDS)
            except Exception:  # noqa: BLE001 — the seam of this background task: one bad step must not end all deliveries
                _log.exception("outbox step failed")
                await asyncio.sleep(_POLL_SECONDS)

    async def _catch_up(self) -> None:
        """Deliver until a batch is not full."""
        while True:
            started = time.perf_counter()
            if await to_its_end(self.step()) < self._batch:
                return
            took = time.perf_counter() - started
            await asyncio.sleep(_GATHER_SECONDS + self._rest * took if self._rest else 0)

    async def drain(self, seconds: float) -> None:
        """Deliver what is due, and wait for what this relay delivers already, for at most this long.

        What remains is delivered after the next start.
        """
        with contextlib.suppress(TimeoutError, DatabaseUnavailable):
            async with asyncio.timeout(seconds):
                while await self.step():
                    pass

    async def backlog(self) -> Backlog:
        """What waits of our kinds, also told to the metrics by kind. Errors: `DatabaseUnavailable`."""
        async with self._database.worker() as worker:
            by_kind = {kind: await worker.waiting([kind]) for kind in self._handlers}
        for kind, one in by_kind.items():
            self._metrics.outbox_pending.labels(kind).set(one.pending)
            self._metrics.outbox_oldest_seconds.labels(kind).set(one.oldest_seconds)
        return Backlog(
            pending=sum(one.pending for one in by_kind.values()),
            oldest_seconds=max((one.oldest_seconds for one in by_kind.values()), default=0.0),
            failing=sum(one.failing for one in by_kind.values()),
        )

    async def step(self) -> int:
        """Claim and deliver one batch, one at a time; return how many orders were claimed."""
        async with self._stepping:  # who finds nothing to claim must not believe that all is delivered
            async with self._database.worker() as worker:
                claimed = await worker.claim_deliveries(self._lease, self._batch, list(self._handlers))
            by_kind: dict[str, list[Delivery]] = {}
            for one in claimed:
                by_kind.setdefault(one.kind, []).append(one)
            for kind, orders in by_kind.items():
                await self._deliver(kind, orders)
            return len(claimed)

    async def _try(self, kind: str, orders: Sequence[Delivery]) -> Mapping[int, str]:
        try:
            return await self._handlers[kind](orders)
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 — the seam of this background task: a bad order must not stop the others
            _log.exception("deliveries broke", kind=kind)
            return {one.id: f"{type(error).__name__}: {error}" for one in orders}

    async def _deliver(self, kind: str, orders: Sequence[Delivery]) -> None:
        failures = await self._try(kind, orders)
        async with self._database.worker() as worker:
            await worker.delivered([one.id for one in orders if one.id not in failures])
            for one in orders:
                if one.id in failures:
                    delay = timedelta(seconds=min(2 ** min(one.attempts, 11) / 4, _LONGEST_WAIT))
                    await worker.postpone([one.id], delay, failures[one.id])
        if failures:
            self._metrics.outbox_failures_total.labels(kind).inc(len(failures))
            _log.warning("deliveries failed", kind=kind, count=len(failures), reason=next(iter(failures.values())))


async def to_its_end(step: Coroutine[None, None, int]) -> int:
    """The step's result. Cancelled meanwhile, it still ends: what it has claimed would lie until the lease is over."""
    task = asyncio.create_task(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=_LAST_STEP_SECONDS)
        raise
