"""Steps that an agent takes by itself, and what sets them off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, JsonValue, model_validator

from backend.models.base import FrozenModel, Problem, by_kind, example, refusal
from backend.models.fields import Between, CronSchedule, LongText, Matching, Slug, Text, shown, storable

END = "end"
StepId = Annotated[str, Matching(r"[a-z0-9][a-z0-9_-]{0,63}", "1 to 64 small letters, digits, - or _")]


class PromptStep(FrozenModel):
    """Ask the language model. `next` left out means the following step, `end` the end."""

    model_config = example(kind="prompt", id="draft", prompt="Write a three-line summary of the input.")

    kind: Literal["prompt"]
    id: StepId
    prompt: Annotated[str, Text(20_000, visible=True)]
    next: StepId | None = None


class ToolStep(FrozenModel):
    """Call a tool that the agent is granted, with fixed arguments."""

    model_config = example(kind="tool", id="time", tool="current_time", arguments={})

    kind: Literal["tool"]
    id: StepId
    tool: Slug
    arguments: Annotated[dict[str, JsonValue], AfterValidator(storable)] = Field(default_factory=dict[str, JsonValue])
    next: StepId | None = None


class AgentStep(FrozenModel):
    """Let another agent of the same tenant answer."""

    model_config = example(
        kind="agent",
        id="review",
        agent_id="5f0c7f5e-7c34-4d0c-9d3d-1f5d0a4c9a11",
        message="Check the draft for mistakes.",
    )

    kind: Literal["agent"]
    id: StepId
    agent_id: UUID
    message: LongText = ""
    next: StepId | None = None


class ConditionStep(FrozenModel):
    """Go on at `then` or `otherwise`, by what an earlier step gave. Upper and lower case count the same."""

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
    """A failed step is tried again `max_retries` times; each wait is `backoff_multiplier` times the one before."""

    model_config = example(max_retries=3, backoff_multiplier=2)

    max_retries: Annotated[int, Between(0, 10)] = 3
    backoff_multiplier: Annotated[float, Between(1, 10)] = 2.0


class Workflow(FrozenModel):
    """What sets the agent off, its steps, and the bounds of one run.

    `max_iterations` is how often a workflow may do the same step, and how many rounds of acting and checking an
    autonomous agent has. `timeout_seconds` is for all of a run, waiting for people left out; `token_budget` bounds the
    tokens of all its model calls.
    """

    model_config = example(
        trigger_type="scheduled",
        schedule="0 9 * * 1-5",
        steps=[{"kind": "prompt", "id": "draft", "prompt": "Write a three-line summary of the input."}],
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
        problems = [*self._schedule_problems(), *self._step_problems()]
        if problems:
            raise refusal(type(self), problems)
        return self

    def _schedule_problems(self) -> Iterator[Problem]:
        if self.trigger_type == "scheduled" and self.schedule is None:
            yield ("schedule",), "a scheduled workflow needs a cron schedule such as 0 9 * * 1-5"
        if self.trigger_type != "scheduled" and self.schedule is not None:
            yield ("schedule",), f"only a scheduled workflow has a schedule; this one is {self.trigger_type}"

    def _step_problems(self) -> Iterator[Problem]:
        known = {step.id for step in self.steps} | {END}
        seen: set[str] = set()
        for index, step in enumerate(self.steps):
            if step.id == END:
                yield ("steps", index, "id"), f"{END} is the name of the workflow's end; give the step another"
            if step.id in seen:
                yield ("steps", index, "id"), f"another step is called {shown(step.id)} already"
            seen.add(step.id)
            for field, target in _references(step):
                if target not in known or (field == "step" and target == END):
                    yield ("steps", index, field), f"there is no step {shown(target)}"


def _references(step: WorkflowStep) -> Iterator[tuple[str, str]]:
    if isinstance(step, ConditionStep):
        yield from (("step", step.step), ("then", step.then), ("otherwise", step.otherwise))
    elif step.next is not None:
        yield "next", step.next
