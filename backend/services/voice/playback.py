"""What a client has played of an answer's audio: as it tells, and by the clock as long as it tells nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

from backend.services.voice.timeline import BYTES_A_MS

LAG_SECONDS = 2.0
"""A client that tells what it played may be so much later than the clock with the end."""
SILENT_SECONDS = 1.5
"""Of a client that has told nothing for so long, the clock knows more."""
_NEARLY = 60 * BYTES_A_MS
_TELLS_EVERY = 0.1


class Playback:
    """Places in the audio are bytes. What was sent is played in real time from when it came, as far as is known."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._most = 0
        self._ends_at = 0.0
        self._by_clock = 0
        self._told: int | None = None
        self._told_at = 0.0
        self._since_told = 0
        self._pauses = False
        self.sent = 0
        """Where the next audio that is sent begins."""

    @property
    def most(self) -> int:
        """How much was sent at all; after a rewind that is more than `sent`."""
        return self._most

    @property
    def heard(self) -> int:
        """So much was played by now. What the client told last may be a moment old, and it has played on since."""
        self._go_on()
        return self._by_clock if self._told is None else max(self._told, min(self._told + self._since_told, self.sent))

    @property
    def surely(self) -> int:
        """So much was played by now, as the client told; by the clock when it has told nothing yet."""
        self._go_on()
        return self._by_clock if self._told is None else self._told

    @property
    def ahead(self) -> float:
        """For how many seconds the client has audio, by the clock."""
        return 0.0 if self._pauses else max(0.0, self._ends_at - self._now())

    @property
    def left(self) -> float:
        """In how many seconds everything that was sent will be played, at the latest; 0 when it is."""
        if self._pauses or self.sent == 0 or (self._told is not None and self._told >= self.sent - _NEARLY):
            return 0.0
        late = self._ends_at if self._told is None else max(self._ends_at, self._told_at + SILENT_SECONDS)
        return max(0.0, min(late, self._ends_at + LAG_SECONDS) - self._now())

    def send(self, size: int) -> None:
        """So much more is on its way to the client."""
        self._go_on()
        self._pauses = False
        self._ends_at = max(self._ends_at, self._now()) + _seconds(size)
        self.sent += size
        self._most = max(self._most, self.sent)

    def tell(self, ms: int) -> None:
        """The client says that so much was played."""
        self._told = max(self._told or 0, min(ms * BYTES_A_MS, self._most))
        self._told_at = self._now()
        self._since_told = 0

    def finish(self) -> None:
        """Everything that was sent was played, as far as can be known."""
        self._told = self._most

    def pause(self) -> None:
        """The client plays nothing any more, and has dropped what it had."""
        self._go_on()
        self._pauses = True

    def rewind(self, place: int) -> None:
        """What is sent next is what comes from there on. Only in a pause."""
        self.sent = place
        self._ends_at = 0.0
        self._since_told = 0

    def _go_on(self) -> None:
        """Let the clocks go on until now, unless nothing is played."""
        if not self._pauses:
            self._by_clock = max(self._by_clock, self.sent - _bytes(self._ends_at - self._now()))
            self._since_told = _bytes(min(_TELLS_EVERY, self._now() - self._told_at))


def _seconds(size: int) -> float:
    return size / BYTES_A_MS / 1000


def _bytes(seconds: float) -> int:
    return round(max(0.0, seconds) * 1000) * BYTES_A_MS
