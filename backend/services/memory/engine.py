"""What all agents' memories share: one of each per process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from backend.ports import Clock, Embedder, MemoryIndex
from backend.stores.database import Database
from backend.telemetry import Metrics


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


@dataclass(frozen=True, slots=True)
class MemoryEngine:
    """The rows, the index over them, and what makes vectors of texts. `orders` wakes whoever delivers to the index."""

    database: Database
    index: MemoryIndex
    embedder: Embedder
    clock: Clock
    metrics: Metrics
    orders: Callable[[], None]
    outages: Outages = field(default_factory=Outages)
