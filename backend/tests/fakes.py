"""Small real implementations of the ports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class FrozenClock:
    """A `Clock` that stands still until it is moved."""

    def __init__(self, moment: datetime = datetime(2026, 11, 2, 12, tzinfo=UTC)) -> None:
        self._moment = moment

    def now(self) -> datetime:
        """The moment that was set."""
        return self._moment

    def advance(self, **duration: float) -> None:
        """Move on by so much, as in `advance(seconds=3)`."""
        self._moment += timedelta(**duration)
