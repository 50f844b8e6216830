"""A text made fit for espeak-ng, in pieces that it can speak one by one."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from backend.gateways.text_cleaner import clean
from backend.gateways.word_ends import word_ends

LONGEST_PIECE = 300

# Control characters are commands to espeak-ng ("\x01300S" would speed it up), private ones are what it uses inside.
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ue000-\uf8ff\ufdd0-\ufdef\ufff0-\uffff\U000f0000-\U0010ffff]",
)
_PARAGRAPHS = re.compile(r"\s*\n\s*\n\s*")
_SPACE = re.compile(r"[^\S\n]+")
_ENDS = (
    re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]+[」』”]*|\n\n"),
    re.compile(r"[,;:–—]+(?=\s)|[，、；：]"),
    re.compile(r"\s"),
)
"""Where a text may be cut, the best places first: after a sentence, in a pause, between words."""
_CHARACTER = re.compile("[\ud800-\udbff][\udc00-\udfff]|.", re.DOTALL)


class WordPlaces:
    """Where the words of a `spoken_text` end in the text that it was made of."""

    def __init__(self, text: str, spoken: str) -> None:
        self._ends = word_ends(spoken)
        self._original_ends: list[int] = []
        # Only space and what becomes space is dropped: the other characters are the same ones, in the same order.
        kept = [one.end() for one in _CHARACTER.finditer(text) if not _UNFIT.sub(" ", clean(one[0])).isspace()]
        count, place = 0, 0
        for end in self._ends:
            count += sum(not char.isspace() for char in spoken[place:end])
            place = end
            self._original_ends.append(kept[count - 1])

    def last(self, position: int) -> int:
        """The end, in the original, of the last word that ends before this place in the spoken text; 0 for none."""
        words = bisect_right(self._ends, position)
        return self._original_ends[words - 1] if words else 0


def spoken_text(text: str) -> str:
    """Without what cannot be spoken; markup stays, and is read as the characters that it is."""
    fit = _UNFIT.sub(" ", clean(text).replace("\r\n", "\n"))
    return _PARAGRAPHS.sub("\n\n", _SPACE.sub(" ", fit)).strip()


def spoken_pieces(text: str) -> Iterator[str]:
    """A `spoken_text` in pieces of 300 characters at most, cut where a voice may pause; together they are the text."""
    start = 0
    while len(text) - start > LONGEST_PIECE:
        end = start + _cut(text[start : start + LONGEST_PIECE + 1])
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def _cut(window: str) -> int:
    for ends in _ENDS:
        places = [found.end() for found in ends.finditer(window) if found.end() <= LONGEST_PIECE]
        if places:
            return places[-1]
    return LONGEST_PIECE
