"""What each voice provider can do: the table behind the refusals of `VoiceSettings`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`, both allowed; equal bounds mean that the provider has no such control."""

    low: float
    high: float

    @property
    def fixed(self) -> bool:
        """Whether there is nothing to choose."""
        return self.low == self.high


FULL = Range(0.5, 2.0)
NO_CHANGE = Range(1.0, 1.0)
UNIT = Range(0.0, 1.0)
UNUSED = Range(0.75, 0.75)

SPEECH_PROVIDERS: Mapping[str, Mapping[str, Range]] = MappingProxyType(
    {
        "elevenlabs": {
            "speed": Range(0.7, 1.2),
            "pitch": NO_CHANGE,
            "stability": UNIT,
            "similarity_boost": UNIT,
        },
        "local": {
            "speed": FULL,
            "pitch": FULL,
            "stability": UNUSED,
            "similarity_boost": UNUSED,
        },
    }
)
"""Text to speech: provider to control to what it takes. `local` is espeak-ng."""

TRANSCRIPTION_PROVIDERS: tuple[str, ...] = ("deepgram",)
"""Speech to text."""
