"""The language in which the phrases are written, and what it finds."""

from __future__ import annotations

import pytest

from backend.services.crisis.phrase_set import END, START, PhraseSet

CLASSES = {"person": ["he", "my (best)? friend"], "told": ["{person} said"]}


def found(phrase: str, sentence: str, fillers: tuple[str, ...] = ("really",)) -> list[str]:
    words = [START, *sentence.split(), END]
    phrases = PhraseSet({"it": [phrase]}, CLASSES, fillers)
    return [" ".join(words[one.start : one.end]) for one in phrases.find(words)]


@pytest.mark.parametrize(
    ("phrase", "sentence", "finds"),
    [
        ("want to go", "i want to go home", ["want to go"]),
        ("want to go", "i want go to", []),
        ("want to go", "want to want to go", ["want to go"]),
        ("(want|need to) go", "need to go want go need go", ["need to go", "want go"]),
        ("want (to)? go", "want go want to go", ["want go", "want to go"]),
        ("want to? go", "want go want to go", ["want go", "want to go"]),
        ("go (home|(far )? away)", "go far away go away go home", ["go far away", "go away", "go home"]),
        (
            "{person} left",
            "my friend left my best friend left he left she left",
            ["my friend left", "my best friend left", "he left"],
        ),
        ("{told} no", "my best friend said no", ["my best friend said no"]),
        ("i _ go", "i will go i go", ["i will go"]),
        ("i _2 go", "i go", ["i go"]),
        ("i _2 go", "i will then go", ["i will then go"]),
        ("i _2 go", "i will then maybe go", []),
        ("i _2 go", "i will not go", []),
        ("^ go", "go and go", ["go"]),
        ("go $", "go and go", ["go"]),
        ("want to go", "want really to really really go", ["want really to really really go"]),
        ("want to go", "want to go really", ["want to go"]),
        ("want to go", "really want to go", ["want to go"]),
        ("a (b|c) d", "a c d", ["a c d"]),
        ("go (home)?", "go home", ["go", "go home"]),
    ],
)
def test_phrases(phrase: str, sentence: str, finds: list[str]) -> None:
    assert found(phrase, sentence) == finds


def test_phrases_with_the_same_beginning_stay_apart() -> None:
    words = ["a", "c", "e", "b", "c", "d", "a", "d"]
    both = PhraseSet({"one": ["(a|b) c d"], "two": ["a c e"], "three": ["a d"]}, {})
    assert [(one.label, one.start, one.end) for one in both.find(words)] == [
        ("two", 0, 3),
        ("one", 3, 6),
        ("three", 6, 8),
    ]
    assert not list(both.find(["b", "c", "e"]))
    assert not list(both.find(["b", "d"]))


@pytest.mark.parametrize(
    ("phrase", "told"),
    [
        ("(a b", "not closed"),
        ("a) b", "bracket is missing"),
        ("a?", "nothing in it is needed"),
        ("? a", "before a question mark"),
        ("{nobody} left", r"no class \{nobody\}; there are person, told"),
    ],
)
def test_a_mistake_in_a_phrase_is_told(phrase: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        PhraseSet({"it": [phrase]}, CLASSES)


def test_a_found_phrase_knows_what_it_shares() -> None:
    phrases = PhraseSet({"short": ["b c"], "long": ["a b c"], "next": ["c d"]}, {})
    by_label = {one.label: one for one in phrases.find(["a", "b", "c", "d"])}
    short, long, following = (by_label[label] for label in ("short", "long", "next"))
    assert short.within(long)
    assert not long.within(short)
    assert not short.within(short)
    assert ["a", "b", "c", "d"][long.shared(following)] == ["c"]
