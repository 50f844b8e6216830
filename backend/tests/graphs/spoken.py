"""A text with marks, filtered at once."""

from __future__ import annotations

from dataclasses import dataclass

from backend.graphs.pauses import SpeechFilter
from backend.models.session import Pause


@dataclass(frozen=True, slots=True)
class Spoken:
    """The words of a text, and the silences between them."""

    text: str
    pauses: tuple[Pause, ...]


def take_pauses(text: str) -> Spoken:
    """The whole text in one piece."""
    speech = SpeechFilter()
    said = speech.push(text) + speech.rest()
    return Spoken(said, speech.pauses)
