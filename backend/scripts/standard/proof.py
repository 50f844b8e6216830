"""What a rule shows for itself, and where it does not hold."""

from __future__ import annotations

from dataclasses import dataclass, field


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
