"""How a workflow's or an autonomous agent's run comes to its result, within the bounds that its contract sets."""

from __future__ import annotations

import asyncio
from functools import partial
from uuid import UUID

from backend.errors import NumenError, RunTooLong
from backend.graphs.journal import StepResult
from backend.graphs.state import Work
from backend.models.workflow import Workflow
from backend.services.agent_calls import AskAgent, HandOff
from backend.services.desk import Desk, Ended
from backend.services.recorded_answer import recorded_answer
from backend.services.turn_ledger import Along, OpenTurn


class TaskWork:
    """Runs of workflow and autonomous agents. `ask` has another agent answer."""

    def __init__(self, ask: AskAgent) -> None:
        self._ask = ask

    async def answer(self, desk: Desk) -> Ended:
        """See `Work`. Errors: `RunTooLong`, `StepFailed` and what the graph's steps raise."""
        work = Work(
            **desk.workbench(desk.turn.message), input=desk.turn.message, ask_agent=partial(self._ask_agent, desk)
        )
        limit = (desk.agent.contract.workflow or Workflow()).timeout_seconds
        scope = asyncio.timeout(max(0.0, limit - desk.journal.seconds))
        try:
            async with scope:
                text = await desk.agent.work(work)
        except TimeoutError:
            if not scope.expired():
                raise
            raise RunTooLong(f"The run was not finished within its {limit} seconds.") from None
        return Ended(*recorded_answer(desk, text))

    def so_far(self, turn: OpenTurn) -> str:  # noqa: ARG002 — the protocol's signature
        """See `Work`: the result is told when it is there."""
        return ""

    def failed(self, turn: OpenTurn, error: NumenError) -> Along | None:  # noqa: ARG002 — the protocol's signature
        """See `Work`: the steps say what happened."""
        return None

    async def _ask_agent(self, desk: Desk, agent_id: UUID, message: str, key: UUID) -> StepResult:
        turn = desk.turn
        asked = await self._ask(
            HandOff(
                tenant_id=turn.caller.tenant_id,
                user_id=turn.ids.user_id,
                agent_id=agent_id,
                message=message,
                key=key,
                depth=turn.nature.depth,
                from_agent=desk.agent.contract.name,
            )
        )
        return StepResult(asked.text, failed=asked.failed)
