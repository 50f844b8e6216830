"""Words as they are typed, and the plain words that are meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

_LEET = str.maketrans("013457@$!|+", "oieastasilt")
_OTHER_ONE = str.maketrans("1!|", "lll")
_MIXED = re.compile(r"[@$!|*+]|(?<=[a-z])\d|\d(?=[a-z])")
_SPECIAL = re.compile(r"[@$!|*+]+")
_STRETCHED = re.compile(r"(.)\1{2,}")
_DOUBLED = re.compile(r"(.)\1+")
_YEAR = re.compile(r"(?:19|20)\d\d")
_MANY = 8
_LONGEST_WORD = 40
_LONGEST_PIECE = 15
_FEWEST_LETTERS = 3
_MOST_REMEMBERED = 4096


class Spelling:
    """Reads words as somebody means them who types in a hurry, in slang, or past a filter.

    `table` is `words.json`; `looked_for` are the words that matter, so that no other has to be known.
    """

    def __init__(self, table: Mapping[str, Any], looked_for: Iterable[str]) -> None:
        spoken: dict[str, str] = table["spoken"]
        self._known: dict[str, tuple[str, ...]] = {word: (word,) for word in [*looked_for, *table["real"]]}
        self._core: frozenset[str] = frozenset(table["core"])
        self._hideable = sorted(self._core)
        self._known |= {word: (word,) for word in self._core}
        for right, wrong in table["misspelled"].items():
            self._known |= {word: self._known.get(right, (right,)) for word in wrong.split()}
        for right in table["careless"]:
            self._known = dict.fromkeys(_slips(right), (right,)) | self._known
        self._known = {f"{owner}s": (owner, "s") for owner in table["owners"]} | self._known
        self._known |= {word: tuple(meant.split()) for word, meant in spoken.items()}
        self._known |= dict.fromkeys(table["many"], ("##",))
        self._squeezed = {_squeezed(word): meant for word, meant in self._known.items() if word in self._core}
        self._pieces = {word: meant for word, meant in self._known.items() if len(word) > 1 or word == "i"}
        self._glued = re.compile("|".join(table["glued"]))
        self._pairs = {tuple(pair.split()): tuple(meant.split()) for pair, meant in table["pairs"].items()}
        self._remembered: dict[str, tuple[str, ...]] = {}

    def words(self, typed: Sequence[str]) -> list[str]:
        """The plain words of what was typed: small letters, digits and `@$!|*+` inside of a word."""
        meant = [word for one in self._closed_up(typed) for word in self._meant(one)]
        return list(self._joined(meant))

    def _meant(self, typed: str) -> tuple[str, ...]:
        known = self._known.get(typed) or self._remembered.get(typed)
        if known is None:
            known = self._read(typed)
            if len(self._remembered) < _MOST_REMEMBERED and len(typed) <= _LONGEST_WORD:
                self._remembered[typed] = known
        return known

    def _read(self, typed: str) -> tuple[str, ...]:
        if typed.isdigit():
            return (_number(typed),)
        if len(typed) > _LONGEST_WORD and _SPECIAL.search(typed) is None:
            return (typed,)
        if _MIXED.search(typed) and len(typed) <= _LONGEST_WORD:
            found = self._disguised(typed)
        else:
            found = self._stretched(typed)
        if found is not None:
            return found
        parts = [part for part in _SPECIAL.split(typed) if part]
        if parts != [typed]:
            return tuple(word for part in parts for word in self._meant(part))
        return self._unglued(typed) or (typed,)

    def _disguised(self, typed: str) -> tuple[str, ...] | None:
        if "*" in typed:
            return next((self._known[word] for word in self._hideable if _hides(typed, word)), None)
        for plain in (typed.translate(_LEET), typed.translate(_OTHER_ONE).translate(_LEET)):
            found = self._known.get(plain) or (self._stretched(plain) if plain.isalpha() else None)
            if found or (found := self._unglued(plain)):
                return found
        return None

    def _stretched(self, typed: str) -> tuple[str, ...] | None:
        if _STRETCHED.search(typed):
            for plain in (_STRETCHED.sub(r"\1", typed), _STRETCHED.sub(r"\1\1", typed)):
                if plain in self._known:
                    return self._known[plain]
        return self._squeezed.get(_squeezed(typed)) if _DOUBLED.search(typed) else None

    def _unglued(self, typed: str) -> tuple[str, ...] | None:
        if len(typed) < 6 or not self._glued.search(typed):
            return None
        pieces = self._cut(typed)
        return None if any(piece not in self._pieces for piece in pieces) else self._all_meant(pieces)

    def _all_meant(self, pieces: Sequence[str]) -> tuple[str, ...]:
        return tuple(word for piece in pieces for word in self._pieces.get(piece, (piece,)))

    def _cut(self, letters: str) -> list[str]:
        """The cut into known words which leaves the fewest letters over, and of these the one with the fewest words."""
        best: list[tuple[int, int, int]] = [(0, 0, 0)]
        for end in range(1, len(letters) + 1):
            left, count, _ = best[end - 1]
            choice = (left + 1, count + 1, end - 1)
            for start in range(max(0, end - _LONGEST_PIECE), end):
                if letters[start:end] in self._pieces:
                    choice = min(choice, (best[start][0], best[start][1] + 1, start))
            best.append(choice)
        pieces: list[str] = []
        end = len(letters)
        while end:
            start = best[end][2]
            pieces.append(letters[start:end])
            end = start
        return pieces[::-1]

    def _closed_up(self, typed: Sequence[str]) -> Iterator[str]:
        """Words that were typed with a space after each letter or two, closed up again where that makes sense."""
        for short, run in groupby(typed, _is_piece):
            pieces = list(run)
            if not short or len(pieces) < _FEWEST_LETTERS:
                yield from pieces
                continue
            letters = "".join(pieces)
            plain = letters.translate(_LEET)
            words = self._cut(plain if any(map(str.isalpha, pieces)) else letters)
            by_letters = sum(len(piece) == 1 for piece in pieces) >= _FEWEST_LETTERS
            hidden = [word for word in words if word in self._core and (len(word) > 3 or by_letters)]
            yield from words if hidden else pieces

    def _joined(self, words: Sequence[str]) -> Iterator[str]:
        """Words that were typed in two pieces, and those of which two say one thing."""
        at = 0
        while at < len(words):
            pair = tuple(words[at : at + 2])
            if pair in self._pairs:
                yield from self._pairs[pair]
                at += 2
            elif len(pair) == 2 and (whole := "".join(pair)) in self._core:
                yield from self._known[whole]
                at += 2
            else:
                yield pair[0]
                at += 1


def _is_piece(typed: str) -> bool:
    return len(typed) <= 2 and (typed.isalpha() or typed in "013457")


def _number(digits: str) -> str:
    if _YEAR.fullmatch(digits):
        return "#year"
    return "#" if len(digits) == 1 and int(digits) < _MANY else "##"


def _hides(typed: str, word: str) -> bool:
    return len(typed) == len(word) and all(drawn in {"*", letter} for drawn, letter in zip(typed, word, strict=True))


def _squeezed(word: str) -> str:
    return _DOUBLED.sub(r"\1", word)


def _slips(word: str) -> Iterator[str]:
    """The word with a letter left out, or two changed about."""
    for at in range(len(word)):
        yield word[:at] + word[at + 1 :]
        yield word[:at] + word[at + 1 : at + 2] + word[at] + word[at + 2 :]
