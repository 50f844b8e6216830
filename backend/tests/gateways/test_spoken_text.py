"""What espeak-ng is given to read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.gateways.spoken_text import LONGEST_PIECE, spoken_pieces, spoken_text


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Breathe in.", "Breathe in."),
        ("  Breathe \t in. ", "Breathe in."),
        ("\x01300SBreathe\x00 in.\x7f", "300SBreathe in."),
        ("A title\r\n\r\n\r\nThe text\nof it", "A title\n\nThe text\nof it"),
        ('<break time="3s"/> & so on', '<break time="3s"/> & so on'),
        ("\ud83d\ude00", "😀"),
        ("\ud83d", ""),
        ("\ue000\U000f0000\uffff", ""),
        ("नमस्ते क\u200dष 👨\u200d👩\u200d👧", "नमस्ते क\u200dष 👨\u200d👩\u200d👧"),
        ("\n \n\t", ""),
        ("", ""),
    ],
)
def test_commands_and_what_is_no_text_are_left_out(text: str, spoken: str) -> None:
    assert spoken_text(text) == spoken


def test_a_short_text_is_one_piece() -> None:
    text = "Dr. Grey pays $29.50. So do you! Do I?"
    assert list(spoken_pieces(text)) == [text]
    assert not list(spoken_pieces(""))


def test_a_long_text_is_cut_after_sentences() -> None:
    sentence = "It costs $29.50, says somebody who knows."
    pieces = list(spoken_pieces(" ".join([sentence] * 100)))
    assert all(piece.strip().endswith("knows.") for piece in pieces)
    assert 10 < len(pieces) < 20


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("那是一个很长的句子。" * 100, "。"),
        ("这是一个很长的句子，" * 100, "，"),
        ("and so on, " * 100, ","),
        ("and then " * 100, "n"),
        ("He said “stop.” " * 100, "”"),
    ],
)
def test_it_is_cut_where_a_voice_may_pause(text: str, end: str) -> None:
    assert {piece.strip()[-1] for piece in list(spoken_pieces(text))[:-1]} == {end}


@given(st.text(st.sampled_from("ab .,!?。，\n”1"), max_size=2000))
def test_pieces_are_short_and_together_the_text(text: str) -> None:
    pieces = list(spoken_pieces(text))
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= LONGEST_PIECE for piece in pieces)
