"""An answer is spoken while it is written, stops when somebody speaks, and goes on where it was heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import accumulate, pairwise
from uuid import uuid4

import pytest

from backend.errors import SpeechFailed
from backend.models.voice import VoiceSettings
from backend.models.voice_frames import AudioEnd, AudioStart
from backend.ports import OnSaid
from backend.services.hearing import Hearing
from backend.services.speakers import ChosenVoice
from backend.services.voice.sentences import Sentences
from backend.services.voice.spoken_answer import AHEAD_SECONDS, SpokenAnswer
from backend.services.voice.timeline import BYTES_A_MS
from backend.services.voice.voice_socket import SocketGone
from backend.stores.database import Database
from backend.tests.fake_speech import FakeVoice, Studio, spoken
from backend.tests.services.voice.loudspeaker import Loudspeaker

SHORT = "The sea is large. It is full of fish. Many people love it."
LONG = " ".join(f"This is sentence number {number} of an answer about the sea." for number in range(10))
LONGEST_WORD = 9 * 64


def in_sentences(text: str) -> list[str]:
    found = Sentences()
    return [one.text for one in found.push(text) + found.rest()]


def word_ends(text: str) -> list[int]:
    """Where in its audio each word of a text ends."""
    return list(accumulate(len(spoken(word)) for word in text.split()))


class Wordless(FakeVoice):
    """Does not tell where the words end."""

    def speak(
        self, text: str, voice: VoiceSettings, *, before: str = "", after: str = "", on_said: OnSaid | None = None
    ) -> AsyncGenerator[bytes]:
        return super().speak(text, voice, before=before, after=after)


class Talk:
    """An answer that is being spoken to a loudspeaker."""

    def __init__(self, studio: Studio, speaker: Loudspeaker, voice: FakeVoice) -> None:
        self.studio = studio
        self.voice = voice
        self.speaker = speaker
        self.socket = speaker.socket
        self.hearing = Hearing()
        chosen = ChosenVoice(voice.provider, voice, VoiceSettings(provider="local", voice_id="en-us"))
        self.answer = SpokenAnswer(studio.speech, uuid4(), chosen, 7, self.socket, self.hearing)
        self.running: asyncio.Task[None] | None = None

    @property
    def said(self) -> list[str]:
        """What was asked to be said."""
        return [text for text, _ in self.voice.said]

    @property
    def starts(self) -> int:
        """How often audio began."""
        return sum(isinstance(one, AudioStart) for one in self.socket.told)

    async def all_is_sent(self) -> None:
        """Wait for the end of the audio."""
        await self.socket.until(lambda: any(isinstance(one, AudioEnd) for one in self.socket.told))

    def begin(self, text: str, *, whole: bool = True) -> None:
        """Speak this, by default all of the answer."""
        self.answer.push(text)
        if whole:
            self.answer.end_of_text()
        self.running = asyncio.create_task(self.answer.run())

    async def falls_silent(self) -> None:
        """Wait until everything that was sent is played."""
        await self.socket.until(lambda: self.socket.frames)
        async with asyncio.timeout(10):
            while self.answer.audible:  # noqa: ASYNC110 — time tells nobody
                await asyncio.sleep(0.002)

    async def over(self) -> None:
        """Wait for its end. Errors: those of `run`."""
        assert self.running
        async with asyncio.timeout(10):
            await self.running

    async def drops(self) -> None:
        """The client is told to be silent, and tells how far it came."""
        assert self.answer.hold()
        self.speaker.drop()
        self.answer.played(self.speaker.played_ms)


@asynccontextmanager
async def leaving_nothing(talk: Talk) -> AsyncGenerator[None]:
    before = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() <= before
    assert talk.voice.open == 0


@pytest.fixture(params=[FakeVoice])
async def talk(request: pytest.FixtureRequest, database: Database) -> AsyncGenerator[Talk]:
    made = Talk(Studio(database, None), Loudspeaker(), request.param("local"))
    yield made
    if made.running:
        made.running.cancel()
        await asyncio.wait({made.running})


@pytest.fixture
async def reporting(talk: Talk) -> AsyncGenerator[Talk]:
    """A client that tells what it has played."""

    async def report() -> None:
        while True:
            await asyncio.sleep(0.02)
            if talk.speaker.played:
                talk.answer.played(talk.speaker.played_ms)

    reports = asyncio.create_task(report())
    yield talk
    reports.cancel()
    await asyncio.wait({reports})


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
    assert talk.speaker.most_ahead_ms <= AHEAD_SECONDS * 1000 + 2
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
async def test_what_was_heard_is_known_all_the_time(reporting: Talk) -> None:
    talk = reporting
    talk.begin(LONG)
    near = 2 if isinstance(talk.voice, Wordless) else 1  # a word lasts 10 ms here, and no voice makes so short pauses
    ends = word_ends(LONG)
    before = 0
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
    async with asyncio.timeout(0.05):
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
    async with asyncio.timeout(0.05):
        await talk.over()


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
