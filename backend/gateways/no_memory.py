"""The memory of a deployment without one: every turn is told so."""

from __future__ import annotations

from backend.ports import MemoryContext, RecallRequest

_OFF = MemoryContext(state="off")


class NoMemory:
    """A `Memory` that is switched off."""

    async def recall(self, request: RecallRequest) -> MemoryContext:  # noqa: ARG002 — the port's signature
        """Nothing, and says that memory is off."""
        return _OFF
