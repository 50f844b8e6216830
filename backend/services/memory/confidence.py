"""How sure an agent may be that what it recalled bears on the question: calibrated on absolute likeness."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from backend.services.memory.ranking import Flags, Floats

ONE_WORD = 1.67
"""BM25 weight of a word that stands once in a short text."""
_BEST = 6
_UNRELATED = 0.3
"""Relevance of the sixth of many that do not bear on a question: what stands for it where there are fewer than six."""
_LARGEST_ASSUMED_GAP = 0.35


@dataclass(frozen=True, slots=True)
class Calibration:
    """A logistic function, and what is too far from the question to be anything but noise.

    `gap` weighs how far the best stands out from the sixth.
    """

    even: float
    likeness: float
    words: float
    gap: float
    least_likeness: float
    least_words: float
    least: float = 0.02


MINILM = Calibration(even=-6.54, likeness=4.97, words=2.21, gap=8.84, least_likeness=0.10, least_words=0.5)
LEXICAL = Calibration(even=-5.62, likeness=3.90, words=2.43, gap=8.70, least_likeness=0.10, least_words=0.5)
_LEXICAL_PREFIX = "lexical"


def calibration_of(embedder: str) -> Calibration:
    """What was measured for the embedder of this name; that of MiniLM for those that were not."""
    return LEXICAL if embedder.startswith(_LEXICAL_PREFIX) else MINILM


def evidence_of_words(word_score: Floats, points: int) -> Floats:
    """BM25 in units of one word that no other of so many points has."""
    return word_score / (ONE_WORD * math.log(1 + max(points, 2)))


def noise(likeness: Floats, words: Floats, calibration: Calibration) -> Flags:
    """Which are like the question neither in meaning nor in words."""
    return (likeness < calibration.least_likeness) & (words < calibration.least_words)


def confidence(relevant: Floats, likeness: Floats, words: Floats, calibration: Calibration) -> float:
    """In [0, 1]: how likely the best six of these hold the answer; 0 when there is none, or hardly a chance.

    `relevant` is their relevance, `likeness` and `words` what of it is meaning and words.
    """
    if not len(relevant):
        return 0.0
    best = np.sort(relevant)[::-1][:_BEST]
    sign = (
        calibration.even
        + calibration.likeness * float(likeness.max())
        + calibration.words * float(words.max())
        + calibration.gap * _gap(best)
    )
    sure = 1 / (1 + math.exp(-sign))
    return sure if sure >= calibration.least else 0.0


def _gap(best: Floats) -> float:
    if len(best) == _BEST:
        return float(best[0] - best[-1])
    return min(max(float(best[0]) - _UNRELATED, 0.0), _LARGEST_ASSUMED_GAP)
