"""What was true a moment ago, so that a burst of requests asks the database once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from backend.ports import Clock

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class BriefCache(Generic[Key, Value]):
    """Values that are believed for `lifetime` after they were asked for; the least used make room beyond `size`.

    Errors are never remembered. Several who miss the same key at once wait for one answer.
    """

    def __init__(self, clock: Clock, lifetime: timedelta, size: int) -> None:
        self._clock = clock
        self._lifetime = lifetime
        self._size = size
        self._entries: OrderedDict[Key, tuple[datetime, Value]] = OrderedDict()
        self._asked: dict[Key, asyncio.Task[Value]] = {}

    def get(self, key: Key) -> Value | None:
        """The value, if it is young enough."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        # Both bounds: a clock that was set back must not make an entry live on.
        if timedelta(0) <= self._clock.now() - entry[0] < self._lifetime:
            self._entries.move_to_end(key)
            return entry[1]
        del self._entries[key]
        return None

    async def obtain(self, key: Key, ask: Callable[[], Awaitable[Value]]) -> Value:
        """The value, asked for unless it is known. Errors: those of `ask`."""
        known = self.get(key)
        if known is not None:
            return known
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.create_task(self._ask(key, ask))
            task.add_done_callback(_look_at)
        return await asyncio.shield(task)  # one who goes away must not take the answer from the others

    def forget(self, unwanted: Callable[[Value], bool]) -> None:
        """Drop these values, and whatever is being asked for now: it may be from before the change."""
        self._asked.clear()
        for key in [key for key, (_, value) in self._entries.items() if unwanted(value)]:
            del self._entries[key]

    async def _ask(self, key: Key, ask: Callable[[], Awaitable[Value]]) -> Value:
        asked_at = self._clock.now()
        wanted = False
        try:
            value = await ask()
        finally:
            wanted = self._asked.get(key) is asyncio.current_task()
            if wanted:
                del self._asked[key]
        if wanted:
            self._entries[key] = (asked_at, value)
            self._entries.move_to_end(key)
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)
        return value


def _look_at(task: asyncio.Task[Value]) -> None:
    # Everybody who waited has the error; when they all went away it must not be reported as forgotten.
    if not task.cancelled():
        task.exception()
