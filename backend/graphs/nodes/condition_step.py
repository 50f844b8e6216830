"""A workflow's step that decides where to go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

from backend.graphs.journal import StepCall, StepResult
from backend.graphs.nodes.attempts import tried
from backend.graphs.references import texts_of
from backend.graphs.state import Work, WorkState
from backend.models.workflow import ConditionStep

_LONGEST_SHOWN = 500

_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "equals": lambda text, value: text == value,
    "not_equals": lambda text, value: text != value,
    "contains": lambda text, value: value in text,
    "not_contains": lambda text, value: value not in text,
    "empty": lambda text, _: not text,
    "not_empty": lambda text, _: bool(text),
}


async def condition_step(step: ConditionStep, state: WorkState, work: Work) -> str:
    """The id of the step where it goes on, or `end`."""
    text = texts_of(work.input, state.get("outputs", {})).get(step.step, "")

    async def decide(_: UUID) -> StepResult:
        return StepResult(step.then if _holds(step, text) else step.otherwise)

    async def attempt(bench: Work, number: int) -> StepResult:
        shown = {"step": step.step, "test": step.test, "value": step.value, "text": text[:_LONGEST_SHOWN]}
        return await bench.journal.once(StepCall(step.id, "condition", shown, number), decide)

    return (await tried(work, step.id, "condition", attempt)).text


def _holds(step: ConditionStep, text: str) -> bool:
    return _TESTS[step.test](text.strip().casefold(), step.value.strip().casefold())
