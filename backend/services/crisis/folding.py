"""What people type, made into plain words: spelling, slang, look-alike letters and tricks with spaces taken out."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from backend.services.crisis.phrase_set import END, START
from backend.services.crisis.spelling import Spelling

_TOKEN = re.compile(r"[@$]?[a-z0-9]+(?:[@$!|*+]{1,6}[a-z0-9]+)*|[.!?;]+(?=[\"\u201c\u201d)\]]*(?:\s|$))")
_PAUSE = re.compile(r"\.{2,}")
_LONGEST_KNOWN = 4096


class _Letters(dict[int, str | None]):
    """Characters to what they look like: letters of plain English, nothing for what cannot be seen, or themselves."""

    def __init__(self) -> None:
        super().__init__()
        table = _data("look_alikes.json")
        self._drawn = {drawing: letter for letter, drawings in table["letters"].items() for drawing in drawings}
        self._drawn |= dict.fromkeys(table["nothing"], "") | dict.fromkeys(table["space"], " ")
        for first in table["letter_rows"]:
            self._drawn |= {chr(int(first, 16) + at): chr(ord("a") + at) for at in range(26)}

    def __missing__(self, code: int) -> str | None:
        drawn = self._drawn.get(chr(code))
        folded = "".join(map(self._letter, unicodedata.normalize("NFKD", chr(code)))) if drawn is None else drawn
        if len(folded) > 4:  # a whole phrase in one character, which nobody types
            folded = " "
        if len(self) < _LONGEST_KNOWN:
            self[code] = folded
        return folded

    def _letter(self, character: str) -> str:
        if character in self._drawn:
            return self._drawn[character]
        if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
            return ""
        small = character.casefold()
        return self._drawn.get(small, small)


@dataclass(frozen=True, slots=True)
class Folding:
    """Makes sentences of plain words out of a text."""

    spelling: Spelling

    def sentences(self, text: str) -> Iterator[list[str]]:
        """The sentences, each between `^` and `$`. Numbers are `#`, `##` from eight on, and `#year`."""
        for sentence in _sentences(text.translate(_letters())):
            yield [START, *_told_once(self.spelling.words(sentence)), END]


def _sentences(text: str) -> Iterator[list[str]]:
    """A word by itself is no sentence but belongs to what follows, so a full stop after each word hides nothing."""
    sentence: list[str] = []
    stopped = 0
    for token in _TOKEN.findall(text):
        if token[0] not in ".!?;":
            sentence.append(token)
        elif len(sentence) - stopped > 1 and not _PAUSE.fullmatch(token):
            yield sentence
            sentence, stopped = [], 0
        else:
            stopped = len(sentence)
    if sentence:
        yield sentence


def _told_once(words: Sequence[str]) -> Iterator[str]:
    """Words without immediate repetitions."""
    before = ""
    for word in words:
        if word != before:
            yield word
        before = word


@cache
def _letters() -> Mapping[int, str | None]:
    return _Letters()


def _data(name: str) -> dict[str, Any]:
    return json.loads(files("backend.services.crisis").joinpath(name).read_bytes())
