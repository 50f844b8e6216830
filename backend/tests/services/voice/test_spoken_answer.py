"""An answer is spoken while it is written, in time, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from itertools import pairwise

import pytest

from backend.errors import SpeechFailed
from backend.models.voice_frames import AudioEnd, AudioStart
from backend.services.voice.spoken_answer import AHEAD_SECONDS
from backend.services.voice.timeline import BYTES_A_MS
from backend.services.voice.voice_socket import SocketGone
from backend.stores.database import Database
from backend.tests.fake_speech import FakeVoice, spoken
from backend.tests.services.voice.loudspeaker import Loudspeaker
from backend.tests.services.voice.spoken_talk import (
    LONG,
    SHORT,
    Talk,
    in_sentences,
    leaving_nothing,
    spoken_to,
)


@pytest.fixture
async def talk(database: Database) -> AsyncGenerator[Talk]:
    async with spoken_to(database, FakeVoice("local")) as made:
        yield made


async def test_an_answer_is_played_from_its_beginning_to_its_end(talk: Talk) -> None:
    talk.begin(SHORT)
    await talk.over()
    whole = spoken(SHORT)
    length = len(whole) // BYTES_A_MS
    assert talk.socket.audio == whole
    assert talk.socket.told == [AudioStart(turn=7, from_ms=0), AudioEnd(turn=7, ms=length)]
    assert talk.speaker.played == len(whole)
    assert talk.answer.heard_to() == (len(SHORT), length)
    assert (talk.hearing.offset, talk.hearing.played_ms, talk.hearing.settled) == (len(SHORT), length, False)
    assert talk.said == in_sentences(SHORT)
    assert not talk.answer.audible
    first = talk.answer.first_sentence_at, talk.answer.first_byte_at, talk.answer.first_audio_at
    assert None not in first
    assert list(first) == sorted(one or 0.0 for one in first)


async def test_a_sentence_is_spoken_before_the_next_is_written(talk: Talk) -> None:
    talk.begin("The sea is large. I", whole=False)
    first = spoken("The sea is large.")
    await talk.socket.until(lambda: talk.socket.audio == first)
    await talk.falls_silent()
    assert talk.said == ["The sea is large."]
    assert talk.answer.heard_to()[0] == len("The sea is large.")
    talk.answer.push("t is full of fish.")
    talk.answer.end_of_text()
    await talk.over()
    assert talk.socket.audio == spoken("The sea is large. It is full of fish.")
    assert [type(one) for one in talk.socket.told] == [AudioStart, AudioEnd]


async def test_a_voice_is_told_what_is_said_around(talk: Talk) -> None:
    talk.begin(SHORT)
    await talk.over()
    assert talk.voice.around == [
        ("", "It is full of fish."),
        ("The sea is large.", "Many people love it."),
        ("The sea is large. It is full of fish.", ""),
    ]


async def test_audio_is_sent_a_little_ahead_and_without_gaps(talk: Talk) -> None:
    talk.begin(LONG)
    await talk.over()
    frames = talk.socket.frames
    sizes = [len(one.what) // BYTES_A_MS for one in frames if isinstance(one.what, bytes)]
    assert all(20 <= size <= 100 for size in sizes[:-1]), sizes
    # The server counts from when it sends the first frame, the loudspeaker from when that has come.
    announced = next(one.at for one in talk.socket.sent if isinstance(one.what, AudioStart))
    on_its_way_ms = (frames[0].at - announced) * 1000
    assert talk.speaker.most_ahead_ms <= AHEAD_SECONDS * 1000 + 2 + on_its_way_ms
    assert frames[-1].at - frames[0].at >= len(spoken(LONG)) / BYTES_A_MS / 1000 - AHEAD_SECONDS - 0.1
    assert talk.speaker.gaps_ms == []


async def test_one_sentence_is_made_ahead_and_no_more(talk: Talk) -> None:
    sentences = in_sentences(LONG)
    ends = [len(spoken(" ".join(sentences[: number + 1]))) for number in range(len(sentences))]
    made: list[tuple[int, int, int]] = []

    def count() -> None:
        sent = sum(len(pcm.what) for pcm in talk.socket.frames if isinstance(pcm.what, bytes))
        being_sent = next(number for number, end in enumerate(ends) if sent <= end)
        made.append((being_sent, len(talk.said), ends[being_sent] - sent))

    talk.speaker.on_audio = count
    talk.begin(LONG)
    await talk.over()
    assert all(said <= being_sent + 2 for being_sent, said, _ in made)
    paced = [one for one in made if one[0] > AHEAD_SECONDS * 1000 // (ends[0] // BYTES_A_MS) + 1]
    assert len(paced) > 5
    for being_sent, said, left in paced:
        if left < ends[0] // 2:
            assert said == min(being_sent + 2, len(sentences))
    assert talk.voice.most_open == 1


async def test_a_slow_voice_leaves_silences_and_loses_nothing(talk: Talk) -> None:
    talk.voice.gate.clear()
    talk.begin("Good to meet you. How are you?")
    await talk.socket.until(lambda: talk.socket.audio == spoken("Good"))
    await talk.speaker.has_played(len(spoken("Good")) // BYTES_A_MS)
    talk.voice.gate.set()
    await talk.over()
    assert talk.socket.audio == spoken("Good to meet you. How are you?")
    assert len(talk.speaker.gaps_ms) == 1


@pytest.mark.parametrize("text", ["", "  \n", "***", "🙂 ...\n\n---"])
async def test_without_words_there_is_no_audio(talk: Talk, text: str) -> None:
    talk.begin(text)
    await talk.over()
    assert talk.socket.sent == []
    assert talk.said == []
    assert talk.answer.first_sentence_at is None
    assert not talk.answer.hold()


async def test_what_cannot_be_spoken_is_passed_over(talk: Talk) -> None:
    talk.begin("***\nHello you. 🙂\n---\nGood day.")
    await talk.over()
    assert talk.said == ["Hello you.", "Good day."]
    assert talk.answer.heard_to()[0] == len("***\nHello you. 🙂\n---\nGood day.")


async def test_an_error_comes_after_what_was_said(talk: Talk) -> None:
    talk.voice.fails_at["fish."] = SpeechFailed("hoarse")
    async with leaving_nothing(talk):
        talk.begin(SHORT)
        with pytest.raises(SpeechFailed, match="hoarse"):
            await talk.over()
    said = spoken("The sea is large. It is full of")
    assert talk.socket.audio == said
    assert talk.speaker.played == len(said)
    assert talk.socket.told[-1] == AudioEnd(turn=7, ms=len(said) // BYTES_A_MS)
    assert talk.hearing.offset <= len("The sea is large. It is full of fish.")


async def test_an_error_at_once_needs_no_audio(talk: Talk) -> None:
    talk.voice.fails_at["The"] = SpeechFailed("hoarse")
    talk.begin(SHORT)
    with pytest.raises(SpeechFailed):
        await talk.over()
    assert talk.socket.sent == []


async def test_who_is_gone_is_not_spoken_to(talk: Talk) -> None:
    async with leaving_nothing(talk):
        talk.begin(LONG)
        await talk.speaker.has_played(100)
        talk.socket.break_down()
        with pytest.raises(SocketGone):
            await talk.over()


@pytest.mark.parametrize("stopped", [True, False])
@pytest.mark.parametrize("gate", [True, False])
@pytest.mark.parametrize("slow", [0.0, 0.002])
async def test_whenever_it_ends_nothing_is_left_open(talk: Talk, stopped: bool, gate: bool, slow: float) -> None:
    if not gate:
        talk.voice.gate.clear()
    for steps in (0, 1, 2, 3, 4, 5, 6, 8, 13, 30, 60):
        one = Talk(talk.studio, Loudspeaker(), talk.voice)
        one.socket.slow = slow
        async with leaving_nothing(one):
            one.begin(SHORT)
            assert one.running
            for _ in range(steps):
                await asyncio.sleep(0)
            if stopped:
                one.answer.stop()
            else:
                one.running.cancel()
            await asyncio.wait({one.running}, timeout=5)
            assert one.running.done()
            assert one.running.cancelled() is not stopped


async def test_it_may_be_stopped_before_it_runs(talk: Talk) -> None:
    talk.answer.stop()
    talk.begin(SHORT)
    await talk.over()
    assert talk.socket.sent == []
    assert talk.said == []


async def test_frames_follow_each_other_whatever_the_pieces(talk: Talk) -> None:
    talk.begin("a b c d e f g h. i j k l m n o p q r s t u v. w x y z.")
    await talk.over()
    assert talk.socket.audio == spoken("abcdefgh.ijklmnopqrstuv.wxyz.")
    assert all(one.at <= other.at for one, other in pairwise(talk.socket.frames))
