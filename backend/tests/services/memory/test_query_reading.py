"""What a question says about where its answer lies."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from backend.services.memory.query_reading import QueryReading, read_query, without_names

NOW = datetime(2026, 11, 18, 15, 30, tzinfo=UTC)


def read(question: str, *speakers: str) -> QueryReading:
    return read_query(question, speakers, NOW)


@pytest.mark.parametrize(
    ("question", "topic"),
    [
        ("What did Maria paint?", "What did paint?"),
        ("What is Maria's favourite colour?", "What is favourite colour?"),
        ("What did Maria Lopez tell Tom?", "What did tell ?"),
        ("Marianne's house", "Marianne's house"),
        ("Maria?", "Maria?"),
        ("", ""),
    ],
)
def test_names_are_not_what_is_looked_for(question: str, topic: str) -> None:
    assert without_names(question, ["Maria Lopez", "Tom"]) == topic


def test_a_name_that_is_a_word_is_a_name_only_when_it_is_written_like_one() -> None:
    assert without_names("Will Will win?", ["Will"]) == "win?"
    assert without_names("What will Ana win?", ["Will"]) == "What will Ana win?"
    assert without_names("what does maria paint", ["Maria"]) == "what does paint"


def test_signs_in_names_are_only_signs() -> None:
    assert without_names("Who is (.*)?", ["(.*)", "[a-z]+"]) == "Who is (.*)?"


def test_one_named_person_is_whom_it_is_about() -> None:
    assert read("What did Maria paint?", "Maria Lopez", "Tom").speaker == "Maria Lopez"
    assert read("What did Maria give Tom?", "Maria Lopez", "Tom").speaker == ""
    assert read("What did Ida paint?", "Maria Lopez", "Tom").speaker == ""


@pytest.mark.parametrize(
    ("question", "present", "state"),
    [
        ("Where do I live now?", True, True),
        ("Do I still work there?", True, True),
        ("Where do I live?", False, True),
        ("What's my phone number?", False, True),
        ("Where did I live?", False, False),
        ("What is the first place I lived in?", False, False),
        ("Where am I in May 2024?", False, False),
        ("I know it", False, False),
    ],
)
def test_the_present_is_asked_for_or_not(question: str, present: bool, state: bool) -> None:
    reading = read(question)
    assert (reading.wants_present, reading.wants_state) == (present, state)


@pytest.mark.parametrize(
    ("question", "wants"),
    [
        ("When did I move?", True),
        ("On which day do we meet?", True),
        ("How many weeks was I away?", True),
        ("Tell me when it rains", False),
        ("What did I buy?", False),
    ],
)
def test_a_time_is_asked_for_or_not(question: str, wants: bool) -> None:
    assert read(question).wants_time is wants


@pytest.mark.parametrize(
    ("question", "whole"),
    [
        ("What do you know about me?", True),
        ("Do you remember me?", True),
        ("Tell me everything about me.", True),
        ("What have you learned about me so far?", True),
        ("Who am I?", True),
        ("Do you remember my dog?", False),
        ("Tell me about the sea.", False),
        ("Do you know a good book? It would please me.", False),
    ],
)
def test_everything_of_a_person_is_asked_for_or_not(question: str, whole: bool) -> None:
    assert read(question).of_person is whole
