"""Ears are opened, lost, told of, and opened again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from backend.errors import SpeechError, SpeechFailed, SpeechUnavailable
from backend.models.voice import VoiceSettings
from backend.ports import HeardEvent, SpeechBegan, WordsHeard
from backend.services.voice.ears import MOST_LOSSES, Ears
from backend.tests.fake_speech import FakeEars

FRAME = bytes(640)
VOICE = VoiceSettings(voice_id="calm-female")
GONE = SpeechUnavailable("Deepgram has closed the connection.")


class Listener:
    """What the ears tell."""

    def __init__(self, *, reopen_seconds: float = 0.0, steady_seconds: float = 60.0) -> None:
        self.heard: asyncio.Queue[HeardEvent] = asyncio.Queue()
        self.lost: asyncio.Queue[SpeechError] = asyncio.Queue()
        self.for_good: list[bool] = []
        self.provider = FakeEars()
        self.ears = Ears(
            self.provider,
            VOICE,
            self.heard.put,
            self.is_lost,
            reopen_seconds=reopen_seconds,
            steady_seconds=steady_seconds,
        )

    async def is_lost(self, error: SpeechError, for_good: bool) -> None:
        self.for_good.append(for_good)
        await self.lost.put(error)

    async def next_loss(self) -> SpeechError:
        return await asyncio.wait_for(self.lost.get(), 30)

    async def opened_again(self, times: int) -> None:
        async with asyncio.timeout(30):
            while len(self.provider.listenings) < times:
                await self.ears.hear(FRAME)
                await asyncio.sleep(0.001)


@pytest.fixture
async def listener() -> AsyncGenerator[Listener]:
    made = Listener()
    yield made
    await made.ears.close()


async def test_what_is_heard_is_told_in_order(listener: Listener) -> None:
    assert await listener.ears.open()
    events = [SpeechBegan(0.1), WordsHeard("Hello.", True, True, 0.6)]

    await listener.provider.say(*events)

    assert [await asyncio.wait_for(listener.heard.get(), 30) for _ in events] == events
    assert listener.provider.now.voice is VOICE


async def test_audio_goes_to_the_provider_and_has_its_times(listener: Listener) -> None:
    await listener.ears.open()

    await listener.ears.hear(FRAME)
    await listener.ears.finalize()

    assert bytes(listener.provider.now.audio) == FRAME
    assert listener.provider.now.finalized == 1
    assert listener.ears.clock.at(0.02) is not None


async def test_ears_that_cannot_be_opened_are_told_of(listener: Listener) -> None:
    listener.provider.away = GONE

    assert not await listener.ears.open()

    assert await listener.next_loss() is GONE


async def test_lost_ears_are_opened_again_with_the_next_audio(listener: Listener) -> None:
    await listener.ears.open()

    await listener.provider.break_down(GONE)

    assert await listener.next_loss() is GONE
    await listener.opened_again(2)
    await listener.provider.say(SpeechBegan(0.1))
    assert await asyncio.wait_for(listener.heard.get(), 30) == SpeechBegan(0.1)
    assert listener.provider.open == 1


@pytest.mark.parametrize("how", ["hear", "finalize"])
async def test_a_loss_that_is_noticed_while_something_is_sent(how: str) -> None:
    listener = Listener()
    await listener.ears.open()
    failure = SpeechFailed("It broke.")

    async def broken(*_: object) -> None:
        raise failure

    setattr(listener.provider.now, how, broken)
    if how == "hear":
        await listener.ears.hear(FRAME)
    else:
        await listener.ears.finalize()

    assert await listener.next_loss() is failure
    assert listener.lost.empty()
    assert listener.provider.open == 0
    await listener.ears.close()


async def test_a_provider_that_closes_in_good_order_is_opened_again_without_a_word(listener: Listener) -> None:
    await listener.ears.open()

    await listener.provider.now.end()
    await listener.opened_again(2)

    assert listener.lost.empty()


async def test_what_is_lost_again_and_again_is_given_up(listener: Listener) -> None:
    listener.provider.away = GONE
    await listener.ears.open()
    for _ in range(200):
        await listener.ears.hear(FRAME)
        await asyncio.sleep(0)

    listener.provider.away = None
    await listener.ears.hear(FRAME)
    await asyncio.sleep(0.01)

    assert listener.lost.qsize() == MOST_LOSSES
    assert listener.for_good == [False] * (MOST_LOSSES - 1) + [True]
    assert listener.provider.listenings == []


async def test_losses_before_good_hearing_do_not_count() -> None:
    listener = Listener(steady_seconds=0.0)
    await listener.ears.open()

    for opened in range(1, MOST_LOSSES + 3):
        await listener.opened_again(opened)
        await listener.provider.break_down(GONE)
        await listener.next_loss()
        assert not listener.for_good[-1]

    await listener.ears.close()


async def test_losses_soon_after_each_other_count() -> None:
    listener = Listener()
    await listener.ears.open()

    for opened in range(1, MOST_LOSSES + 1):
        await listener.opened_again(opened)
        await listener.provider.break_down(GONE)
        await listener.next_loss()

    assert listener.for_good[-1]
    await listener.ears.close()


async def test_nothing_is_opened_again_at_once() -> None:
    listener = Listener(reopen_seconds=60.0)
    listener.provider.away = GONE
    await listener.ears.open()

    for _ in range(20):
        await listener.ears.hear(FRAME)
        await asyncio.sleep(0)

    assert listener.lost.qsize() == 1
    await listener.ears.close()


async def test_who_closes_in_good_order_at_once_is_not_opened_again_at_once() -> None:
    listener = Listener(reopen_seconds=60.0)
    await listener.ears.open()
    await listener.provider.now.end()

    for _ in range(20):
        await listener.ears.hear(FRAME)
        await asyncio.sleep(0.001)

    assert len(listener.provider.listenings) == 1
    await listener.ears.close()


async def test_closing_closes_the_provider_also_while_it_is_opened() -> None:
    listener = Listener()
    await listener.ears.open()
    await listener.ears.close()
    assert listener.provider.open == 0

    late = Listener()
    late.provider.gate.clear()
    opening = asyncio.create_task(late.ears.open())
    await asyncio.sleep(0.01)
    await late.ears.close()

    assert await asyncio.wait_for(opening, 30) is False
    assert late.provider.listenings == []
    assert late.lost.empty()
