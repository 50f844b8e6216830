"""What the wording of a memory says about its worth as an answer, whatever was asked."""

from __future__ import annotations

import re

_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
_TIME = re.compile(
    r"\b(?:yesterday|today|tonight|tomorrow|ago|last|next|since|recently|just"
    r"|this (?:week|month|year|morning|weekend|summer|winter|spring|fall|autumn)"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day|january|february|march|april|may|june|july|august|september|october"
    r"|november|december|\d{4})\b",
    re.IGNORECASE,
)
_NOT_A_WORD = re.compile(r"[\W_]+")


def asking_share(text: str) -> float:
    """Which share of the words stands in questions: who only asks tells little."""
    asking = words = 0
    for sentence in _SENTENCE.findall(text):
        count = len(sentence.split())
        words += count
        asking += count if sentence.endswith("?") else 0
    return asking / words if words else 0.0


def tells_time(text: str) -> bool:
    """Whether it says when something was or will be."""
    return bool(_TIME.search(text))


def plain(text: str) -> str:
    """The words in small letters, a space around each: what says the same is the same, whatever its signs."""
    return f" {_NOT_A_WORD.sub(' ', text.casefold()).strip()} "
