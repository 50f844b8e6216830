"""Turns of one thread in this process: served one after the other, in the order they came."""

from __future__ import annotations

import asyncio
from uuid import UUID

from backend.errors import ThreadBusy


class ThreadTurns:
    """A fair queue per thread; empty ones cost nothing. Between processes the thread's row does the same, unordered."""

    def __init__(self, patience_seconds: float) -> None:
        self._patience = patience_seconds
        self._locks: dict[UUID, tuple[asyncio.Lock, int]] = {}

    async def take(self, thread_id: UUID) -> None:
        """Wait for the turns before this one. Errors: `ThreadBusy` when they take too long."""
        lock, users = self._locks.get(thread_id) or (asyncio.Lock(), 0)
        self._locks[thread_id] = (lock, users + 1)
        try:
            if not lock.locked():
                await lock.acquire()
                return
            async with asyncio.timeout(self._patience):
                await lock.acquire()
        except TimeoutError as error:
            self._leave(thread_id)
            raise ThreadBusy("The turns before this one are taking too long; try again.", retry_after=5) from error
        except asyncio.CancelledError:
            self._leave(thread_id)
            raise

    def give_back(self, thread_id: UUID) -> None:
        """The turn is over: the next one may begin."""
        self._locks[thread_id][0].release()
        self._leave(thread_id)

    def _leave(self, thread_id: UUID) -> None:
        lock, users = self._locks[thread_id]
        if users == 1:
            del self._locks[thread_id]
        else:
            self._locks[thread_id] = (lock, users - 1)
