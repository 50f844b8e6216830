"""IdempotencyService: one effect for each Idempotency-Key, whatever a client, the network or a crash repeats."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Self
from uuid import UUID

from backend.errors import DatabaseUnavailable, IdempotencyKeyReused, RequestInProgress
from backend.models.tenant import Caller
from backend.stores.database import Database
from backend.stores.idempotency import Lease, StoredAnswer
from backend.telemetry import get_logger

__all__ = ["Claim", "IdempotencyService", "Repeat", "StoredAnswer"]

LEASE = timedelta(seconds=30)
KEPT_FOR = timedelta(hours=24)
RETRY_AFTER_SECONDS = 1
_RUN_AGAIN = 0
"""The status of an answer that was not stored: it was streamed, or it held a secret."""
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Repeat:
    """The work was done and its answer not kept: do it again under the same id, which finds what was made."""

    operation_id: UUID


class Claim:
    """The right to do the work, held by `async with` until it is settled; a renewal keeps it meanwhile.

    What is not finished is released on leaving: the next try may do it, under the same `operation_id`.
    """

    def __init__(self, database: Database, caller: Caller, key: str, lease: Lease, duration: timedelta) -> None:
        self.operation_id = lease.operation_id
        self._database = database
        self._tenant_id = caller.tenant_id
        self._place = (caller.user_id, key, lease.number)
        self._duration = duration
        self._renewal: asyncio.Task[None] | None = None
        self._settled = False

    async def __aenter__(self) -> Self:
        self._renewal = asyncio.create_task(self._renew())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._settled:
            await self.release()

    async def finish(self, answer: StoredAnswer) -> bool:
        """Keep the answer for repeats; False when it could not be kept: then a repeat finds the rows we made."""
        kept = await self._keep(answer)
        self._settled = True  # not before: who is cancelled meanwhile releases it
        return kept

    async def finish_without_answer(self) -> bool:
        """The work is done, but its answer is a stream or holds a secret: repeats do it again under the same id."""
        return await self.finish(StoredAnswer(_RUN_AGAIN, {}, b""))

    async def release(self) -> None:
        """Let the next try do the work."""
        self._settled = True
        await self._stop_renewing()
        with contextlib.suppress(DatabaseUnavailable):  # then the lease runs out by itself
            async with self._database.tenant(self._tenant_id) as tx:
                await tx.idempotency.release(*self._place)

    async def _keep(self, answer: StoredAnswer) -> bool:
        await self._stop_renewing()
        try:
            async with self._database.tenant(self._tenant_id) as tx:
                if await tx.idempotency.finish(*self._place, answer):
                    return True
        except DatabaseUnavailable:
            _log.warning("answer not kept", operation_id=str(self.operation_id), reason="database away")
            return False
        _log.warning("answer not kept", operation_id=str(self.operation_id), reason="taken over")
        return False

    async def _stop_renewing(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._duration.total_seconds() / 3)
            try:
                async with self._database.tenant(self._tenant_id) as tx:
                    held = await tx.idempotency.renew(*self._place, self._duration)
            except DatabaseUnavailable:
                continue  # the next third of the lease may bring it back
            if not held:
                return


class IdempotencyService:
    """Keys of requests that may come twice. A key belongs to one user and is remembered for a day."""

    def __init__(self, database: Database, lease: timedelta = LEASE) -> None:
        self._database = database
        self._lease = lease

    async def claim(self, caller: Caller, key: str, request_hash: bytes) -> Claim | Repeat | StoredAnswer:
        """The right to do the work, or what came of it. `request_hash` is SHA-256 over method, address and body.

        Errors: `IdempotencyKeyReused` when the key came with another request, `RequestInProgress` while the same one
        is being worked on.
        """
        async with self._database.tenant(caller.tenant_id) as tx:
            lease = await tx.idempotency.claim(caller.user_id, key, request_hash, self._lease)
            known = None if lease else await tx.idempotency.known(caller.user_id, key)
        if lease is not None:
            return Claim(self._database, caller, key, lease, self._lease)
        if known is not None and known.request_hash != request_hash:
            raise IdempotencyKeyReused(
                "This Idempotency-Key came with another request before: repeat that one unchanged, or take a new key."
            )
        if known is None or known.answer is None:
            raise RequestInProgress(
                "The first request with this Idempotency-Key is still being worked on; repeat it in a moment.",
                retry_after=RETRY_AFTER_SECONDS,
            )
        return Repeat(known.operation_id) if known.answer.status == _RUN_AGAIN else known.answer

    async def forget_old(self) -> None:
        """Drop keys of more than a day ago, of all tenants."""
        async with self._database.worker() as worker:
            await worker.forget_requests(KEPT_FOR)
