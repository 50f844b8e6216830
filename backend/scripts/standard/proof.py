"""What a rule shows for itself, and where it does not hold."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend.scripts.standard.ground import Ground


class Unproved(Exception):
    """The rule does not hold here, and the rest of its proof makes no sense any more."""


@dataclass(slots=True)
class Proof:
    """Collects while a rule is proved: `evidence` of what was seen to hold, `failures` of what does not."""

    evidence: list[str] = field(default_factory=list[str])
    failures: list[str] = field(default_factory=list[str])

    def show(self, what: str) -> None:
        """This was seen to hold."""
        self.evidence.append(what)

    def expect(self, holds: bool, otherwise: str) -> None:
        """`otherwise` says what was found instead."""
        if not holds:
            self.failures.append(otherwise)

    def require(self, holds: bool, otherwise: str) -> None:
        """As `expect`, and the proof ends here. Errors: `Unproved`."""
        if not holds:
            raise Unproved(otherwise)


Prove = Callable[["Ground", Proof], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the standard; one without a `prove` is not counted, and `reason` says why."""

    number: int
    title: str
    prove: Prove | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a rule on this deployment; `passed` is None when it is not counted."""

    number: int
    title: str
    passed: bool | None
    evidence: Sequence[str]
    failures: Sequence[str] = ()
