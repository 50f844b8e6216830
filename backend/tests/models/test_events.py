"""A run's stream: from any place on, no gap and no repeat."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import Invalid
from backend.models.events import TERMINAL, Mark, Place, ServerEvent, events_after

KINDS = ("run.started", "memory.recalled", "tool.call", "tool.result")


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[Mark], str]:
    """Marks in order over a text, ended or not."""
    text = draw(st.text("abcé 你", max_size=30))
    offsets = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    marks = [Mark(draw(st.sampled_from(KINDS)), offset, {"n": at}) for at, offset in enumerate(offsets)]
    if draw(st.booleans()):
        marks.append(Mark(draw(st.sampled_from(sorted(TERMINAL))), len(text), {"end": True}))
    return marks, text


def flat(events: list[ServerEvent]) -> list[tuple[str, Any]]:
    """What was told, letter by letter, so that the pieces do not matter."""
    told: list[tuple[str, Any]] = []
    for event in events:
        if event.type == "message.delta":
            told.extend(("letter", letter) for letter in event.data["text"])
        else:
            told.append((event.type, event.data))
    return told


@given(runs())
def test_from_the_beginning_everything_is_told_once(run: tuple[list[Mark], str]) -> None:
    marks, text = run
    told = list(events_after(Place(), marks, text))
    assert "".join(one.data["text"] for one in told if one.type == "message.delta") == text
    assert [one.type for one in told if one.type != "message.delta"] == [mark.type for mark in marks]
    assert all(one.data["text"] for one in told if one.type == "message.delta")
    assert len({one.id for one in told}) == len(told)
    for one in told:
        if one.type == "message.completed":
            assert one.data == {"end": True, "response": text}


@given(runs())
def test_from_any_event_on_the_rest_is_told(run: tuple[list[Mark], str]) -> None:
    marks, text = run
    told = list(events_after(Place(), marks, text))
    for at, event in enumerate(told):
        rest = list(events_after(Place.parse(event.id), marks, text))
        # Whoever has the end is told the end again, so that a client which asks once more stops asking.
        assert rest == (told[at + 1 :] or ([event] if event.type in TERMINAL else []))


@given(runs(), st.data())
def test_from_the_middle_of_a_piece_the_rest_of_it_is_told(run: tuple[list[Mark], str], data: st.DataObject) -> None:
    marks, text = run
    told = flat(list(events_after(Place(), marks, text)))
    at = data.draw(st.integers(0, len(marks)))
    low = marks[at - 1].offset if at else 0
    high = marks[at].offset if at < len(marks) else len(text)
    place = Place(at, data.draw(st.integers(low, high)))
    rest = flat(list(events_after(place, marks, text)))
    if at and at == len(marks) and marks[-1].type in TERMINAL:
        assert rest == told[-1:]
    else:
        assert rest == told[place.marks + place.offset :]


@given(runs(), st.integers(0, 50), st.integers(0, 200))
def test_a_place_that_never_was_repeats_nothing_before_it(
    run: tuple[list[Mark], str], marks_before: int, offset: int
) -> None:
    marks, text = run
    ended = bool(marks) and marks[-1].type in TERMINAL
    told = list(events_after(Place(marks_before, offset), marks, text))
    assert len("".join(one.data["text"] for one in told if one.type == "message.delta")) == max(0, len(text) - offset)
    assert (bool(told) and told[-1].type in TERMINAL) == ended


@given(st.integers(0, 999_999_999), st.integers(0, 999_999_999))
def test_an_id_names_its_place(marks: int, offset: int) -> None:
    assert Place.parse(Place(marks, offset).id) == Place(marks, offset)


@pytest.mark.parametrize(
    "text", ["", "1", "1-", "-1", "1-2-3", "a-b", "1 -2", "1-2\n", "٣-٤", "-1-2", "1234567890-1", "0x1-2"]
)
def test_other_ids_are_refused(text: str) -> None:
    with pytest.raises(Invalid, match="not an id of this stream"):
        Place.parse(text)
