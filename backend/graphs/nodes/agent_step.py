"""A workflow's step that lets another agent answer."""

from __future__ import annotations

from uuid import UUID

from backend.errors import StepFailed
from backend.graphs.journal import StepCall, StepResult
from backend.graphs.nodes.attempts import tried
from backend.graphs.references import filled_message, texts_of
from backend.graphs.state import Work, WorkState
from backend.models.workflow import AgentStep

_LONGEST_SHOWN = 2_000


async def agent_step(step: AgentStep, state: WorkState, work: Work) -> str:
    """What the agent answers. Errors: those of `tried`."""

    async def attempt(bench: Work, number: int) -> StepResult:
        message = _message(step, state, bench)

        async def ask(key: UUID) -> StepResult:
            if not message.strip():
                raise StepFailed("There is nothing to tell the agent: the message is empty.")
            return await bench.ask_agent(step.agent_id, message, key)

        shown = {"agent_id": str(step.agent_id), "message": message[:_LONGEST_SHOWN]}
        return await bench.journal.once(StepCall(step.id, "agent", shown, number), ask)

    return (await tried(work, step.id, "agent", attempt)).text


def _message(step: AgentStep, state: WorkState, work: Work) -> str:
    if step.message.strip():
        return filled_message(step.message, texts_of(work.input, state.get("outputs", {})))
    return state.get("answer") or work.input
