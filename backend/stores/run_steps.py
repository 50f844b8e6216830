"""Rows of run steps: what a run did, and what of it waits for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from backend.models.run import RunStep, StepKind, StepStatus
from backend.stores.queries import load

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_SQL = load("run_steps")


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """A run, and the number of the claim under which somebody works on it."""

    run_id: UUID
    claim: int


@dataclass(frozen=True, slots=True)
class NewStep:
    """A step about to be done."""

    ordinal: int
    id: UUID
    step: str
    kind: StepKind
    attempt: int
    status: StepStatus
    input: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StepEnd:
    """How a step ended; `output` and `error` are JSON."""

    status: StepStatus
    output: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class StoredStep:
    """A recorded step. `reason` is a person's, or why a person is asked."""

    id: UUID
    ordinal: int
    step: str
    kind: StepKind
    attempt: int
    status: StepStatus
    input: dict[str, Any]
    output: dict[str, Any] | None
    error: dict[str, Any] | None
    approved: bool | None
    reason: str | None
    input_tokens: int
    output_tokens: int
    started_at: datetime
    finished_at: datetime | None

    def shown(self) -> RunStep:
        """The step as the API shows it."""
        return RunStep(
            id=self.id,
            ordinal=self.ordinal,
            step=self.step,
            kind=self.kind,
            attempt=self.attempt,
            status=self.status,
            input=self.input,
            output=self.output,
            error=self.error,
            approved=self.approved,
            started_at=self.started_at,
            finished_at=self.finished_at,
        )


class RunStepStore:
    """Steps of one tenant's runs."""

    def __init__(self, connection: Connection, tenant_id: UUID) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    async def begin(self, run: ClaimedRun, step: NewStep) -> bool:
        """Record a step before it is done; False when the claim was lost."""
        found = await self._connection.fetchval(
            _SQL["begin"], self._tenant_id, run.run_id, run.claim, step.ordinal, step.id, step.step, step.kind,
            step.attempt, step.status, _json(step.input),
        )  # fmt: skip
        return found is not None

    async def again(self, run: ClaimedRun, ordinal: int, status: StepStatus, reason: str = "") -> bool:
        """A recorded step is about to be done (`running`), or a person is asked about it; False without the claim."""
        found = await self._connection.fetchval(
            _SQL["again"], self._tenant_id, run.run_id, run.claim, ordinal, status, reason
        )
        return found is not None

    async def finish(self, run: ClaimedRun, ordinal: int, end: StepEnd) -> bool:
        """Record how it ended; False when the claim was lost."""
        found = await self._connection.fetchval(
            _SQL["finish"], self._tenant_id, run.run_id, run.claim, ordinal, end.status, _json(end.output),
            _json(end.error), end.input_tokens, end.output_tokens,
        )  # fmt: skip
        return found is not None

    async def all(self, run_id: UUID) -> list[StoredStep]:
        """The run's steps, in order."""
        return [_stored(row) for row in await self._connection.fetch(_SQL["all"], self._tenant_id, run_id)]

    async def answer(
        self, run_id: UUID, call_id: UUID, by: UUID, *, approved: bool, reason: str, operation_id: UUID | None = None
    ) -> bool:
        """A person's answer to a waiting call; False when it does not wait."""
        found = await self._connection.fetchval(
            _SQL["answer"], self._tenant_id, run_id, call_id, approved, reason, by, operation_id
        )
        return found is not None

    async def exists(self, run_id: UUID, call_id: UUID) -> bool:
        """Whether the run has such a step."""
        return await self._connection.fetchrow(_SQL["find"], self._tenant_id, run_id, call_id) is not None

    async def answered_in(self, run_id: UUID, call_id: UUID, operation_id: UUID) -> bool:
        """Whether it was answered by this very operation."""
        row = await self._connection.fetchrow(_SQL["find"], self._tenant_id, run_id, call_id)
        return row is not None and row["operation_id"] == operation_id

    async def close(self, run_id: UUID) -> None:
        """The run is over: unfinished steps are marked as failed."""
        await self._connection.execute(_SQL["close"], self._tenant_id, run_id)

    async def forget_failures(self, run_id: UUID) -> None:
        """The run is tried again: the failures at its end are not what it did."""
        await self._connection.execute(_SQL["forget_failures"], self._tenant_id, run_id)


def waiting_calls(steps: Sequence[StoredStep]) -> list[StoredStep]:
    """Those that nobody has answered yet."""
    return [one for one in steps if one.status == "waiting" and one.approved is None]


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _stored(row: Record) -> StoredStep:
    fields: dict[str, Any] = dict(row)
    for name in ("input", "output", "error"):
        fields[name] = orjson.loads(fields[name]) if fields[name] else None
    return StoredStep(**fields)
