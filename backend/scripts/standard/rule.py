"""A rule of the standard, and what became of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from backend.scripts.standard.ground import Ground
from backend.scripts.standard.proof import Proof

Prove = Callable[[Ground, Proof], Awaitable[None]]


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
