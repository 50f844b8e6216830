"""Makes a model's text fit for the database, for JSON and for a voice: no NUL, no lone surrogates."""

from __future__ import annotations

import re

REPLACEMENT = "\ufffd"
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_UNFIT = re.compile("[\x00\ud800-\udfff]")


def clean(text: str) -> str:
    """The text with surrogate pairs joined, and NUL and lone surrogates replaced by U+FFFD."""
    if _UNFIT.search(text) is None:
        return text
    return _UNFIT.sub(REPLACEMENT, _PAIR.sub(_join, text))


def _join(pair: re.Match[str]) -> str:
    high, low = pair.group()
    return chr(0x10000 + ((ord(high) - 0xD800) << 10) + (ord(low) - 0xDC00))


class TextCleaner:
    """Cleans a text that arrives in pieces, also where a pair of surrogates is split over two of them."""

    def __init__(self) -> None:
        self._waiting = ""

    def push(self, piece: str) -> str:
        """The part of the text that is certain now; may be empty."""
        if self._waiting:
            piece, self._waiting = self._waiting + piece, ""
        if piece and "\ud800" <= piece[-1] <= "\udbff":
            piece, self._waiting = piece[:-1], piece[-1]
        return clean(piece)

    def rest(self) -> str:
        """What was still waiting for its other half when the text ended."""
        waiting, self._waiting = self._waiting, ""
        return clean(waiting)
