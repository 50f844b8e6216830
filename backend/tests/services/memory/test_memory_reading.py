"""What the wording of a memory says about its worth."""

from __future__ import annotations

import pytest

from backend.services.memory.memory_reading import asking_share, plain, tells_of_speaker, tells_time


@pytest.mark.parametrize(
    ("text", "share"),
    [("I moved.", 0.0), ("Where do you live?", 1.0), ("I moved. And you?", 0.5), ("", 0.0), ("?", 1.0), (" \n ", 0.0)],
)
def test_how_much_of_it_asks(text: str, share: float) -> None:
    assert asking_share(text) == share


@pytest.mark.parametrize("text", ["I moved last week", "We met in May", "It was two days ago", "Born in 1987"])
def test_it_tells_a_time(text: str) -> None:
    assert tells_time(text)


@pytest.mark.parametrize("text", ["I moved", "The last straw", "He has 12 cats", ""])
def test_it_tells_none(text: str) -> None:
    assert not tells_time(text)


def test_who_speaks_of_themselves_or_not() -> None:
    assert tells_of_speaker("My dog is called Rex")
    assert tells_of_speaker("It is good for us.")
    assert not tells_of_speaker("About ten minutes")
    assert not tells_of_speaker("The mystic river")


def test_plain_words_are_the_same_whatever_their_signs() -> None:
    assert plain("My dog's called “Rex”!") == plain(" my DOG s called Rex ") == " my dog s called rex "
    assert plain("tea") not in plain("I teach")
