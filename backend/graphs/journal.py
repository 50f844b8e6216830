"""What a run did, step by step: done once, recorded, and not done again when the run is taken up by another server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID, uuid4

from backend.models.run import StepKind
from backend.ports import Usage


class Paused(Exception):
    """No error: the run stops here until a person has answered. What is recorded lets it go on."""


@dataclass(frozen=True, slots=True)
class StepCall:
    """One thing to do. `step` groups what belongs together: the id of a workflow's step, or a name of the graph's own.

    `input` is recorded and shown (of a tool call: `tool` and `arguments`). What is not `repeatable` is not done again
    when a server was lost in the middle: a person is asked. `needs_approval`: a person is asked before it is done.
    """

    step: str
    kind: StepKind
    input: dict[str, Any]
    attempt: int = 1
    repeatable: bool = True
    needs_approval: bool = False


@dataclass(frozen=True, slots=True)
class StepResult:
    """What it gave: `text`, and `data` (JSON) for what text does not hold. `failed`: the text says what went wrong.

    `denied`: a person refused it, and the text is their reason.
    """

    text: str
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    usage: Usage = field(default_factory=Usage)
    failed: bool = False
    denied: bool = False


Doing = Callable[[UUID], Awaitable[StepResult]]
"""Does the step. It is given the step's id, which is the same for every try after a lost server."""


class Journal(Protocol):
    """Records the steps of one run in the order in which `once` is called, which must be the same each time."""

    def once(self, step: StepCall, doing: Doing) -> Awaitable[StepResult]:
        """Do it and record it, or give what was recorded. The place in the order is taken at the call, not the await.

        Errors: what `doing` raises, which is recorded (when recorded before, `StepFailed` with the same detail);
        `Paused` when a person has to be asked first.
        """
        ...

    @property
    def tokens(self) -> int:
        """Input and output tokens of all recorded steps."""
        ...

    @property
    def seconds(self) -> float:
        """How long the finished steps took together."""
        ...


class UnrecordedJournal:
    """For runs of one model call, of which there is nothing to take up again."""

    tokens = 0
    seconds = 0.0

    async def once(self, step: StepCall, doing: Doing) -> StepResult:  # noqa: ARG002 — the protocol's signature
        """Do it."""
        return await doing(uuid4())
