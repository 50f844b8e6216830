"""Sentences and silences of a part, in the order in which they are heard."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backend.models.session import Pause, SpokenPart
from backend.services.spoken_segments import MOST_AT_ONCE, Silence, Utterance, segments, utterances


def part(text: str, *pauses: tuple[int, float]) -> SpokenPart:
    return SpokenPart(name="one", text=text, pauses=[Pause(offset=at, seconds=long) for at, long in pauses])


def test_silences_stand_where_the_pauses_are() -> None:
    found = segments(part("Breathe in. And out. Sleep.", (21, 2), (11, 4), (27, 1)))
    shown = [one.text if isinstance(one, Utterance) else one.seconds for one in found]
    assert shown == ["Breathe in.", 4, "And out.", 2, "Sleep.", 1]


def test_a_pause_at_the_beginning_and_one_behind_the_end() -> None:
    assert segments(part("One.", (0, 3), (400, 2))) == [Silence(3), Utterance("One."), Silence(2)]


def test_what_stands_around_goes_along() -> None:
    found = segments(part("Breathe in. And out.", (11, 4)))
    assert found[0] == Utterance("Breathe in.", "", " And out.")
    assert found[2] == Utterance("And out.", "Breathe in.", "")


def test_long_texts_are_cut_between_sentences() -> None:
    text = " ".join(f"This is the sentence of number {number}." for number in range(100))
    found = [one.text for one in utterances(text) if isinstance(one, Utterance)]
    assert len(found) > 3
    assert all(one.endswith(".") and len(one) <= MOST_AT_ONCE for one in found)
    assert " ".join(found) == text


def test_words_without_an_end_are_cut_between_words_and_one_endless_word_anywhere() -> None:
    text = "word " * 500
    found = [one.text for one in utterances(text) if isinstance(one, Utterance)]
    assert set(" ".join(found).split()) == {"word"}
    assert all(len(one) <= MOST_AT_ONCE for one in found)
    endless = [one.text for one in utterances("x" * 2000) if isinstance(one, Utterance)]
    assert "".join(endless) == "x" * 2000


@given(
    st.text(alphabet="ab.!? \n", max_size=3000),
    st.lists(st.tuples(st.integers(0, 3100), st.floats(0.1, 60)), max_size=8),
)
def test_no_word_and_no_silence_is_lost(text: str, pauses: list[tuple[int, float]]) -> None:
    found = segments(part(text, *pauses))
    words = "".join(one.text for one in found if isinstance(one, Utterance))
    assert "".join(words.split()) == "".join(text.split())
    assert sorted(one.seconds for one in found if isinstance(one, Silence)) == sorted(long for _, long in pauses)
    assert all(len(one.text) <= MOST_AT_ONCE for one in found if isinstance(one, Utterance))
