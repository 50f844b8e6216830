"""New knowledge takes the place of old, and of nothing else."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from backend.services.memory.updates import Statement, probes, supersedes

CASES: dict[str, Any] = json.loads(
    (Path(__file__).parents[4] / "benchmarks" / "data" / "knowledge_updates.json").read_text("utf-8")
)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
ALIKE = 0.6


def said(text: str, days: float = 0, speaker: str = "") -> Statement:
    return Statement(text, speaker, NOW + timedelta(days=days))


def closes(old: str, new: str, *, days: float = 1, speaker: str = "", likeness: float = ALIKE) -> bool:
    return supersedes(said(new, days, speaker), said(old, 0, speaker), likeness)


@pytest.mark.parametrize("split", ["tuned", "held_out"])
def test_nearly_every_update_of_the_set_closes_what_was(split: str) -> None:
    cases = [case for case in CASES["updates"] if case["split"] == split]
    missed = [
        (case["old"], case["new"])
        for case in cases
        if not closes(case["old"], case["new"], days=case["days"], speaker=case["speaker"])
    ]
    assert len(missed) <= 0.05 * len(cases), missed


def test_no_pair_of_the_set_that_goes_together_is_torn_apart() -> None:
    torn = [case for case in CASES["both_stay"] if closes(case["first"], case["second"], speaker=case["speaker"])]
    assert torn == []


def test_an_update_closes_nothing_but_what_it_is_about() -> None:
    torn = [
        (other, case["new"])
        for case in CASES["updates"]
        for other in [*case["near"], *CASES["unrelated"]]
        if closes(other, case["new"], speaker=case["speaker"])
    ]
    assert torn == []


def test_updates_of_different_cases_leave_each_other_alone_unless_they_are_of_one_attribute() -> None:
    about_the_same = {("h-name", "name-change"), ("h-car", "car")}
    texts = {case["id"]: case["new"] for case in CASES["updates"] if not case["speaker"]}
    groups = {name: name.removeprefix("h-").split("-")[0] for name in texts}
    torn = [
        (first, second)
        for first, second in permutations(texts, 2)
        if groups[first] != groups[second] and closes(texts[first], texts[second], likeness=0.3)
    ]
    unexpected = [pair for pair in torn if pair not in about_the_same and not _same_topic(*pair)]
    assert unexpected == []


def _same_topic(first: str, second: str) -> bool:
    """Cases whose attribute is the same under two names: an employer, a diet, a wedding."""
    topics = (
        "employer occupation",
        "marital plan",
        "name nickname call",
        "switch habit",
        "diet allergy",
        "piano major",
    )
    return any(
        all(any(word in one.split("-") for word in topic.split()) for one in (first, second)) for topic in topics
    )


def test_what_is_older_closes_nothing() -> None:
    assert closes("I live in Porto.", "I moved to Lisbon.", days=0)
    assert not closes("I live in Porto.", "I moved to Lisbon.", days=-1)


def test_nobody_closes_what_somebody_else_said() -> None:
    assert not supersedes(said("I moved to Lisbon.", 1, "Jon"), said("I live in Porto.", 0, "Gina"), ALIKE)
    assert supersedes(said("I moved to Lisbon.", 1, "Jon"), said("Jon lives in Porto.", 0, "Gina"), ALIKE)


def test_a_memory_that_says_more_than_what_changed_stays() -> None:
    assert not closes("I live in Porto and my dog is called Rex.", "I moved to Lisbon.")
    assert not closes("I live in Porto. My sister comes by on Sundays.", "I moved to Lisbon.")
    assert closes("I live in Porto. Nice!", "I moved to Lisbon.")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("I live in Porto.", "We might move to Lisbon."),
        ("I live in Porto.", "My company moved to Lisbon."),
        ("I live in Porto.", "He moved to Lisbon."),
        ("I live in Porto.", "Can you imagine that I moved to Lisbon?"),
        ("I work at Acme.", "I never worked at Globex."),
        ("My favourite colour is green.", "My daughter's favourite colour is red."),
        ("I have a dog called Rex.", "I have two dogs."),
        ("I like tea.", "I don't like coffee any more."),
        ("I am allergic to nuts.", "I am not allergic to milk."),
        ("I play tennis.", "I play golf, too, now."),
        ("I bought a house in Porto.", "I sold my car."),
    ],
)
def test_what_only_sounds_like_a_change_closes_nothing(old: str, new: str) -> None:
    assert not closes(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("i live in porto", "i moved to lisbon"),
        ("I’m living in Porto", "I’ve moved to Lisbon!"),
        ("I am 34 years old.", "Hi! I turned 35 yesterday, and it was fun."),
        ("My wife works at Acme.", "My wife works at Globex now."),
        ("Élise lives in Lyon.", "Élise moved to Paris."),
        ("I am allergic to nuts.", "I am not allergic to nuts."),
        ("My password is bluefish.", "I changed my password."),
    ],
)
def test_spelling_and_company_do_not_matter(old: str, new: str) -> None:
    assert closes(old, new)


def test_probes_lead_to_where_the_old_is_likely_found() -> None:
    assert probes(said("I moved to Lisbon.")) == ["I live in"]
    assert probes(said("I no longer work at Acme.")) == ["I work at acme"]
    assert probes(said("The weather is nice today.")) == []


@pytest.mark.parametrize("piece", ["i ", "my a ", "my sister's ", "A b ", "please ", ", ", "i moved to ", "not "])
def test_hostile_lengths_are_read_quickly(piece: str) -> None:
    hostile = said(piece * (100_000 // len(piece)))
    began = time.perf_counter()
    probes(hostile)
    supersedes(hostile, said("I live in Porto."), ALIKE)
    assert time.perf_counter() - began < 0.5
