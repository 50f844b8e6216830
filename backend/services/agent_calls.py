"""One agent asks another of the same tenant: a turn of its own, which is not had twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

from backend.errors import NumenError, RequestInProgress
from backend.models.run import ChatReply, ChatRequest, Run
from backend.models.tenant import Caller, Role
from backend.ports import ToolOutcome
from backend.services.agent_interaction_service import AgentInteractionService
from backend.services.tools.hand_off import HandOff
from backend.stores.runs import RunNature

AskAgent = Callable[[HandOff], Awaitable[ToolOutcome]]
_PATIENCE_SECONDS = 60
_BUSY_SECONDS = 1.0


class AgentCalls:
    """Asks an agent in the name of the person for whom the asking agent works, in a thread of its own."""

    def __init__(self, interactions: AgentInteractionService) -> None:
        self._interactions = interactions

    async def ask(self, order: HandOff) -> ToolOutcome:
        """The agent's answer, or, as a failed outcome, why there is none. A repeat of a `key` is the same turn."""
        caller = Caller(order.tenant_id, order.user_id, Role.MEMBER)
        request = ChatRequest(message=order.message, metadata={"asked_by": order.from_agent})
        nature = RunNature("chat", depth=order.depth + 1)
        try:
            answer = await self._answered(caller, order.agent_id, request, order.key, nature)
        except NumenError as error:
            return ToolOutcome(f"{error.title}. {error.detail}", failed=True)
        if isinstance(answer, ChatReply):
            return ToolOutcome(answer.response)
        return ToolOutcome(f"The agent waits until a person has agreed to a tool call (run {answer.id}).", failed=True)

    async def _answered(
        self, caller: Caller, agent_id: UUID, request: ChatRequest, key: UUID, nature: RunNature
    ) -> ChatReply | Run:
        for _ in range(_PATIENCE_SECONDS):
            try:
                return await self._interactions.process_interaction(caller, agent_id, request, key, nature)
            except RequestInProgress:  # begun on a server that is lost: it is marked so when its lease is over
                await asyncio.sleep(_BUSY_SECONDS)
        raise RequestInProgress("The agent is still answering the same question on another server.", retry_after=5)
