"""The memory of a deployment without one: every turn is told so."""

from __future__ import annotations

from backend.ports import Harvest, Interaction, MemoryContext, RecallRequest

_OFF = MemoryContext(state="off")
_NOTHING = Harvest()


class NoMemory:
    """A `Memory` that is switched off."""

    async def recall(self, request: RecallRequest) -> MemoryContext:  # noqa: ARG002 — the port's signature
        """Nothing, and says that memory is off."""
        return _OFF

    def harvest(self, interaction: Interaction) -> Harvest:  # noqa: ARG002 — the port's signature
        """Keeps nothing."""
        return _NOTHING
