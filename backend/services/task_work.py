"""How a workflow's or an autonomous agent's run comes to its result, within the bounds that its contract sets."""

from __future__ import annotations

import asyncio
from functools import partial
from uuid import UUID

from backend.errors import NumenError, RunTooLong
from backend.graphs.journal import StepResult
from backend.graphs.state import Work
from backend.models.run import ReplyMetadata, TokenUsage
from backend.models.workflow import Workflow
from backend.services.agent_calls import AskAgent, HandOff
from backend.services.conversation_window import Window
from backend.services.desk import Desk, Ended
from backend.services.run_journal import RunJournal
from backend.services.run_outcomes import whole_answer
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
        return self._ended(desk, text)

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

    def _ended(self, desk: Desk, text: str) -> Ended:
        turn, journal = desk.turn, desk.journal
        assert isinstance(journal, RunJournal)  # noqa: S101 — this kind of run is always recorded
        last = journal.last_model
        metadata = ReplyMetadata(
            message_count=turn.begun.count_after,
            model=last.model or desk.choice.used,
            provider=last.provider or desk.agent.contract.configuration.llm_provider,
            offline=last.offline,
            usage=TokenUsage(input_tokens=journal.usage.input_tokens, output_tokens=journal.usage.output_tokens),
            latency_ms=turn.elapsed_ms(),
            finish_reason=last.finish_reason,
            run_id=turn.ids.run_id,
            agent_version=turn.begun.version,
        )
        unfolded = Window((), turn.begun.summary, turn.begun.summarized_through)
        outcome, reply = whole_answer(desk.run, turn, text, metadata, unfolded)
        return Ended(outcome, reply)
