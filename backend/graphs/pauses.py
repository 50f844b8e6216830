"""Pauses in a text that is to be spoken: `[pause 4]` and its like are taken out of the words, and kept as silences.

Pure. A text may come in pieces of any size; what comes out never depends on how it was cut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from backend.models.session import Pause

LONGEST_PAUSE = 60.0
SHORTEST_PAUSE = 0.1
_LONGEST_MARK = 200
_LONGEST_ASIDE = 40
_SECONDS_OF_SIZE = {"long": 6.0, "longer": 6.0, "short": 1.5, "brief": 1.5, "little": 1.5}
_PAUSE_SECONDS = 3.0
_NUMBERS = {
    word: float(number)
    for number, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    )
} | {"fifteen": 15.0, "twenty": 20.0, "thirty": 30.0, "half a": 0.5, "a few": 3.0, "few": 3.0, "a couple of": 2.0}
_SECONDS_OF_UNIT = {"ms": 0.001, "millisecond": 0.001, "milliseconds": 0.001} | dict.fromkeys(
    ("m", "min", "mins", "minute", "minutes"), 60.0
)

_NUMBER = rf"\d{{1,6}}(?:[.,]\d{{1,3}})?|{'|'.join(sorted(_NUMBERS, key=len, reverse=True))}"
_UNIT = r"ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?"
_DURATION = re.compile(rf"(?<![\w.])({_NUMBER})(?:[ \t-]*({_UNIT})\b|(?![\w.]))")
_IS_PAUSE = re.compile(r"\b(?:pauses?|pausing|silence)\b")
_IS_DURATION = re.compile(rf"(?:{_NUMBER})[ \t-]*(?:{_UNIT})\.?")
_SIZE = re.compile(rf"\b({'|'.join(_SECONDS_OF_SIZE)})\b")
# In round brackets, or without an end, only what is surely a mark.
_SURELY = re.compile(
    rf"(?:an? )?(?:(?:very )?(?:{'|'.join(_SECONDS_OF_SIZE)}|gentle|deep) )?(?:pauses?|silence)"
    rf"(?:[ \t:,=-]*(?:(?:of|for|about) )*(?:{_NUMBER})(?:[ \t-]*(?:{_UNIT})\b)?)?\.?"
    rf"|(?:{_NUMBER})[ \t-]*(?:{_UNIT})(?: of)? (?:pause|silence)"
)
_BEGINNINGS = ("pause", "silence", "long pause", "short pause", "brief pause", "a pause", "a long pause")
_CLOSES_A_WORD = frozenset(".,;:!?…")


@dataclass(frozen=True, slots=True)
class Spoken:
    """The words of a text, and the silences between them."""

    text: str
    pauses: tuple[Pause, ...]


def take_pauses(text: str) -> Spoken:
    """The whole text at once."""
    speech = SpeechFilter()
    said = speech.push(text) + speech.rest()
    return Spoken(said, speech.pauses)


class SpeechFilter:
    """Takes the marks out of a text that comes in pieces; of a mark, not even a half is let through.

    What stands in square brackets is no speech, whatever it says. Space where a mark was is left once.
    """

    def __init__(self) -> None:
        self._silences: list[tuple[int, float]] = []
        self._said = 0
        self._last = ""
        self._gap = ""
        self._after_mark = False
        self._mark = ""
        """An open bracket and what follows it; empty outside of brackets."""

    @property
    def pauses(self) -> tuple[Pause, ...]:
        """The silences so far; those at one place are one."""
        seconds: dict[int, float] = {}
        for offset, length in self._silences:
            seconds[offset] = min(seconds.get(offset, 0.0) + length, LONGEST_PAUSE)
        return tuple(Pause(offset=offset, seconds=length) for offset, length in seconds.items())

    def push(self, piece: str) -> str:
        """The words that are certain now; may be empty."""
        return "".join([self._take(sign) for sign in piece])

    def rest(self) -> str:
        """What was held back until the text ended. A mark that never ended is left out."""
        mark, self._mark = self._mark, ""
        if not mark or mark[0] == "[" or _begins_a_mark(mark[1:]):
            self._pause(_surely(mark[1:]))
            return ""
        return self._speak(mark)

    def _take(self, sign: str) -> str:
        if not self._mark:
            return self._outside(sign)
        if sign == ("]" if self._mark[0] == "[" else ")"):
            return self._close(sign)
        if sign == "[" and self._mark[0] == "[":
            return self._close("]") + self._outside(sign)
        if sign in "[(" and self._mark[0] == "(":
            return self._give_up() + self._outside(sign)
        if sign == "\n" or len(self._mark) > (_LONGEST_MARK if self._mark[0] == "[" else _LONGEST_ASIDE):
            return self._give_up() + self._take(sign)
        self._mark += "" if sign == "]" else sign
        return ""

    def _outside(self, sign: str) -> str:
        if sign in "[(":
            self._mark = sign
            return ""
        return "" if sign == "]" else self._speak(sign)

    def _close(self, sign: str) -> str:
        mark, self._mark = self._mark, ""
        if mark[0] == "[":
            self._pause(_seconds(mark[1:]))
            self._after_mark = True
            return ""
        seconds = _surely(mark[1:])
        if seconds is None:
            return self._speak(mark + sign)
        self._pause(seconds)
        self._after_mark = True
        return ""

    def _give_up(self) -> str:
        """The bracket is not closed where a mark would be: what it holds is speech, unless it is surely a mark."""
        mark, self._mark = self._mark, ""
        seconds = _surely(mark[1:])
        if seconds is not None:
            self._pause(seconds)
            self._after_mark = True
            return ""
        return self._speak(mark[1:] if mark[0] == "[" else mark)

    def _speak(self, text: str) -> str:
        return "".join([self._say(sign) for sign in text])

    def _say(self, sign: str) -> str:
        if sign.isspace():
            self._gap += sign
            return ""
        gap = _separator(self._gap) if self._said else ""
        if self._after_mark and sign in _CLOSES_A_WORD and self._last.isalnum():
            gap = ""
        self._gap, self._after_mark, self._last = "", False, sign
        said = gap + sign
        self._said += len(said)
        return said

    def _pause(self, seconds: float | None) -> None:
        if seconds:
            self._silences.append((self._said, seconds))


def _separator(gap: str) -> str:
    return ("\n\n" if gap.count("\n") > 1 else "\n" if "\n" in gap else " ") if gap else ""


def _surely(mark: str) -> float | None:
    return _seconds(mark) if _SURELY.fullmatch(_plain(mark)) else None


def _seconds(mark: str) -> float | None:
    """How long the silence is that a mark asks for; None when it asks for none."""
    plain = _plain(mark)
    if not _IS_PAUSE.search(plain) and not _IS_DURATION.fullmatch(plain):
        return None
    length = _duration(plain)
    if length is None:
        size = _SIZE.search(plain)
        length = _SECONDS_OF_SIZE[size[1]] if size else _PAUSE_SECONDS
    return round(min(length, LONGEST_PAUSE), 3) if length >= SHORTEST_PAUSE else 0.0


def _duration(plain: str) -> float | None:
    found = _DURATION.search(plain)
    if found is None:
        return None
    number = found[1]
    length = _NUMBERS[number] if number in _NUMBERS else float(number.replace(",", "."))
    return length * _SECONDS_OF_UNIT.get(found[2] or "s", 1.0)


def _begins_a_mark(text: str) -> bool:
    plain = _plain(text)
    return bool(plain) and any(one.startswith(plain) or plain.startswith(one) for one in _BEGINNINGS)


def _plain(mark: str) -> str:
    return " ".join(mark.casefold().replace("_", " ").replace("*", " ").split())
