"""The journal of a run in the database: each step recorded before it is done and after, and done once."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from backend.errors import NumenError, StepFailed, revived
from backend.graphs.journal import Doing, Paused, StepCall, StepResult
from backend.ports import Usage
from backend.services.identifiers import new_id
from backend.stores.database import Database
from backend.stores.run_steps import ClaimedRun, NewStep, StepEnd, StoredStep, waiting_calls

_INTERRUPTED = (
    "A server was lost in the middle of this call; it may have had its effect. Agree, and it is made once more."
)


class ClaimLost(Exception):
    """No error: another server has taken the run over, and this one stores nothing more of it."""


@dataclass(slots=True)
class LastModel:
    """The model that was called last in the run."""

    provider: str = ""
    model: str = ""
    offline: bool = False
    finish_reason: str = "stop"


class RunJournal:
    """See `graphs/journal.py`. `steps` is what was recorded before this server took the run.

    Errors of `once`, besides those of the protocol: `ClaimLost`, `DatabaseUnavailable`.
    """

    def __init__(self, database: Database, tenant_id: UUID, run: ClaimedRun, steps: Sequence[StoredStep] = ()) -> None:
        self._database = database
        self._tenant_id = tenant_id
        self._run = run
        self._recorded = {step.ordinal: step for step in steps}
        self._ordinal = 0
        self._tokens = sum(step.input_tokens + step.output_tokens for step in steps)
        self._seconds = sum((step.finished_at - step.started_at).total_seconds() for step in steps if step.finished_at)
        self.last_model = LastModel()
        self.usage = Usage(sum(step.input_tokens for step in steps), sum(step.output_tokens for step in steps))

    @property
    def tokens(self) -> int:
        """See the protocol."""
        return self._tokens

    @property
    def seconds(self) -> float:
        """See the protocol; of the steps that were recorded before, this server's are on its own clock."""
        return self._seconds

    @property
    def used(self) -> bool:
        """Whether anything is recorded of this run."""
        return self._ordinal > 0 or bool(self._recorded)

    def once(self, step: StepCall, doing: Doing) -> Awaitable[StepResult]:
        """See the protocol."""
        self._ordinal += 1
        return self._once(self._ordinal, step, doing)

    async def waiting(self) -> list[StoredStep]:
        """The calls that a person has to be asked about."""
        return waiting_calls(await self._database.statements(self._tenant_id).run_steps.all(self._run.run_id))

    async def _once(self, ordinal: int, step: StepCall, doing: Doing) -> StepResult:
        recorded = self._recorded.get(ordinal)
        if recorded is None:
            await self._begin(ordinal, step)
        else:
            _refuse_other(recorded, step)
            ended = _result_of(recorded)
            if ended is not None:
                self._note(step, ended)
                return ended
            await self._again(recorded, step)
        return await self._do(ordinal, step, doing)

    async def _begin(self, ordinal: int, step: StepCall) -> None:
        status = "waiting" if step.needs_approval else "running"
        new = NewStep(ordinal, self._id(ordinal), step.step, step.kind, step.attempt, status, step.input)
        async with self._database.tenant(self._tenant_id) as tx:
            ours = await tx.run_steps.begin(self._run, new)
        if not ours:
            raise ClaimLost
        if step.needs_approval:
            raise Paused

    async def _again(self, recorded: StoredStep, step: StepCall) -> None:
        if recorded.status == "waiting" and recorded.approved is None:
            raise Paused
        ask = recorded.status == "running" and not step.repeatable
        async with self._database.tenant(self._tenant_id) as tx:
            ours = await tx.run_steps.again(
                self._run, recorded.ordinal, "waiting" if ask else "running", _INTERRUPTED if ask else ""
            )
        if not ours:
            raise ClaimLost
        if ask:
            raise Paused

    async def _do(self, ordinal: int, step: StepCall, doing: Doing) -> StepResult:
        try:
            result = await doing(self._id(ordinal))
        except NumenError as error:
            failure = {"code": error.code, "title": error.title, "detail": error.detail}
            await self._finish(ordinal, StepEnd("failed", None, failure))
            raise
        output: dict[str, Any] = {**result.data, "text": result.text}
        used = result.usage
        end = StepEnd("failed" if result.failed else "completed", output, None, used.input_tokens, used.output_tokens)
        await self._finish(ordinal, end)
        self._tokens += used.input_tokens + used.output_tokens
        self.usage = Usage(self.usage.input_tokens + used.input_tokens, self.usage.output_tokens + used.output_tokens)
        self._note(step, result)
        return result

    async def _finish(self, ordinal: int, end: StepEnd) -> None:
        async with self._database.tenant(self._tenant_id) as tx:
            ours = await tx.run_steps.finish(self._run, ordinal, end)
        if not ours:
            raise ClaimLost

    def _note(self, step: StepCall, result: StepResult) -> None:
        if step.kind == "model" and "provider" in result.data:
            data = result.data
            self.last_model = LastModel(data["provider"], data["model"], data["offline"], data["finish_reason"])

    def _id(self, ordinal: int) -> UUID:
        return new_id(self._run.run_id, f"step {ordinal}")


def _refuse_other(recorded: StoredStep, step: StepCall) -> None:
    if (recorded.step, recorded.kind, recorded.attempt) != (step.step, step.kind, step.attempt):
        raise StepFailed(
            f"The run cannot be taken up again: step {recorded.ordinal} was {recorded.step} ({recorded.kind}), and "
            f"would now be {step.step} ({step.kind})."
        )


def _result_of(recorded: StoredStep) -> StepResult | None:
    """What was recorded; None when it is not finished. Errors: the one that was recorded."""
    if recorded.status == "denied":
        return StepResult(recorded.reason or "", {"call_id": str(recorded.id)}, denied=True)
    if recorded.status not in ("completed", "failed"):
        return None
    if recorded.output is None:
        error = recorded.error or {}
        raise revived(error.get("code", ""), error.get("detail", "This step failed before."))
    data = dict(recorded.output)
    text = data.pop("text", "")
    usage = Usage(recorded.input_tokens, recorded.output_tokens)
    return StepResult(text, data, usage, failed=recorded.status == "failed")
