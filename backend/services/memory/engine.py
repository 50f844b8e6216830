"""What all agents' memories share: one of each per process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backend.ports import Clock, Embedder, MemoryIndex
from backend.stores.database import Database
from backend.telemetry import Metrics


@dataclass(frozen=True, slots=True)
class MemoryEngine:
    """The rows, the index over them, and what makes vectors of texts. `orders` wakes who brings the index up to date."""

    database: Database
    index: MemoryIndex
    embedder: Embedder
    clock: Clock
    metrics: Metrics
    orders: Callable[[], None]
