"""What people type, as the plain words that they mean."""

from __future__ import annotations

import pytest

from backend.services.crisis.crisis_reader import crisis_reader


def sentences(text: str) -> list[str]:
    return [" ".join(words[1:-1]) for words in crisis_reader().folding.sentences(text)]


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("I’m dying", "i am dying"),
        ("dont, DON'T, don`t", "do not do not do not"),
        ("I I I want want it", "i want it"),
        ("i cant do it", "i can not do it"),
        ("wanna gonna", "want to going to"),
        ("I'll go", "i will go"),
        ("my mom's house", "my mother s house"),
        ("s u i c i d e", "suicide"),
        ("i want to d i e", "i want to die"),
        ("k1ll k!ll k*ll", "kill"),
        ("killlll kkiilll", "kill"),
        ("my self over dose", "myself overdose"),
        ("i want 2 die", "i want to die"),
        ("suiside sucide suicde", "suicide"),
        ("skilled overkill painkillers therapist", "skilled over kill painkillers therapist"),
        ("3 pills", "# pills"),
        ("30 pills", "## pills"),
        ("since 2009", "since #year"),
        ("it's 20mg", "it is 20mg"),
        ("yes!no", "yes no"),
        ("a b c", "a b c"),
        ("ＫＩＬＬ ⓚⓘⓛⓛ к𝗂ll", "kill"),
    ],
)
def test_words(typed: str, plain: str) -> None:
    assert sentences(typed) == [plain]


@pytest.mark.parametrize(
    ("typed", "parts"),
    [
        ("I am here. You are there!", ["i am here", "you are there"]),
        ('"I am here." She was there', ["i am here", "she was there"]),
        ("I. Want. It.", ["i want it"]),
        ("I want... to go", ["i want to go"]),
        ("No. I want it", ["no i want it"]),
        ("one line\nand the next", ["one line and the next"]),
        ("at 3.30 or k.i.l.l", ["at # ## or kill"]),
        ("", []),
    ],
)
def test_where_a_sentence_ends(typed: str, parts: list[str]) -> None:
    assert sentences(typed) == parts
