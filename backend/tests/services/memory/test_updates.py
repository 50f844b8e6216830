"""New knowledge takes the place of old, and of nothing else."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
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


@pytest.mark.parametrize(("split", "most"), [("tuned", 0.0), ("held_out", 0.05), ("other_hand", 0.25), ("fresh", 0.4)])
def test_updates_of_the_set_close_what_was(split: str, most: float) -> None:
    cases = [case for case in CASES["updates"] if case["split"] == split]
    missed = [
        (case["old"], case["new"])
        for case in cases
        if not closes(case["old"], case["new"], days=case["days"], speaker=case["speaker"])
    ]
    assert len(missed) <= most * len(cases), missed


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
        ("My sister is a nurse.", "My sister moved to Vienna."),
        ("My manager is Helen.", "My manager is ill now."),
        ("My car is a Volvo.", "My car is at the garage now."),
        ("My office phone number is 555 0100.", "My phone number has changed."),
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
    began = time.thread_time()
    probes(hostile)
    supersedes(hostile, said("I live in Porto."), ALIKE)
    assert time.thread_time() - began < 0.5
