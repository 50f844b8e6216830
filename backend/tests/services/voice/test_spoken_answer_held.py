"""An answer is silent when somebody speaks, knows what was heard of it, and goes on from there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from backend.models.voice_frames import AudioEnd, AudioStart
from backend.services.voice.spoken_answer import AHEAD_SECONDS
from backend.services.voice.timeline import BYTES_A_MS
from backend.stores.database import Database
from backend.tests.fair_time import fair_timeout
from backend.tests.fake_speech import FakeVoice, spoken
from backend.tests.services.voice.spoken_talk import (
    LONG,
    LONGEST_WORD,
    SHORT,
    Talk,
    Wordless,
    in_sentences,
    reporting,
    spoken_to,
    word_ends,
)


@pytest.fixture(params=[FakeVoice])
async def talk(request: pytest.FixtureRequest, database: Database) -> AsyncGenerator[Talk]:
    async with spoken_to(database, request.param("local")) as made:
        yield made


async def test_nothing_is_sent_after_hold(talk: Talk) -> None:
    talk.begin(LONG)
    await talk.speaker.has_played(300)
    assert talk.answer.audible
    assert talk.answer.hold()
    sent = len(talk.socket.sent)
    assert not talk.answer.audible
    assert not talk.answer.hold()
    await asyncio.sleep(0.2)
    assert len(talk.socket.sent) == sent
    assert len(talk.said) <= 1 + in_sentences(LONG).index(talk.said[-1])
    offset, ms = talk.answer.heard_to()
    assert 295 <= ms <= 330
    assert 0 < offset < len(LONG) // 2
    talk.answer.stop()
    await talk.over()
    assert len(talk.socket.sent) == sent
    assert talk.answer.heard_to() == (offset, ms)


async def test_a_frame_on_its_way_is_the_last(talk: Talk) -> None:
    talk.socket.slow = 0.03
    talk.begin(LONG)
    await talk.socket.until(lambda: len(talk.socket.frames) >= 2)
    await asyncio.sleep(0.01)
    sent = len(talk.socket.frames)
    talk.answer.hold()
    await asyncio.sleep(0.2)
    assert len(talk.socket.frames) == sent + 1
    talk.answer.stop()
    await talk.over()


@pytest.mark.parametrize("talk", [FakeVoice, Wordless], indirect=True)
async def test_it_goes_on_where_it_was_heard(talk: Talk) -> None:
    talk.begin(LONG)
    for number, ms in enumerate((100, 300, 340, 600), start=2):
        await talk.speaker.has_played(ms)
        await talk.drops()
        await asyncio.sleep(0.05)
        talk.answer.resume()
        await talk.socket.until(lambda number=number: talk.starts == number)
    whole = spoken(LONG)
    await talk.speaker.has_played(len(whole) // BYTES_A_MS)
    talk.answer.played(talk.speaker.played_ms)
    await talk.over()
    lost, doubled = talk.speaker.lost_and_doubled(whole)
    assert lost == 0
    assert all(one <= LONGEST_WORD for one in doubled), doubled
    assert talk.said == in_sentences(LONG)
    starts = [one.from_ms * BYTES_A_MS for one in talk.socket.told if isinstance(one, AudioStart)]
    assert len(starts) == 5
    if not isinstance(talk.voice, Wordless):
        assert set(starts) <= {0, *word_ends(LONG)}
    assert talk.hearing.offset == len(LONG)


async def test_it_goes_on_by_the_clock_with_a_client_that_tells_nothing(talk: Talk) -> None:
    talk.begin(LONG)
    await talk.speaker.has_played(300)
    talk.answer.hold()
    talk.speaker.drop()
    await asyncio.sleep(0.05)
    talk.answer.resume()
    await talk.over()
    lost, doubled = talk.speaker.lost_and_doubled(spoken(LONG))
    assert lost <= 5 * BYTES_A_MS
    assert all(one <= LONGEST_WORD + 5 * BYTES_A_MS for one in doubled), doubled


async def test_held_before_its_first_audio_it_begins_later(talk: Talk) -> None:
    assert not talk.answer.hold()
    talk.begin(SHORT)
    await asyncio.sleep(0.05)
    assert talk.socket.sent == []
    assert talk.said == in_sentences(SHORT)[:1]
    talk.answer.resume()
    await talk.over()
    assert talk.socket.audio == spoken(SHORT)
    assert [type(one) for one in talk.socket.told] == [AudioStart, AudioEnd]


async def test_held_in_a_silence_it_repeats_nothing(talk: Talk) -> None:
    talk.begin("The sea is large. I", whole=False)
    await talk.falls_silent()
    assert talk.socket.audio == spoken("The sea is large.")
    assert not talk.answer.hold()
    talk.answer.push("t is full.")
    talk.answer.end_of_text()
    await asyncio.sleep(0.05)
    assert talk.socket.audio == spoken("The sea is large.")
    talk.answer.resume()
    await talk.over()
    assert talk.socket.audio == spoken("The sea is large. It is full.")
    assert [type(one) for one in talk.socket.told] == [AudioStart, AudioEnd]


async def test_held_after_its_last_frame_it_ends_once_more(talk: Talk) -> None:
    talk.begin(SHORT)
    await talk.all_is_sent()
    await talk.drops()
    talk.answer.resume()
    await talk.speaker.has_played(len(spoken(SHORT)) // BYTES_A_MS)
    talk.answer.played(talk.speaker.played_ms)
    await talk.over()
    lost, _ = talk.speaker.lost_and_doubled(spoken(SHORT))
    assert lost == 0
    assert [type(one) for one in talk.socket.told] == [AudioStart, AudioEnd, AudioStart, AudioEnd]


@pytest.mark.parametrize("talk", [FakeVoice, Wordless], indirect=True)
async def test_what_was_heard_is_known_all_the_time(talk: Talk) -> None:
    talk.begin(LONG)
    near = 2 if isinstance(talk.voice, Wordless) else 1  # a word lasts 10 ms here, and no voice makes so short pauses
    ends = word_ends(LONG)
    before = 0
    async with reporting(talk):
        for ms in range(50, 760, 40):
            await talk.speaker.has_played(ms)
            offset, told = talk.answer.heard_to()
            said = sum(end <= talk.speaker.played for end in ends)
            assert abs(len(LONG[:offset].split()) - said) <= near, (ms, LONG[:offset])
            assert abs(told - talk.speaker.played_ms) <= 25
            assert talk.hearing.offset >= before
            before = talk.hearing.offset
            assert abs(talk.hearing.played_ms - talk.speaker.played_ms) <= 60
        await talk.over()
        assert talk.answer.heard_to() == (len(LONG), len(spoken(LONG)) // BYTES_A_MS)


async def test_a_client_cannot_have_heard_what_was_not_sent(talk: Talk) -> None:
    talk.begin(LONG)
    await talk.socket.until(lambda: len(talk.socket.frames) >= 3)
    talk.answer.played(60_000)
    offset, ms = talk.answer.heard_to()
    assert ms <= AHEAD_SECONDS * 1000
    assert offset < len(LONG) // 2
    talk.answer.played(10)
    assert talk.answer.heard_to()[1] >= ms
    talk.answer.stop()
    await talk.over()


async def test_a_client_that_is_done_early_is_believed(talk: Talk) -> None:
    talk.begin(SHORT)
    await talk.all_is_sent()
    talk.answer.played(len(spoken(SHORT)) // BYTES_A_MS - 50)
    assert not talk.answer.audible
    async with fair_timeout(0.05):
        await talk.over()


async def test_a_client_that_lags_is_waited_for(talk: Talk) -> None:
    talk.begin(SHORT)
    await talk.speaker.has_played(60)
    talk.answer.played(5)
    await talk.speaker.has_played(len(spoken(SHORT)) // BYTES_A_MS)
    await asyncio.sleep(0.1)
    assert talk.running
    assert not talk.running.done()
    assert talk.answer.audible
    talk.answer.played(len(spoken(SHORT)) // BYTES_A_MS)
    async with fair_timeout(0.05):
        await talk.over()


async def test_what_was_heard_long_ago_is_let_go(talk: Talk) -> None:
    talk.answer = talk.spoken_answer(kept_ms=50)
    talk.begin(LONG)
    for number, ms in enumerate((150, 400, 650), start=2):
        await talk.speaker.has_played(ms)
        await talk.drops()
        talk.answer.resume()
        await talk.socket.until(lambda number=number: talk.starts == number)
    whole = spoken(LONG)
    await talk.speaker.has_played(len(whole) // BYTES_A_MS)
    talk.answer.played(talk.speaker.played_ms)
    await talk.over()
    assert talk.speaker.lost_and_doubled(whole)[0] == 0
