"""Turns of one thread in this process: served one after the other, in the order they came."""

from __future__ import annotations

import asyncio
from uuid import UUID

from backend.errors import ThreadBusy

TurnQueue = tuple[UUID, UUID, UUID]
"""Tenant, user and thread: whoever else names the thread waits in a queue of their own, and learns nothing of it."""


class ThreadTurns:
    """A fair queue per thread; empty ones cost nothing. Between processes the thread's row does the same, unordered."""

    def __init__(self, patience_seconds: float) -> None:
        self._patience = patience_seconds
        self._locks: dict[TurnQueue, tuple[asyncio.Lock, int]] = {}

    @property
    def waiting(self) -> int:
        """How many threads have a turn, or wait for one."""
        return len(self._locks)

    async def take(self, queue: TurnQueue) -> None:
        """Wait for the turns before this one. Errors: `ThreadBusy` when they take too long."""
        lock, users = self._locks.get(queue) or (asyncio.Lock(), 0)
        self._locks[queue] = (lock, users + 1)
        try:
            if users == 0:
                await lock.acquire()
                return
            async with asyncio.timeout(self._patience):
                await lock.acquire()
        except TimeoutError as error:
            self._leave(queue)
            raise ThreadBusy("The turns before this one are taking too long; try again.", retry_after=5) from error
        except asyncio.CancelledError:
            self._leave(queue)
            raise

    def give_back(self, queue: TurnQueue) -> None:
        """The turn is over: the next one may begin."""
        self._locks[queue][0].release()
        self._leave(queue)

    def _leave(self, queue: TurnQueue) -> None:
        lock, users = self._locks[queue]
        if users == 1:
            del self._locks[queue]
        else:
            self._locks[queue] = (lock, users - 1)
