"""Pauses: marks of any spelling become silences, and never words."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backend.graphs.pauses import LONGEST_PAUSE, SpeechFilter, Spoken, take_pauses


def pauses(text: str) -> list[tuple[int, float]]:
    return [(pause.offset, pause.seconds) for pause in take_pauses(text).pauses]


def streamed(pieces: list[str]) -> Spoken:
    speech = SpeechFilter()
    said = "".join([speech.push(piece) for piece in pieces]) + speech.rest()
    return Spoken(said, speech.pauses)


@pytest.mark.parametrize(
    ("mark", "seconds"),
    [
        ("[pause 4]", 4),
        ("[pause 4s]", 4),
        ("[Pause 4 s]", 4),
        ("[PAUSE: 2.5 seconds]", 2.5),
        ("[pause 2,5 sec.]", 2.5),
        ("[pause=3]", 3),
        ("[pause_5]", 5),
        ("[pause - 5 seconds]", 5),
        ("[4-second pause]", 4),
        ("[a pause of ten seconds]", 10),
        ("[pause for a few seconds]", 3),
        ("[half a second pause]", 0.5),
        ("[pause 500 ms]", 0.5),
        ("[pause 1 minute]", 60),
        ("[10 seconds]", 10),
        ("[5s]", 5),
        ("[pause]", 3),
        ("[long pause]", 6),
        ("[Short pause.]", 1.5),
        ("[brief pause, 2 seconds]", 2),
        ("[*pause 4*]", 4),
        ("[silence, 8 seconds]", 8),
        ("[pause while they breathe out]", 3),
        ("[pause 3-5 s]", 3),
        ("[[pause 4]]", 4),
        ("[pause 600]", 60),
        ("(pause)", 3),
        ("(long pause)", 6),
        ("(pause for 5 seconds)", 5),
        ("(5 second pause)", 5),
        ("[ pause 4 ]", 4),
    ],
)
def test_a_mark_becomes_a_silence_where_it_stood(mark: str, seconds: float) -> None:
    assert take_pauses(f"Breathe in. {mark} And out.").text == "Breathe in. And out."
    assert pauses(f"Breathe in. {mark} And out.") == [(11, seconds)]
    assert pauses(f"Breathe in.{mark}And out.") == [(11, seconds)]
    assert pauses(mark) == [(0, seconds)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Now [softly] rest.", "Now rest."),
        ("[Note: slowly]One.", "One."),
        ("One [1] two", "One two"),
        ("Rest [pause 0] now", "Rest now"),
        ("Rest (as you wish) now", "Rest (as you wish) now"),
        ("Rest (pause whenever you like) now", "Rest (pause whenever you like) now"),
        ("a ] b", "a b"),
        ("[]One", "One"),
        ("", ""),
        (" \n ", ""),
        ("[note [aside] more] text", "more text"),
    ],
)
def test_other_brackets_are_no_speech_and_no_silence(text: str, said: str) -> None:
    assert take_pauses(text) == Spoken(said, ())


@pytest.mark.parametrize(
    ("text", "said", "silences"),
    [
        ("One.\n\n[pause 2]\n\nTwo.", "One.\n\nTwo.", [(4, 2)]),
        ("One.\n[pause 2]\nTwo.", "One.\n\nTwo.", [(4, 2)]),
        ("One. [pause 2]\nTwo.", "One.\nTwo.", [(4, 2)]),
        ("In [pause 2], out", "In, out", [(2, 2)]),
        ("In... [pause 2] ...out", "In... ...out", [(5, 2)]),
        ("One [pause 2] [pause 3] two", "One two", [(3, 5)]),
        ("One [pause 50] [pause 50] two", "One two", [(3, 60)]),
        ("  [pause 1] One", "One", [(0, 1)]),
        ("One [pause 1]  ", "One", [(3, 1)]),
        ("One [pause 4\nTwo", "One\nTwo", [(3, 4)]),
        ("One [pause 4", "One", [(3, 4)]),
        ("One [pau", "One", []),
        ("One (pau", "One", []),
        ("One (pause)", "One", [(3, 3)]),
        ("One (and", "One (and", []),
        ("One [open\nTwo", "One open\nTwo", []),
        ("(a (pause) b)", "(a b)", [(2, 3)]),
        ("(soft [pause 2] and low)", "(soft and low)", [(5, 2)]),
    ],
)
def test_space_is_left_once_and_half_marks_are_not_read_out(
    text: str, said: str, silences: list[tuple[int, float]]
) -> None:
    assert take_pauses(text).text == said
    assert pauses(text) == silences


def test_what_never_closes_is_speech_after_a_while() -> None:
    told = "and so it goes on " * 20
    assert take_pauses(f"[{told}").text.startswith("and so it goes on and so")


SCRIPT = "Rest.[pause 2]\n\nBreathe (pause) in [long pause], and out [softly] (now).[[pause 1.5 s]] [pau"


@pytest.mark.parametrize("cut", range(len(SCRIPT) + 1))
def test_a_stream_says_the_same_wherever_it_is_cut(cut: int) -> None:
    whole = take_pauses(SCRIPT)
    assert whole.text == "Rest.\n\nBreathe in, and out (now)."
    assert streamed([SCRIPT[:cut], SCRIPT[cut:]]) == whole
    assert streamed([SCRIPT[:cut], "", *SCRIPT[cut:]]) == whole


def test_what_is_certain_is_said_at_once() -> None:
    speech = SpeechFilter()
    assert speech.push("Breathe in.") == "Breathe in."
    assert speech.push(" [pau") == ""
    assert speech.push("se 4]") == ""
    assert speech.push(" And") == " And"
    assert speech.rest() == ""


PIECES = st.lists(
    st.sampled_from(["[pause 4]", "[", "]", "(", ")", "pause", " ", "\n", "4", "s", "breathe", ".", ",", "ä", "[x]"]),
    max_size=25,
)  # fmt: skip


@given(PIECES)
@example(["[", "[", "pause 4]"])
@example(["(", "]", "4", ")"])
@example(["(", "pause", "[pause 4]", ")"])
def test_whatever_is_written_no_square_bracket_is_spoken(pieces: list[str]) -> None:
    text = "".join(pieces)
    spoken = streamed(pieces)
    assert spoken == take_pauses(text) == streamed([*text])
    assert not set("[]") & set(spoken.text)
    assert spoken.text == spoken.text.strip()
    assert not re.search(r"\n\n\n| \n|\n |  ", spoken.text)
    assert [pause.offset for pause in spoken.pauses] == sorted({pause.offset for pause in spoken.pauses})
    assert all(0 <= pause.offset <= len(spoken.text) and pause.seconds <= LONGEST_PAUSE for pause in spoken.pauses)


@given(st.text(st.characters(exclude_characters="[]()"), max_size=80))
def test_a_text_without_marks_loses_nothing_but_space(text: str) -> None:
    assert take_pauses(text).text.split() == text.split()
