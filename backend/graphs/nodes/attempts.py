"""Trying a step again when it fails, as the contract's retry policy says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import count
from typing import Any
from uuid import UUID

from backend.errors import ModelError, NumenError, RunTooLong, StepFailed, ToolError, Unavailable
from backend.graphs.journal import Doing, Journal, StepCall, StepResult
from backend.graphs.state import Work
from backend.models.run import StepKind
from backend.models.workflow import Workflow

LONGEST_WAIT = 60.0
_LONGEST_REASON = 300

Attempt = Callable[[Work, int], Awaitable[StepResult]]
"""One try of a step: on this bench, the how-manieth. All that it does goes through the bench's journal."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a try failed. `told` is for events, which hold no text of a model, a tool or a person."""

    code: str
    reason: str
    told: str
    may_pass: bool = True


async def tried(work: Work, step: str, kind: StepKind, attempt: Attempt, *, after: int = 0) -> StepResult:
    """Do a step, again when it fails and may do better; `after` so many tries that were made before.

    Events tell of what is done now, never of what was recorded by another server; nor is there a wait after that.
    Errors: `StepFailed` with the last reason, `RunTooLong`, `Paused`, and `Unavailable` when a part of ours is away.
    """
    policy = _workflow(work).retry_policy
    for number in count(1):
        journal = _TriedJournal(work, step, kind, after + number)
        bench = replace(work, journal=journal, on_text=None)  # what a step says is not yet the run's answer
        result, failure = await _attempt(attempt, bench, after + number, journal)
        if failure is None:
            journal.tell("step.completed", {"step": step, "kind": kind})
            return result
        told = {"step": step, "attempt": after + number, "code": failure.code, "detail": failure.told}
        journal.tell("step.failed", told)
        if not failure.may_pass or number > policy.max_retries:
            tries = f"failed after {number} tries" if number > 1 else "failed"
            raise StepFailed(f"Step {step} {tries}: {shortened(failure.reason)}", step=step)
        if journal.live:
            await work.sleep(min(LONGEST_WAIT, work.retry_seconds * policy.backoff_multiplier ** (number - 1)))
    raise AssertionError  # count() has no end


async def _attempt(
    attempt: Attempt, bench: Work, number: int, journal: _TriedJournal
) -> tuple[StepResult, _Failure | None]:
    nothing = StepResult("")
    try:
        result = await attempt(bench, number)
    except (ModelError, ToolError) as error:
        return nothing, _Failure(error.code, error.detail, error.detail)
    except RunTooLong as error:
        journal.tell(
            "step.failed", {"step": journal.step, "attempt": number, "code": error.code, "detail": error.detail}
        )
        raise
    except Unavailable:
        raise
    except NumenError as error:
        return nothing, _Failure(error.code, error.detail, error.detail, may_pass=False)
    return result, _fault_of(result)


def _fault_of(result: StepResult) -> _Failure | None:
    if result.denied:
        reason = f"A person refused it. {result.text}".strip()
        return _Failure("denied", reason, "A person refused it.", may_pass=False)
    if result.failed:
        code = result.data.get("code")
        return _Failure(code or "failed", result.text, result.text if code else "It answered with an error.")
    return None


class _TriedJournal:
    """The run's journal during one try: it tells when the try begins, and keeps the budget.

    `live`: what was done last was done now, and not by a server that had the run before.
    """

    def __init__(self, work: Work, step: str, kind: StepKind, attempt: int) -> None:
        self.step = step
        self.live = False
        self._work = work
        self._journal: Journal = work.journal
        self._begun: dict[str, Any] | None = {"step": step, "kind": kind, "attempt": attempt}

    @property
    def tokens(self) -> int:
        return self._journal.tokens

    @property
    def seconds(self) -> float:
        return self._journal.seconds

    def once(self, step: StepCall, doing: Doing) -> Awaitable[StepResult]:
        begun, self._begun = self._begun, None
        self.live = False

        async def now(key: UUID) -> StepResult:
            self.live = True
            if begun is not None:
                self.tell("step.started", begun)
            if step.kind in ("model", "agent"):
                _keep_budget(self._work)
            return await doing(key)

        return self._journal.once(step, now)

    def tell(self, event: str, data: dict[str, Any]) -> None:
        """Unless it was told before, by whoever did it."""
        if self.live:
            self._work.on_event(event, data)


def _keep_budget(work: Work) -> None:
    budget = _workflow(work).token_budget
    if budget is not None and work.journal.tokens >= budget:
        used = work.journal.tokens
        raise RunTooLong(f"The run has used {used} tokens of its token_budget of {budget}. Its steps hold the results.")


def _workflow(work: Work) -> Workflow:
    return work.contract.workflow or Workflow()


def shortened(reason: str) -> str:
    """A text of people or machines as it may stand in an error: one line, not long."""
    line = " ".join(reason.split())
    return line if len(line) <= _LONGEST_REASON else f"{line[: _LONGEST_REASON - 1]}…"
