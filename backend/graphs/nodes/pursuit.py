"""The nodes of an autonomous agent's graph: plan, act, check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from langgraph.runtime import Runtime

from backend.errors import ModelFailed, RunTooLong
from backend.graphs.journal import StepResult
from backend.graphs.nodes.attempts import shortened, tried
from backend.graphs.nodes.tool_loop import converse
from backend.graphs.state import PursuitState, Work
from backend.graphs.verdict import NoVerdict, read_verdict
from backend.graphs.work_prompt import act_messages, check_again_messages, check_messages, plan_messages
from backend.models.interview_progress import Verdict
from backend.models.workflow import Workflow
from backend.ports import Act, CheckDone, MakePlan, MemoryContext, PromptMessage, Task, ToolSet


async def plan(state: PursuitState, runtime: Runtime[Work]) -> PursuitState:
    """How to reach the goal. Errors: those of `tried`."""
    work = runtime.context
    goal = goal_of(work)
    made = await _said(_without_tools(work), "plan", plan_messages(work, _memory(state), goal), MakePlan(goal))
    return {"plan": made.text}


async def act(state: PursuitState, runtime: Runtime[Work]) -> PursuitState:
    """The next thing, with tools. Errors: those of `tried`, and `RunTooLong` when all rounds are used up."""
    work = runtime.context
    goal, made, done, missing = goal_of(work), state.get("plan", ""), state.get("done", []), state.get("missing", "")
    rounds = (work.contract.workflow or Workflow()).max_iterations
    if len(done) >= rounds:
        raise RunTooLong(_not_reached(rounds, missing))
    messages = act_messages(work, _memory(state), goal, made, done, missing)
    result = await _said(work, "act", messages, Act(goal, made, tuple(done)))
    return {"done": [*done, result.text]}


async def check(state: PursuitState, runtime: Runtime[Work]) -> PursuitState:
    """Whether the goal is reached. Errors: those of `tried`, and `ModelFailed` when the model gives no verdict."""
    work = runtime.context
    goal, made, done = goal_of(work), state.get("plan", ""), state.get("done", [])
    asked = check_messages(work, _memory(state), goal, made, done)
    verdict = await _verdict(_without_tools(work), asked, CheckDone(goal, made, tuple(done)))
    if verdict.done:
        return {"answer": verdict.answer.strip() or done[-1]}
    return {"missing": verdict.missing}


def is_reached(state: PursuitState) -> Literal["done", "not yet"]:
    """Where to go after a check."""
    return "done" if "answer" in state else "not yet"


def goal_of(work: Work) -> str:
    """The run's input, or without one what the agent is there for."""
    identity = work.contract.identity
    return work.input.strip() or identity.mission.strip() or identity.short_description


async def _verdict(work: Work, asked: Sequence[PromptMessage], task: CheckDone) -> Verdict:
    first = await _said(work, "check", asked, task)
    try:
        return read_verdict(first.text)
    except NoVerdict as fault:
        again = check_again_messages(asked, first.text, str(fault))
    second = await _said(work, "check", again, task, after=1)
    try:
        return read_verdict(second.text)
    except NoVerdict as fault:
        raise ModelFailed(
            f"The model was asked twice whether the goal is reached, and did not say: {fault}."
        ) from fault


async def _said(work: Work, step: str, messages: Sequence[PromptMessage], task: Task, *, after: int = 0) -> StepResult:
    async def attempt(bench: Work, number: int) -> StepResult:
        reply = await converse(bench, messages, step=step, task=task, attempt=number)
        return StepResult(reply.text)

    return await tried(work, step, "model", attempt, after=after)


def _without_tools(work: Work) -> Work:
    """Plans and verdicts are made from what is known; only acting has effects."""
    return replace(work, tools=ToolSet())


def _memory(state: PursuitState) -> MemoryContext:
    return state.get("memory", MemoryContext())


def _not_reached(rounds: int, missing: str) -> str:
    still = f" Still missing, by the last check: {shortened(missing)}" if missing.strip() else ""
    return f"The goal is not reached after {rounds} rounds (max_iterations). The run's steps hold their results.{still}"
