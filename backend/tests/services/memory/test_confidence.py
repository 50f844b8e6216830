"""An agent that knows nothing must not look sure."""

from __future__ import annotations

import numpy as np
import pytest

from backend.services.memory.confidence import LEXICAL, MINILM, calibration_of, confidence, evidence_of_words, noise


def sure(relevance: list[float], likeness: list[float], words: list[float]) -> float:
    return confidence(np.array(relevance), np.array(likeness), np.array(words), MINILM)


def test_nothing_makes_nobody_sure() -> None:
    assert sure([], [], []) == 0
    assert sure([0.05], [0.05], [0.0]) == 0


def test_what_fits_makes_surer_than_what_does_not() -> None:
    fits = sure([0.9, 0.4, 0.3], [0.75, 0.3, 0.2], [0.9, 0.0, 0.0])
    fits_somewhat = sure([0.5, 0.4, 0.3], [0.45, 0.3, 0.2], [0.4, 0.0, 0.0])
    hardly = sure([0.35, 0.3, 0.25], [0.35, 0.2, 0.2], [0.3, 0.1, 0.0])
    assert 1 > fits > 0.9 > fits_somewhat > hardly > 0
    assert hardly < 0.1


def test_the_best_must_stand_out_from_the_sixth() -> None:
    assert sure([0.6] * 6, [0.5] * 6, [0.3] * 6) < sure([0.6] + [0.3] * 5, [0.5] * 6, [0.3] * 6)
    assert sure([0.6] * 6, [0.5] * 6, [0.3] * 6) == sure([0.6] * 6 + [0.0], [0.5] * 7, [0.3] * 7)


def test_the_only_memory_that_fits_makes_sure_and_one_that_does_not_makes_nobody_sure() -> None:
    assert sure([0.83], [0.63], [0.5]) > 0.6
    assert sure([0.29], [0.29], [0.0]) == 0


def test_a_word_says_more_in_a_larger_index() -> None:
    [small], [large] = evidence_of_words(np.array([4.0]), 10), evidence_of_words(np.array([4.0]), 100_000)
    assert small > large > 0
    assert np.isfinite(evidence_of_words(np.array([4.0]), 0)).all()


def test_noise_is_alike_neither_in_meaning_nor_in_words() -> None:
    assert noise(np.array([0.05, 0.05, 0.2]), np.array([0.0, 0.9, 0.0]), MINILM).tolist() == [True, False, False]


@pytest.mark.parametrize(("name", "calibration"), [("lexical-512", LEXICAL), ("minilm-l6-v2", MINILM), ("x", MINILM)])
def test_each_embedder_has_the_calibration_that_was_measured(name: str, calibration: object) -> None:
    assert calibration_of(name) is calibration
