"""AgentMemory: the memory that a turn has."""

from __future__ import annotations

from backend.models.memory_settings import MemorySettings
from backend.ports import Harvest, Interaction, MemoryContext, RecallRequest
from backend.services.memory.engine import MemoryEngine
from backend.services.memory.gate import worth_keeping
from backend.services.memory.harvest import Said, message_memory
from backend.services.unified_memory_manager import UnifiedMemoryManager

_OFF = MemoryContext(state="off")
_NOTHING = Harvest()
_DEFAULTS = MemorySettings()


class AgentMemory:
    """The `Memory` of every agent. `extraction`: facts are read out of what was said to a model, after the turn."""

    def __init__(self, engine: MemoryEngine, *, extraction: bool) -> None:
        self._engine = engine
        self._extraction = extraction

    async def recall(self, request: RecallRequest) -> MemoryContext:
        """See the port: off where the contract says so, and within the engine's `recall_seconds` otherwise."""
        contract = request.contract
        if not contract.configuration.memory_enabled:
            return _OFF
        manager = UnifiedMemoryManager(
            request.tenant_id,
            request.agent_id,
            contract.memory or _DEFAULTS,
            self._engine,
            contract.configuration.memory_k,
        )
        return await manager.get_agent_context(
            request.query, request.thread_id, request.user_id, request.recent_messages
        )

    def harvest(self, interaction: Interaction) -> Harvest:
        """See the port: the message, when it passes the gate; and an order to read facts out of it."""
        if not interaction.contract.configuration.memory_enabled:
            return _NOTHING
        refusal = worth_keeping(interaction.message, interaction.contract)
        if refusal is not None:
            self._engine.metrics.memory_refused_total.labels(refusal).inc()
            return _NOTHING
        said = Said(
            interaction.agent_id,
            interaction.thread_id,
            interaction.message,
            interaction.user_id,
            interaction.user_message_id,
            interaction.position,
        )
        self._engine.metrics.memory_kept_total.labels("message").inc()
        extract = self._extraction and not interaction.offline
        return Harvest([message_memory(said, facts_follow=extract)], extract)
