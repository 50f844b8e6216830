"""Texts to vectors without a model: words and parts of words, hashed. Finds what is written alike, not what is meant.

The fallback for machines on which no model runs. Two texts are near when they share words (but for the most frequent
English ones) or pieces of words, so "hike" and "hiking" are near, "car" and "automobile" are not.
"""

from __future__ import annotations

import asyncio
import math
import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from backend.ports import Vector

DIMENSIONS = 1024
LONGEST_TEXT = 8192
WORD_WEIGHT = 2.0
PIECES, PIECES_WITHOUT_SPACES = (3, 4, 5), (1, 2, 3)
A_FEW_TEXTS = 4
BATCH_TEXTS = 64

_WORD = re.compile(r"[^\W_]+")
_FIRST_WITHOUT_SPACES = "\u2e80"
"""From here on lie the scripts of East Asia, in which a run of letters is a sentence and a word is one or two."""
_FREQUENT_WORDS = (
    "a an and are as at be been but by did do does for from had has have he her his i if in into is it its me my of on "
    "or our she so that the their them they this to us was we were what when where which who why will with would you "
    "your how"
)
_FREQUENT = frozenset(_FREQUENT_WORDS.split())


class LexicalEmbedder:
    """An `Embedder` that needs nothing. The same text has the same vector everywhere and for ever."""

    name = f"lexical-{DIMENSIONS}"
    dimensions = DIMENSIONS

    async def embed(self, texts: Sequence[str]) -> Vector:
        """One row of unit length per text, in order; an empty text has one, too."""
        if len(texts) <= A_FEW_TEXTS:
            return _vectors(texts)
        # In a thread and by parts, so that whoever else is served meanwhile hardly waits.
        parts = [texts[start : start + BATCH_TEXTS] for start in range(0, len(texts), BATCH_TEXTS)]
        return np.vstack([await asyncio.to_thread(_vectors, part) for part in parts])

    async def close(self) -> None:
        """Nothing to give back."""


def _vectors(texts: Sequence[str]) -> Vector:
    vectors = np.zeros((len(texts), DIMENSIONS), np.float32)
    for row, text in enumerate(texts):
        weights: dict[bytes, float] = {}
        for feature, weight in _features(text[:LONGEST_TEXT]):
            weights[feature] = weights.get(feature, 0.0) + weight
        for feature, weight in weights.items():
            code = zlib.crc32(feature)
            # The sign lets features that fall on the same number cancel out rather than add up.
            vectors[row, code % DIMENSIONS] += math.copysign(math.sqrt(weight), (code >> 16) % 2 - 0.5)
        length = float(np.linalg.norm(vectors[row]))
        if length:
            vectors[row] /= length
        else:  # everything cancelled out, which takes an odd text
            vectors[row, 0] = 1.0
    return vectors


def _features(text: str) -> Iterator[tuple[bytes, float]]:
    plain = unicodedata.normalize("NFKC", text).casefold()
    words = _WORD.findall(plain)
    telling = [word for word in words if word not in _FREQUENT]
    for word in telling or words or [plain.strip()]:
        if word >= _FIRST_WITHOUT_SPACES:
            yield from _pieces(word, PIECES_WITHOUT_SPACES, WORD_WEIGHT / 2)
            continue
        yield _hashable(f"w{word}"), WORD_WEIGHT
        padded = f"<{word}>"
        yield from _pieces(padded, PIECES, 1.0 / len(padded))


def _pieces(word: str, sizes: Sequence[int], weight: float) -> Iterator[tuple[bytes, float]]:
    for size in sizes:
        for start in range(len(word) - size + 1):
            yield _hashable(word[start : start + size]), weight


def _hashable(feature: str) -> bytes:
    return feature.encode("utf-8", "replace")
