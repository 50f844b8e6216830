"""When a moment of a person's audio was: the provider counts seconds of audio, people count on their clock."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

from backend.ports.speech import SAMPLE_BYTES, SAMPLE_RATE

_KEPT_FRAMES = 3_000
"""A minute of frames of 20 ms."""


class AudioClock:
    """Seconds of audio to seconds of `time.monotonic`."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._came: deque[tuple[float, float]] = deque(maxlen=_KEPT_FRAMES)

    def heard(self, pcm: bytes, now: float) -> None:
        """These are the next bytes of audio, and this is when they came."""
        self._seconds += len(pcm) / (SAMPLE_RATE * SAMPLE_BYTES)
        self._came.append((self._seconds, now))

    def at(self, seconds: float) -> float | None:
        """When that moment of audio came; None when it is not known (any more)."""
        place = bisect_left(self._came, (seconds, 0.0))
        if place == len(self._came):
            place -= 1  # providers round
        return self._came[place][1] if self._came and seconds > self._came[0][0] - 1.0 else None
