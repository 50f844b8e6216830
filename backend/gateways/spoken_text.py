"""A text made fit for espeak-ng, in pieces that it can speak one by one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from backend.gateways.text_cleaner import clean

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
