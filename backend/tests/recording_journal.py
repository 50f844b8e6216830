"""A journal in memory, whose server can be lost at any step."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Literal
from uuid import NAMESPACE_OID, UUID, uuid5

from backend.errors import NumenError, StepFailed, revived
from backend.graphs.journal import Doing, Paused, StepCall, StepResult

Moment = Literal["before", "during", "after"]
"""Of a step: before anything is recorded; done, but the end not recorded; and right after the end is recorded."""


class ServerLost(Exception):
    """The end of a server's life, which nothing can catch."""


@dataclass(slots=True)
class Row:
    """A recorded step."""

    call: StepCall
    id: UUID
    status: Literal["running", "waiting", "completed", "failed", "denied"]
    result: StepResult | None = None
    error: tuple[str, str] | None = None
    approved: bool | None = None

    @property
    def name(self) -> tuple[str, str, int]:
        """What was to be done."""
        return self.call.step, self.call.kind, self.call.attempt


@dataclass
class RecordingJournal:
    """A `Journal` over `rows`, which outlive it. The server is lost at the step with the number `dies` (from 0)."""

    rows: list[Row] = field(default_factory=list[Row])
    dies: int | None = None
    moment: Moment = "before"
    done: list[tuple[str, str, int]] = field(default_factory=list[tuple[str, str, int]])
    _next: int = 0

    @property
    def tokens(self) -> int:
        """See the protocol."""
        used = [row.result.usage for row in self.rows if row.result]
        return sum(usage.input_tokens + usage.output_tokens for usage in used)

    @property
    def seconds(self) -> float:
        """Nothing takes time here."""
        return 0.0

    @property
    def path(self) -> list[tuple[str, str, int]]:
        """Step, kind and attempt of all that is recorded."""
        return [row.name for row in self.rows]

    @property
    def waiting(self) -> Sequence[Row]:
        """What waits for a person."""
        return [row for row in self.rows if row.status == "waiting" and row.approved is None]

    def taken_over(self) -> RecordingJournal:
        """The journal as the next server finds it."""
        return RecordingJournal(self.rows)

    def answer(self, *, approved: bool, reason: str = "") -> None:
        """A person's answer to all that waits."""
        for row in self.waiting:
            row.approved = approved
            if not approved:
                row.status = "denied"
                row.result = StepResult(reason, {"call_id": str(row.id)}, denied=True)

    def once(self, step: StepCall, doing: Doing) -> Awaitable[StepResult]:
        """See the protocol."""
        number = self._next
        self._next += 1
        return self._once(number, step, doing)

    async def _once(self, number: int, step: StepCall, doing: Doing) -> StepResult:
        self._perhaps_die(number, "before")
        if number == len(self.rows):
            status = "waiting" if step.needs_approval else "running"
            self.rows.append(Row(step, uuid5(NAMESPACE_OID, str(number)), status))
            if step.needs_approval:
                raise Paused
        else:
            recorded = self._recorded(self.rows[number], step)
            if recorded is not None:
                return recorded
        return await self._do(number, step, doing)

    def _recorded(self, row: Row, step: StepCall) -> StepResult | None:
        if row.name != (step.step, step.kind, step.attempt):
            raise StepFailed(f"{row.name} was done, and now it would be {step.step}, {step.kind}, {step.attempt}")
        if row.error is not None:
            raise revived(*row.error)
        if row.result is not None:
            return row.result
        if row.status == "running" and not step.repeatable:
            row.status, row.approved = "waiting", None
        if row.status == "waiting" and row.approved is None:
            raise Paused
        row.status = "running"
        return None

    async def _do(self, number: int, step: StepCall, doing: Doing) -> StepResult:
        row = self.rows[number]
        self.done.append(row.name)
        try:
            result = await doing(row.id)
        except NumenError as error:
            self._perhaps_die(number, "during")
            row.status, row.error = "failed", (error.code, error.detail)
            self._perhaps_die(number, "after")
            raise
        self._perhaps_die(number, "during")
        row.status, row.result = "failed" if result.failed else "completed", result
        self._perhaps_die(number, "after")
        return result

    def _perhaps_die(self, number: int, moment: Moment) -> None:
        if (self.dies, self.moment) == (number, moment):
            raise ServerLost
