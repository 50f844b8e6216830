"""What all agents' memories share: one of each per process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from backend.ports import Clock, Embedder, MemoryIndex
from backend.stores.database import Database
from backend.telemetry import Metrics

RECALL_SECONDS = 0.3
_COUNTED_SECONDS = 60.0
_MANY_POINTS = 1000
"""Below that a few more change how rare a word is, and counting is nothing."""


class Outages:
    """Which parts are known to be away, so that each is logged when it goes and not with every turn."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def begins(self, what: str) -> bool:
        """Whether this is news."""
        new = what not in self._known
        self._known.add(what)
        return new

    def over(self) -> None:
        """Everything answers again."""
        self._known.clear()


class Points:
    """About how many points the index has: how rare a word is says nothing without it."""

    def __init__(self) -> None:
        self.count = 0
        self.counted = 0.0


@dataclass(frozen=True, slots=True)
class MemoryEngine:
    """The rows, the index over them, and what makes vectors of texts.

    `orders` wakes whoever delivers to the index. `recall_seconds` is what a turn waits for memory at most.
    """

    database: Database
    index: MemoryIndex
    embedder: Embedder
    clock: Clock
    metrics: Metrics
    orders: Callable[[], None]
    recall_seconds: float = RECALL_SECONDS
    outages: Outages = field(default_factory=Outages)
    _points: Points = field(default_factory=Points)

    async def points(self) -> int:
        """How many points the index has, counted lately. Errors: `IndexUnavailable`."""
        lately = time.monotonic() - self._points.counted < _COUNTED_SECONDS
        if not (lately and self._points.count >= _MANY_POINTS):
            self._points.count, self._points.counted = await self.index.count(), time.monotonic()
        return self._points.count
