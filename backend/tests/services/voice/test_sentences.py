"""An answer falls into sentences while it is written, the same ones however it comes."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.services.voice.sentences import LONGEST_FIRST, LONGEST_WORD, Sentence, Sentences

PIECES = st.sampled_from(
    [
        " ", "  ", "\n", "\n\n", ".", "!", "?", "…", "...", '"', "”", ")", "»", "*", ",", ";", ":", "—", "。", "！",
        "Dr.", "e.g.", "3.5", "$29.50", "J.", "hello", "World", "a", "I", "好的", "- ", "1. ", "🙂", "x" * 130,
        "word " * 40, "one, two " * 12,
    ]
)  # fmt: skip
ANSWERS = st.lists(PIECES | st.text(max_size=8), max_size=60).map("".join)


def sentences(*pieces: str) -> list[Sentence]:
    found = Sentences()
    whole = [one for piece in pieces for one in found.push(piece)]
    return whole + found.rest()


def texts(*pieces: str) -> list[str]:
    return [one.text for one in sentences(*pieces)]


@given(answer=ANSWERS, cuts=st.lists(st.integers(0, 600), max_size=8))
def test_however_an_answer_comes_its_sentences_are_the_same(answer: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(one, len(answer)) for one in cuts), len(answer)]
    whole = sentences(answer)
    assert sentences(*(answer[begin:end] for begin, end in pairwise(places))) == whole
    assert sentences(*answer) == whole


@given(answer=ANSWERS)
def test_every_word_is_in_one_sentence(answer: str) -> None:
    found = sentences(answer)
    assert "".join("".join(one.text.split()) for one in found) == "".join(answer.split())
    assert all(one.text == answer[one.begin : one.end] == one.text.strip() != "" for one in found)
    assert all(one.end <= other.begin for one, other in pairwise(found))
    assert all(len(one.text) <= LONGEST_WORD for one in found)


@given(answer=ANSWERS)
def test_a_sentence_comes_as_soon_as_it_is_known(answer: str) -> None:
    found = Sentences()
    seen: list[Sentence] = []
    for number, char in enumerate(answer):
        for one in found.push(char):
            assert one.end <= number
            seen.append(one)
        assert Sentences().push(answer[: number + 1]) == seen


def test_a_sentence_is_whole_when_the_next_one_begins() -> None:
    found = Sentences()
    assert found.push("Good to meet you.") == []
    assert found.push(" ") == []
    assert found.push("H") == [Sentence(0, 17, "Good to meet you.")]
    assert found.push("ow are you? ") == []
    assert found.rest() == [Sentence(18, 30, "How are you?")]
    assert found.rest() == []


@pytest.mark.parametrize(
    "one",
    [
        "It costs $29.50 a month.",
        "About 3.5 hours, or 1,000 minutes.",
        "Something light, e.g. a walk, i.e. no running.",
        "Ask Dr. Miller or Mrs. Jones, who live in St. Ives.",
        "At 8 a.m. or 10 p.m. sharp.",
        "It was J. R. Miller who wrote it.",
        "In the U.S. Army.",
        "See example.com for it.",
        '"Well..."',
        "He said (quietly) nothing.”",
        "1. Breathe in.",
        "« Bonjour ! »",
    ],
)
def test_one_sentence_stays_one(one: str) -> None:
    assert texts(one + " Then") == [one, "Then"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Yes! No? Maybe… Well", ["Yes!", "No?", "Maybe…", "Well"]),
        ('She said "Stop." Then (so.) he did.', ['She said "Stop."', "Then (so.)", "he did."]),
        ("**Done.** Next", ["**Done.**", "Next"]),
        ("Really?! Oh", ["Really?!", "Oh"]),
        ("Bonjour ! Ça va ?", ["Bonjour !", "Ça va ?"]),
        ("First\nsecond\r\n\r\nthird", ["First", "second", "third"]),
        ("Two things:\n- one\n- two\n1. three", ["Two things:", "- one", "- two", "1. three"]),
        ("你好。今天怎么样？「很好！」是的", ["你好。", "今天怎么样？", "「很好！」", "是的"]),
        ("नमस्ते। कैसे", ["नमस्ते।", "कैसे"]),
        ("Great! 🙂 Go on", ["Great!", "🙂 Go on"]),
        ("... and?! then", ["... and?!", "then"]),
        ("  \n ", []),
        ("", []),
    ],
)
def test_sentences(answer: str, expected: list[str]) -> None:
    assert texts(answer) == expected


def test_the_first_words_of_a_long_sentence_go_out_early() -> None:
    long = "If you would like to sleep better, there are a few things that we can try together in the next days, " * 2
    found = Sentences()
    (first,) = found.push(long[: LONGEST_FIRST + 2])
    assert first.text == "If you would like to sleep better,"
    assert found.push(long[LONGEST_FIRST + 2 :]) == []


def test_a_short_clause_does_not_go_out_alone() -> None:
    long = "Well, " + "this goes on and on " * 5 + "until here, and further"
    assert texts(long) == [long[: long.index(" and further")], "and further"]


def test_what_does_not_end_is_cut_where_a_voice_can_pause() -> None:
    clauses = texts("Begin. " + "some words without an end, " * 30)
    assert all(one.endswith("end,") and len(one) <= 250 for one in clauses[1:])
    words = texts("word " * 200)
    assert all(one.startswith("word") and one.endswith("word") and len(one) <= 250 for one in words)
    assert [len(one) for one in texts("x" * 1000)] == [LONGEST_WORD, LONGEST_WORD, 200]


@pytest.mark.parametrize(
    "piece", ["x", " ", "a ", "\n", ".", "word, ", "Dr. ", "。", "A sentence. ", '."', "x" * 249 + " "]
)
def test_long_answers_take_their_time_and_no_more(piece: str) -> None:
    answer = piece * (200_000 // len(piece))
    begun = time.thread_time()
    texts(answer)
    assert time.thread_time() - begun < 3
