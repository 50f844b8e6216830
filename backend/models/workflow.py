"""Steps that an agent takes by itself, and what sets them off.

Texts of a step may refer to other texts of the run: `{{input}}` is what the run works on, `{{draft}}` what the step
called draft gave last, and nothing before that step was done. Spaces inside the braces do not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, JsonValue, model_validator

from backend.models.base import FrozenModel, Problem, by_kind, example, refusal
from backend.models.fields import Between, CronSchedule, LongText, Matching, Slug, Text, shown, storable

END = "end"
INPUT = "input"
Where = tuple[str | int, ...]
REFERENCE = re.compile(r"\{\{([^{}]*)\}\}")
StepId = Annotated[str, Matching(r"[a-z0-9][a-z0-9_-]{0,63}", "1 to 64 small letters, digits, - or _")]


class PromptStep(FrozenModel):
    """Ask the language model. `next` left out means the following step, `end` the end.

    The model is given the texts that the prompt refers to, quoted under their names; when it refers to none, the run's
    input and what the step before gave.
    """

    model_config = example(kind="prompt", id="draft", prompt="Write a three-line summary of {{input}}.", next="review")

    kind: Literal["prompt"]
    id: StepId
    prompt: Annotated[str, Text(20_000, visible=True)]
    next: StepId | None = None


class ToolStep(FrozenModel):
    """Call a tool that the agent is granted; a tool of an MCP server is called by its grant: `calendar__list_events`.

    References in the texts of `arguments` are filled in. A text that is one reference and nothing else stays a text.
    """

    model_config = example(
        kind="tool", id="note", tool="remember", arguments={"text": "Release notes were written: {{draft}}"}
    )

    kind: Literal["tool"]
    id: StepId
    tool: Slug
    arguments: Annotated[dict[str, JsonValue], AfterValidator(storable)] = Field(default_factory=dict[str, JsonValue])
    next: StepId | None = None


class AgentStep(FrozenModel):
    """Let another agent of the same tenant answer.

    References in `message` are filled in: as they are where the message is one reference and nothing else, quoted
    where they stand in other text. Without a message it is told what the step before gave, or the run's input.
    """

    model_config = example(
        kind="agent",
        id="review",
        agent_id="5f0c7f5e-7c34-4d0c-9d3d-1f5d0a4c9a11",
        message="Check this draft for mistakes: {{draft}}",
    )

    kind: Literal["agent"]
    id: StepId
    agent_id: UUID
    message: LongText = ""
    next: StepId | None = None


class ConditionStep(FrozenModel):
    """Go on at `then` or `otherwise`, by what `step` gave, or by the run's `input`.

    Upper and lower case count the same, and space around a text does not count. A condition gives the name of the step
    where it went on.
    """

    model_config = example(
        kind="condition", id="is_short", step="draft", test="contains", value="too long", then="draft", otherwise="end"
    )

    kind: Literal["condition"]
    id: StepId
    step: StepId
    test: Literal["equals", "not_equals", "contains", "not_contains", "empty", "not_empty"]
    value: Annotated[str, Text(1000)] = ""
    then: StepId
    otherwise: StepId


WorkflowStep = Annotated[
    PromptStep | ToolStep | AgentStep | ConditionStep,
    Field(discriminator="kind"),
    by_kind(prompt=PromptStep, tool=ToolStep, agent=AgentStep, condition=ConditionStep),
]


class RetryPolicy(FrozenModel):
    """A failed step is tried again `max_retries` times; each wait is `backoff_multiplier` times the one before.

    The first wait is one second, none is longer than a minute. A model that does not answer, and a tool that fails or
    takes too long, may do better the next time; a call that a person refused, or a tool that is not granted, does not.
    """

    model_config = example(max_retries=3, backoff_multiplier=2)

    max_retries: Annotated[int, Between(0, 10)] = 3
    backoff_multiplier: Annotated[float, Between(1, 10)] = 2.0


class Workflow(FrozenModel):
    """What sets the agent off, its steps, and the bounds of one run.

    `max_iterations` is how often a workflow may do the same step, and how many rounds of acting and checking an
    autonomous agent has. `timeout_seconds` is for all of a run, waiting for people left out; `token_budget` bounds the
    tokens of all its model calls.

    Steps are done in their order, unless `next` or a condition says otherwise. Each can be reached from the first, and
    from each a way leads to the end.
    """

    model_config = example(
        trigger_type="scheduled",
        schedule="0 9 * * 1-5",
        steps=[
            {"kind": "prompt", "id": "draft", "prompt": "Write a three-line summary of {{input}}."},
            {
                "kind": "condition",
                "id": "is_short",
                "step": "draft",
                "test": "contains",
                "value": "too long",
                "then": "draft",
                "otherwise": "end",
            },
        ],
        max_iterations=10,
        timeout_seconds=300,
        retry_policy={"max_retries": 3, "backoff_multiplier": 2},
    )

    trigger_type: Literal["manual", "scheduled", "event"] = "manual"
    schedule: CronSchedule | None = None
    steps: Annotated[tuple[WorkflowStep, ...], Field(max_length=100)] = ()
    max_iterations: Annotated[int, Between(1, 100)] = 10
    timeout_seconds: Annotated[int, Between(1, 86_400)] = 300
    token_budget: Annotated[int, Between(100, 100_000_000)] | None = None
    retry_policy: RetryPolicy = RetryPolicy()

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        problems = [*self._schedule_problems(), *self._step_problems()] or [*self._way_problems()]
        if problems:
            raise refusal(type(self), problems)
        return self

    def ways(self) -> dict[str, tuple[str, ...]]:
        """Each step's id to the ids of the steps where it may go on, or `end`; of a condition `then` comes first."""
        following = [*(step.id for step in self.steps[1:]), END]
        return {
            step.id: (step.then, step.otherwise) if isinstance(step, ConditionStep) else (step.next or after,)
            for step, after in zip(self.steps, following, strict=False)
        }

    def _schedule_problems(self) -> Iterator[Problem]:
        if self.trigger_type == "scheduled" and self.schedule is None:
            yield ("schedule",), "a scheduled workflow needs a cron schedule such as 0 9 * * 1-5"
        if self.trigger_type != "scheduled" and self.schedule is not None:
            yield ("schedule",), f"only a scheduled workflow has a schedule; this one is {self.trigger_type}"

    def _step_problems(self) -> Iterator[Problem]:
        known = {step.id for step in self.steps}
        seen: set[str] = set()
        for index, step in enumerate(self.steps):
            if step.id in _TAKEN:
                yield ("steps", index, "id"), f"{step.id} is the name of {_TAKEN[step.id]}; give the step another"
            if step.id in seen:
                yield ("steps", index, "id"), f"another step is called {shown(step.id)} already"
            seen.add(step.id)
            for field, target in _targets(step):
                if target not in known | {INPUT if field == "step" else END}:
                    yield ("steps", index, field), f"there is no step {shown(target)}"
            for where, name in _referred(step):
                if name not in known | {INPUT}:
                    yield ("steps", index, *where), _unknown(name)

    def _way_problems(self) -> Iterator[Problem]:
        if not self.steps:
            return
        first, ways = self.steps[0].id, self.ways()
        reached = _reached(first, ways)
        ending = _reached(END, _reversed(ways))
        if first not in ending:
            yield ("steps",), f"no way leads from the first step to the end; some step must go on at {END}"
        for index, step in enumerate(self.steps):
            if step.id not in reached:
                yield ("steps", index), f"no way leads from the first step to {shown(step.id)}"
            elif step.id not in ending and first in ending:
                yield ("steps", index), f"no way leads from {shown(step.id)} to the end"


_TAKEN = {END: "the workflow's end", INPUT: "the run's input"}


def references(text: str) -> list[str]:
    """The names that `text` refers to, each once, in their order."""
    return list(dict.fromkeys(match[1].strip() for match in REFERENCE.finditer(text)))


def texts_in(value: JsonValue, where: Where = ()) -> Iterator[tuple[Where, str]]:
    """All texts in a JSON value, each with where it stands."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from texts_in(item, (*where, index))
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from texts_in(item, (*where, name))


def _targets(step: WorkflowStep) -> Iterator[tuple[str, str]]:
    if isinstance(step, ConditionStep):
        yield from (("step", step.step), ("then", step.then), ("otherwise", step.otherwise))
    elif step.next is not None:
        yield "next", step.next


def _referred(step: WorkflowStep) -> Iterator[tuple[Where, str]]:
    """Where inside the step something is referred to, and its name."""
    match step:
        case PromptStep():
            texts: Iterator[tuple[Where, str]] = iter([(("prompt",), step.prompt)])
        case AgentStep():
            texts = iter([(("message",), step.message)])
        case ToolStep():
            texts = texts_in(step.arguments, ("arguments",))
        case ConditionStep():
            texts = iter(())
    for where, text in texts:
        for name in references(text):
            yield where, name


def _unknown(name: str) -> str:
    if not name:
        return "{{}} names nothing; write {{input}} or the id of a step"
    return f"there is no step {shown(name)} to refer to; write {{{{input}}}} or the id of a step of this workflow"


def _reached(start: str, ways: Mapping[str, Sequence[str]]) -> set[str]:
    reached, ahead = {start}, [start]
    while ahead:
        for target in ways.get(ahead.pop(), ()):
            if target not in reached:
                reached.add(target)
                ahead.append(target)
    return reached


def _reversed(ways: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    back: dict[str, list[str]] = {}
    for start, targets in ways.items():
        for target in targets:
            back.setdefault(target, []).append(start)
    return back
