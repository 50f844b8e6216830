"""What a client has played of an answer's audio: as it tells, and by the clock as long as it tells nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

from backend.services.voice.timeline import BYTES_A_MS

LAG_SECONDS = 2.0
"""A client that tells what it played may be so much later than the clock with the end."""
_NEARLY = 60 * BYTES_A_MS


class Playback:
    """Places in the audio are bytes. What was sent is played in real time from when it came, as far as is known."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._most = 0
        self._ends_at = 0.0
        self._by_clock = 0
        self._told: int | None = None
        self._pauses = False
        self.sent = 0
        """Where the next audio that is sent begins."""

    @property
    def most(self) -> int:
        """How much was sent at all; after a rewind that is more than `sent`."""
        return self._most

    @property
    def heard(self) -> int:
        """So much was played by now."""
        return self._clock() if self._told is None else self._told

    @property
    def ahead(self) -> float:
        """For how many seconds the client has audio, by the clock."""
        return 0.0 if self._pauses else max(0.0, self._ends_at - self._now())

    @property
    def left(self) -> float:
        """In how many seconds everything that was sent will be played, at the latest; 0 when it is."""
        if self._pauses or self.sent == 0 or (self._told is not None and self._told >= self.sent - _NEARLY):
            return 0.0
        return max(0.0, self._ends_at + (0.0 if self._told is None else LAG_SECONDS) - self._now())

    def send(self, size: int) -> None:
        """So much more is on its way to the client."""
        self._clock()
        self._pauses = False
        self._ends_at = max(self._ends_at, self._now()) + size / BYTES_A_MS / 1000
        self.sent += size
        self._most = max(self._most, self.sent)

    def tell(self, ms: int) -> None:
        """The client says that so much was played."""
        self._told = max(self._told or 0, min(ms * BYTES_A_MS, self._most))

    def finish(self) -> None:
        """Everything that was sent was played, as far as can be known."""
        self._told = self._most

    def pause(self) -> None:
        """The client plays nothing any more, and has dropped what it had."""
        self._clock()
        self._pauses = True

    def rewind(self, place: int) -> None:
        """What is sent next is what comes from there on."""
        self.sent = place
        self._ends_at = 0.0

    def _clock(self) -> int:
        if not self._pauses:
            played = self.sent - round(max(0.0, self._ends_at - self._now()) * 1000) * BYTES_A_MS
            self._by_clock = max(self._by_clock, played)
        return self._by_clock
