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

_LEASE = timedelta(seconds=30)
_BATCH = 10
_REST = 3  # how much longer than a full batch the pause after it is: many changes must not slow requests down
_POLL_SECONDS = 1.0
_GATHER_SECONDS = 0.05  # a short wait lets orders of one busy moment go together, and leaves the loop to requests
_LONGEST_WAIT = 300
_LAST_STEP_SECONDS = 2.0
_log = get_logger(__name__)


class OutboxRelay:
    """Runs in every process; `FOR UPDATE SKIP LOCKED` and leases by the database's time share the work."""

    def __init__(self, database: Database, handlers: Mapping[str, Deliver], metrics: Metrics) -> None:
        self._database = database
        self._handlers = dict(handlers)
        self._metrics = metrics
        self._woken = asyncio.Event()

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
            started = time.perf_counter()
            try:
                if await _to_its_end(self.step()) == _BATCH:
                    self._woken.set()
                    await asyncio.sleep(_REST * (time.perf_counter() - started))
            except DatabaseUnavailable:
                _log.warning("outbox waits for the database")
                await asyncio.sleep(_POLL_SECONDS)
            except Exception:  # noqa: BLE001 — the seam of this background task: one bad step must not end all deliveries
                _log.exception("outbox step failed")
                await asyncio.sleep(_POLL_SECONDS)

    async def drain(self, seconds: float) -> None:
        """Deliver what is due, for at most this long; what remains is delivered after the next start."""
        with contextlib.suppress(TimeoutError, DatabaseUnavailable):
            async with asyncio.timeout(seconds):
                while await self.step():
                    pass

    async def backlog(self) -> Backlog:
        """What waits, also told to the metrics. Errors: `DatabaseUnavailable`."""
        async with self._database.worker() as worker:
            backlog = await worker.waiting()
        self._metrics.outbox_pending.set(backlog.pending)
        self._metrics.outbox_oldest_seconds.set(backlog.oldest_seconds)
        return backlog

    async def step(self) -> int:
        """Claim and deliver one batch; return how many orders were claimed."""
        async with self._database.worker() as worker:
            claimed = await worker.claim_deliveries(_LEASE, _BATCH)
        by_kind: dict[str, list[Delivery]] = {}
        for one in claimed:
            by_kind.setdefault(one.kind, []).append(one)
        for kind, orders in by_kind.items():
            await self._deliver(kind, orders)
        return len(claimed)

    async def _try(self, kind: str, orders: Sequence[Delivery]) -> Mapping[int, str]:
        handler = self._handlers.get(kind)
        if handler is None:
            return {one.id: f"nothing here delivers {kind}" for one in orders}
        try:
            return await handler(orders)
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
            self._metrics.outbox_failures_total.inc(len(failures))
            _log.warning("deliveries failed", kind=kind, count=len(failures), reason=next(iter(failures.values())))


async def _to_its_end(step: Coroutine[None, None, int]) -> int:
    """The step's result. Cancelled meanwhile, it still ends: what it has claimed would lie until the lease is over."""
    task = asyncio.create_task(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=_LAST_STEP_SECONDS)
        raise
