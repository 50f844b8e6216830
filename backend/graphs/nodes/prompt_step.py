"""A workflow's step that asks the language model."""

from __future__ import annotations

from backend.graphs.journal import StepResult
from backend.graphs.nodes.attempts import tried
from backend.graphs.nodes.tool_loop import converse
from backend.graphs.references import given_to, texts_of
from backend.graphs.state import Work, WorkState
from backend.graphs.work_prompt import step_messages
from backend.models.workflow import PromptStep
from backend.ports import DoStep, MemoryContext


async def prompt_step(step: PromptStep, state: WorkState, work: Work) -> str:
    """What the model answers, which may use the agent's tools for it. Errors: those of `tried`."""
    given = given_to(step.prompt, texts_of(work.input, state.get("outputs", {})), state.get("last"))
    messages = step_messages(work, state.get("memory", MemoryContext()), step.prompt, given)
    task = DoStep(step.prompt, given)

    async def attempt(bench: Work, number: int) -> StepResult:
        reply = await converse(bench, messages, step=step.id, task=task, attempt=number)
        return StepResult(reply.text)

    return (await tried(work, step.id, "model", attempt)).text
