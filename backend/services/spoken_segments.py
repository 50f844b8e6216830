"""A part of a script as a voice says it: sentences and silences in turn. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from backend.models.session import SpokenPart

MOST_AT_ONCE = 600
"""Characters that go to a provider in one piece: what fails is little, and the first words are there soon."""
_AROUND = 300
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+|\n+")


@dataclass(frozen=True, slots=True)
class Utterance:
    """Words to be said, with what is said before and after them, for the melody."""

    text: str
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing, for so many seconds."""

    seconds: float


def segments(part: SpokenPart) -> list[Utterance | Silence]:
    """The part in the order in which it is heard; no words of it are left out."""
    found: list[Utterance | Silence] = []
    begun = 0
    for pause in sorted(part.pauses, key=lambda one: one.offset):
        end = min(pause.offset, len(part.text))
        found += utterances(part.text, begun, end)
        found.append(Silence(pause.seconds))
        begun = end
    return found + utterances(part.text, begun, len(part.text))


def utterances(text: str, begin: int = 0, end: int | None = None) -> list[Utterance | Silence]:
    """The words from `begin` to `end`, in pieces of whole sentences."""
    found: list[Utterance | Silence] = []
    for first, last in _pieces(text, begin, len(text) if end is None else end):
        words = text[first:last].strip()
        if words:
            found.append(Utterance(words, text[max(0, first - _AROUND) : first], text[last : last + _AROUND]))
    return found


def _pieces(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Places between which at most `MOST_AT_ONCE` characters stand."""
    while end - begin > MOST_AT_ONCE:
        cut = _last_end(text, begin, begin + MOST_AT_ONCE)
        yield begin, cut
        begin = cut
    yield begin, end


def _last_end(text: str, begin: int, limit: int) -> int:
    """Where to cut: behind the last sentence that ends before the limit, or the last word, or just there."""
    ends = [one.end() for one in _SENTENCE_END.finditer(text, begin, limit)]
    if ends:
        return ends[-1]
    space = text.rfind(" ", begin + 1, limit)
    return space + 1 if space > begin else limit
