"""Words become turns, and sounds of listening do not."""

from __future__ import annotations

import pytest

from backend.ports import SpeechBegan, SpeechEnded, WordsHeard
from backend.services.voice.turn_taking import Nothing, Said, Sound, TurnTaking, Understood, only_listens


def _talking() -> TurnTaking:
    return TurnTaking(push_to_talk=False)


def test_final_pieces_are_gathered_until_the_person_stops() -> None:
    taking = _talking()

    assert taking.hear(SpeechBegan(0.1)) == [Sound()]
    assert taking.hear(WordsHeard("i would", final=False, ends_turn=False, seconds=0.6)) == [Understood("i would")]
    assert taking.hear(WordsHeard("I would  like", final=True, ends_turn=False, seconds=1.0)) == [
        Understood("I would like")
    ]
    assert taking.hear(WordsHeard("to sleep", final=False, ends_turn=False, seconds=1.5)) == [
        Understood("I would like to sleep")
    ]
    assert taking.hear(WordsHeard("to sleep.", final=True, ends_turn=True, seconds=1.8)) == [
        Understood("I would like to sleep."),
        Said("I would like to sleep.", 1.8),
    ]


def test_the_next_turn_begins_with_nothing() -> None:
    taking = _talking()
    taking.hear(WordsHeard("One.", final=True, ends_turn=True, seconds=9.0))

    assert taking.hear(WordsHeard("Two.", final=True, ends_turn=True, seconds=11.0))[-1] == Said("Two.", 11.0)


def test_an_end_without_words_ends_what_was_gathered() -> None:
    taking = _talking()
    taking.hear(WordsHeard("That is all", final=True, ends_turn=False, seconds=1.4))

    assert taking.hear(WordsHeard("", final=True, ends_turn=True, seconds=2.0)) == [Said("That is all", 1.4)]


def test_a_long_silence_ends_a_turn_that_had_no_other_end() -> None:
    taking = _talking()
    taking.hear(WordsHeard("In a noisy room", final=True, ends_turn=False, seconds=1.4))

    assert taking.hear(SpeechEnded(1.4)) == [Said("In a noisy room", 1.4)]
    assert taking.hear(SpeechEnded(1.4)) == []


def test_noise_is_nothing() -> None:
    assert _talking().hear(WordsHeard("", final=True, ends_turn=True, seconds=0.4)) == [Nothing()]


def test_words_that_may_still_change_are_no_turn() -> None:
    taking = _talking()
    taking.hear(WordsHeard("perhaps", final=False, ends_turn=False, seconds=0.4))

    assert taking.hear(SpeechEnded(0.4)) == []


def test_with_push_to_talk_only_the_person_ends_a_turn() -> None:
    taking = TurnTaking(push_to_talk=True)

    assert taking.hear(WordsHeard("I think", final=True, ends_turn=True, seconds=1.0)) == [Understood("I think")]
    assert taking.hear(SpeechEnded(1.0)) == []
    taking.stop()
    assert taking.hear(WordsHeard("so.", final=True, ends_turn=True, seconds=3.0))[-1] == Said("I think so.", 3.0)
    assert taking.hear(WordsHeard("More", final=True, ends_turn=True, seconds=5.0)) == [Understood("More")]


def test_words_that_come_after_the_end_was_told_are_a_turn() -> None:
    taking = TurnTaking(push_to_talk=True)
    taking.stop()
    assert taking.hear(WordsHeard("", True, True, 1.0)) == [Nothing()]
    late = taking.hear(WordsHeard("Please book it.", True, True, 1.0, asked=True))
    assert late == [Understood("Please book it."), Said("Please book it.", 1.0)]


@pytest.mark.parametrize("text", ["hmm", "Mm-hm.", "uh-huh", "Mhm, mhm", "Oh!", "...", "Äh"])
def test_sounds_of_listening(text: str) -> None:
    assert only_listens(text)


@pytest.mark.parametrize("text", ["no", "Hmm, wait", "stop", "uh I want", "yes", "5", "Хорошо", "はい"])
def test_words_want_to_be_heard(text: str) -> None:
    assert not only_listens(text)
