"""What has to be done now and then: runs of lost servers, old keys, the mirror, and what the model provider lists."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from backend.errors import NumenError
from backend.ports import LanguageModel
from backend.services.contract_mirror import ContractMirror
from backend.services.idempotency_service import IdempotencyService
from backend.services.model_catalog import ModelCatalog
from backend.services.outbox_relay import OutboxRelay
from backend.services.run_service import RunService
from backend.stores.database import Database
from backend.telemetry import get_logger

_PAUSE_SECONDS = 5.0
_RETRY_SECONDS = 60.0
_HOUR = 3600.0
Job = tuple[float, Callable[[], Awaitable[Any]]]
"""What is to be done, and how many seconds lie between two times; at least a few."""
_log = get_logger(__name__)


class Janitor:
    """One loop per process; every job, those in `more` too, may be done by several processes at once without harm."""

    def __init__(
        self,
        database: Database,
        idempotency: IdempotencyService,
        relay: OutboxRelay,
        runs: RunService,
        mirror: ContractMirror,
        catalog: ModelCatalog,
        model: LanguageModel,
        more: Sequence[Job] = (),
    ) -> None:
        self._database = database
        self._runs = runs
        self._mirror = mirror
        self._catalog = catalog
        self._model = model
        self._jobs: list[Job] = [
            (0.0, runs.recover_orphans),
            (0.0, relay.backlog),
            (_HOUR, self._learn_models),
            (_HOUR, idempotency.forget_old),
            (24 * _HOUR, mirror.reconcile),
            *more,
        ]

    async def take_over(self, *, alone: bool) -> None:
        """Before serving: when we are the only server, whoever held leases is gone, and need not be waited for."""
        if alone:
            async with self._database.worker() as worker:
                await worker.release_deliveries()
                await worker.release_requests()
        await self._runs.recover_orphans(even_leased=alone)

    async def run(self) -> None:
        """Do every job when it is due, until cancelled. A long one (the mirror's) does not hold up the others."""
        await asyncio.gather(*(self._repeat(pause, job) for pause, job in self._jobs))

    async def _repeat(self, pause: float, job: Callable[[], Awaitable[Any]]) -> None:
        while True:
            done = await self._do(job)
            await asyncio.sleep(max(pause, _PAUSE_SECONDS) if done else min(pause + _PAUSE_SECONDS, _RETRY_SECONDS))

    async def _do(self, job: Callable[[], Awaitable[Any]]) -> bool:
        name = getattr(job, "__name__", "job")
        try:
            await job()
            return True
        except NumenError as error:
            _log.warning("job put off", job=name, code=error.code)
        except Exception:  # noqa: BLE001 — the seam of this background task: one bad job must not end the others
            _log.exception("job failed", job=name)
        return False

    async def _learn_models(self) -> None:
        self._catalog.learn(await self._model.retirements())
