"""What the wording of a memory says about its worth as an answer, whatever was asked."""

from __future__ import annotations

import re

_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_WEEKDAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_UNITS = "day|week|month|year|morning|afternoon|evening|night|weekend|summer|winter|spring|fall|autumn"
_TIME = re.compile(
    rf"\b(?:yesterday|today|tonight|tomorrow|ago|(?:last|next) (?:time|{_UNITS}|{_WEEKDAYS}|{_MONTHS})"
    rf"|(?:this|past|the other|few|couple of|\d+|two|three|four|five|six) (?:{_UNITS})s?|{_WEEKDAYS}|{_MONTHS}"
    r"|\d{4})\b",
    re.IGNORECASE,
)
_FIRST_PERSON = re.compile(r"\b(?:i|me|my|mine|myself|we|us|our)\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_NOT_A_WORD = re.compile(r"[\W_]+")


def asking_share(text: str) -> float:
    """Which share of the words stands in questions: who only asks tells little."""
    if "?" not in text:
        return 0.0
    counts = [(len(one.split()), one.endswith("?")) for one in _SENTENCE_END.split(text.strip())]
    return sum(count for count, asks in counts if asks) / max(sum(count for count, _ in counts), 1)


def tells_time(text: str) -> bool:
    """Whether it says when something was or will be."""
    return bool(_TIME.search(text))


def tells_of_speaker(text: str) -> bool:
    """Whether who said it speaks of themselves."""
    return bool(_FIRST_PERSON.search(text))


def plain(text: str) -> str:
    """The words in small letters, a space around each: what says the same is the same, whatever its signs."""
    return f" {_NOT_A_WORD.sub(' ', text.casefold()).strip()} "
