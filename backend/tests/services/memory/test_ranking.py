"""The formula: what bears on the question decides; recency and reinforcement weigh what does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.models.memory_settings import MemorySettings
from backend.services.memory.ranking import (
    POOL,
    SHARES,
    UNASKED_RECENCY,
    Candidates,
    Integers,
    Ranking,
    Signs,
    Weighing,
    as_share,
    placed,
    ranked,
    recency,
    reinforcement,
    relevance,
)

ONLY_MEANING = MemorySettings(alpha_recency=0, alpha_semantic=1, alpha_reinforcement=0)


def signs(likeness: list[float], **more: Any) -> Signs:
    count = len(likeness)
    defaults = {
        "likeness": likeness,
        "word_score": [0.0] * count,
        "session": list(range(count)),
        "speaker": [False] * count,
        "span": [False] * count,
        "asking": [0.0] * count,
        "time": [False] * count,
        "person": [False] * count,
    }
    return Signs(**{name: np.array(value) for name, value in (defaults | more).items()})


def rank(relevant: list[float], weighing: Weighing | None = None, **more: Any) -> Ranking:
    count = len(relevant)
    defaults = {
        "relevance": relevant,
        "age_days": [0.0] * count,
        "confirmations": [0.0] * count,
        "speaker": [0] * count,
        "vectors": np.eye(max(count, 1))[:count],
        "eligible": [True] * count,
        "revised_by": [-1] * count,
    }
    candidates = Candidates(**{name: np.array(value) for name, value in (defaults | more).items()})
    return ranked(candidates, weighing or Weighing())


def places(order: Integers) -> list[int]:
    return [int(place) for place in order]


# --- relevance ---


def test_likeness_alone_is_relevance_alone() -> None:
    assert relevance(signs([0.5, 0.2])).tolist() == pytest.approx([0.5, 0.2])


@pytest.mark.parametrize("sign", ["speaker", "span", "time", "person"])
def test_each_sign_speaks_for_a_memory(sign: str) -> None:
    [with_it, without] = relevance(signs([0.3, 0.3], **{sign: [True, False]}))
    assert with_it - without == pytest.approx(getattr(SHARES, sign))


def test_words_count_by_the_best_of_them_and_questions_against() -> None:
    half, all_of_them, none = relevance(signs([0.3] * 3, word_score=[4.0, 8.0, 0.0]))
    assert (half - none, all_of_them - none) == (pytest.approx(SHARES.words / 2), pytest.approx(SHARES.words))
    [asks, tells] = relevance(signs([0.3] * 2, asking=[1.0, 0.0]))
    assert asks < tells


def test_what_was_said_on_the_same_occasion_helps() -> None:
    near, far = relevance(signs([0.1, 0.1, 0.8], session=[0, 1, 0]))[:2]
    assert near > far


@given(st.lists(st.floats(-1, 1), max_size=30))
def test_as_a_share_it_lies_between_none_and_all(likeness: list[float]) -> None:
    shares = as_share(relevance(signs(likeness)))
    assert ((shares >= 0) & (shares <= 1)).all()


# --- the formula ---


def test_the_score_is_the_formula() -> None:
    settings = MemorySettings(alpha_recency=0.5, alpha_semantic=0.3, alpha_reinforcement=0.2, half_life_days=10)
    weighing = Weighing(settings, wants_present=True)
    ranking = rank([0.9, 0.5, 0.1], weighing, age_days=[0.0, 10.0, 20.0], confirmations=[0.0, 2.0, -2.0])
    fresh, confirmed = [1.0, 0.5, 0.25], np.tanh([0.0, 1.0, -1.0])
    assert ranking.recency.tolist() == pytest.approx(fresh)
    assert ranking.reinforcement.tolist() == pytest.approx(confirmed.tolist())
    expected = ranking.semantic * (0.3 + 0.5 * np.array(fresh) + 0.2 * confirmed)
    assert ranking.score.tolist() == pytest.approx(expected.tolist())


def test_recency_counts_fully_only_where_the_present_is_asked_for() -> None:
    ages = [0.0, 1000.0]
    at_rest = rank([0.5, 0.5], age_days=ages).score
    asked = rank([0.5, 0.5], Weighing(wants_present=True), age_days=ages).score
    assert asked[0] - asked[1] == pytest.approx((at_rest[0] - at_rest[1]) / UNASKED_RECENCY)


def test_the_newer_of_two_that_are_as_relevant_comes_first_and_never_the_one_that_is_noise() -> None:
    assert places(rank([0.5, 0.5, 0.12], age_days=[90.0, 1.0, 0.0]).order) == [1, 0, 2]


def test_praise_lifts_and_blame_lowers() -> None:
    assert places(rank([0.5] * 3, confirmations=[-1.0, 0.0, 1.0]).order) == [2, 1, 0]


def test_weights_only_reorder_the_best() -> None:
    relevant = [1 - place / 100 for place in range(POOL + 5)]
    ages = [1000.0] * POOL + [0.0] * 5
    order = places(rank(relevant, Weighing(wants_present=True), age_days=ages).order)
    assert sorted(order[:POOL]) == list(range(POOL))
    assert order[POOL:] == list(range(POOL, POOL + 5))


def test_what_is_not_eligible_has_no_place_and_still_its_parts() -> None:
    ranking = rank([0.9, 0.5, 0.3], eligible=[False, True, True])
    assert places(ranking.order) == [1, 2]
    assert ranking.semantic[0] == 1.0


def test_the_second_of_two_is_not_nothing() -> None:
    [_, second] = rank([0.62, 0.58]).semantic
    assert second > 0.9
    assert rank([]).order.size == 0
    assert rank([0.4]).semantic.tolist() == [1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0, 5000))
def test_scores_stay_in_bounds(relevant: list[float], age: float) -> None:
    ranking = rank(relevant, age_days=[age] * len(relevant))
    assert ((ranking.score >= 0) & (ranking.score <= 1)).all()
    assert sorted(places(ranking.order)) == list(range(len(relevant)))


@given(st.floats(-1e6, 1e6), st.floats(0, 1e5), st.floats(0.1, 3650))
def test_parts_stay_in_bounds(confirmations: float, age: float, half_life: float) -> None:
    assert -1 <= reinforcement(np.array([confirmations]))[0] <= 1
    assert 0 <= recency(np.array([age]), half_life)[0] <= 1
    assert recency(np.array([-age]), half_life)[0] == 1


# --- the newer wins ---

LISBON, PORTO, OTHER = [1.0, 0.0], [0.8, 0.6], [0.0, 1.0]  # likeness of the first two: .8
OF_NOW = Weighing(ONLY_MEANING, wants_state=True)


def test_the_newer_of_two_about_one_thing_wins_where_the_present_is_asked_for() -> None:
    two = {"vectors": [PORTO, LISBON], "age_days": [30.0, 1.0]}
    assert places(rank([0.6, 0.5], Weighing(ONLY_MEANING), **two).order) == [0, 1]
    assert places(rank([0.6, 0.5], OF_NOW, **two).order) == [1, 0]
    assert places(rank([0.6, 0.5], Weighing(ONLY_MEANING, wants_present=True), **two).order) == [1, 0]


@pytest.mark.parametrize(
    "others",
    [
        {"vectors": [OTHER, LISBON], "age_days": [30.0, 1.0]},
        {"vectors": [PORTO, LISBON], "age_days": [30.0, 1.0], "speaker": [0, 1]},
        {"vectors": [PORTO, LISBON], "age_days": [1.01, 1.0]},
    ],
    ids=["another thing", "another person", "the same sitting"],
)
def test_no_newer_one_wins_otherwise(others: dict[str, Any]) -> None:
    assert places(rank([0.6, 0.5], OF_NOW, **others).order) == [0, 1]


def test_what_is_known_to_be_out_of_date_in_part_stands_behind_the_newer_one_where_the_present_is_asked_for() -> None:
    asking_now = Weighing(wants_state=True)
    assert places(rank([0.9, 0.8], asking_now, revised_by=[1, -1]).order) == [1, 0]
    assert places(rank([0.9, 0.8], revised_by=[1, -1]).order) == [0, 1]


def test_a_newer_one_that_hardly_fits_does_not_win() -> None:
    ranking = rank([0.9, 0.15], OF_NOW, vectors=[PORTO, LISBON], age_days=[30.0, 1.0])
    assert places(ranking.order) == [0, 1]


# --- places ---


def shown(of_person: list[bool], k: int, guaranteed: int) -> tuple[list[int], list[int]]:
    inside, outside = placed(np.arange(len(of_person)), np.array(of_person, dtype=bool), k, guaranteed)
    return places(inside), places(outside)


def test_the_person_has_places() -> None:
    assert shown([False, False, False, True, True, True], 3, 2) == ([0, 3, 4], [1, 2, 5])
    assert shown([True, False, False, True], 3, 2) == ([0, 1, 3], [2])
    assert shown([False, False, True], 2, 0) == ([0, 1], [2])
    assert shown([False, True], 6, 3) == ([0, 1], [])
    assert shown([False, False, True, True], 2, 20) == ([2, 3], [0, 1])
    assert shown([False] * POOL + [True], 1, 1)[0] == [0]


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 20), st.integers(0, 20))
def test_nobody_gets_lost_between_places(of_person: list[bool], k: int, guaranteed: int) -> None:
    inside, outside = shown(of_person, k, guaranteed)
    assert sorted(inside + outside) == list(range(len(of_person)))
    assert len(inside) == min(k, len(of_person))
    assert sum(of_person[place] for place in inside) >= min(guaranteed, k, sum(of_person[:POOL]))
    assert inside == sorted(inside)
    assert outside == sorted(outside)
