"""What happens in a conversation when nobody listens: from its beginning, from the middle on, for a while, for good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest

from backend.errors import SpeechFailed, SpeechUnavailable
from backend.models.tenant import Caller
from backend.ports import WordsHeard
from backend.services.voice.ears import MOST_LOSSES
from backend.stores.database import Database
from backend.tests.factories import TenantFactory
from backend.tests.fake_speech import Studio
from backend.tests.fakes import says
from backend.tests.services.one_server import OneServer, one_server
from backend.tests.services.voice.talking import TALKS, VOICE, Call, call

FRAME = bytes(640)
LONG = " ".join(f"This is sentence number {number} of a rather long answer about the sea." for number in range(12))


@pytest.fixture
async def server(database: Database) -> AsyncGenerator[OneServer]:
    async with one_server(database) as opened:
        yield opened


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


async def speaks_until(talk: Call, there: Callable[[], bool]) -> None:
    """The person speaks on until this is so."""
    async with asyncio.timeout(30):
        while not there():
            talk.person.sends(FRAME)
            await asyncio.sleep(0.005)


async def test_without_ears_the_person_types(server: OneServer, database: Database, caller: Caller) -> None:
    studio = Studio(database, None, keys=["elevenlabs"])
    async with call(server, database, caller, studio=studio) as talk:
        ready = talk.person.told[0]
        assert ready.listens.provider is None  # type: ignore[union-attr]
        assert "DEEPGRAM_API_KEY" in ready.listens.note  # type: ignore[union-attr]

        talk.person.sends(FRAME)
        talk.person.sends(FRAME)
        assert "DEEPGRAM_API_KEY" in (await talk.person.is_told("error")).detail
        talk.person.types("Then I type.")

        await talk.person.is_told("message.completed")
        assert talk.person.kinds.count("error") == 1


async def test_ears_that_cannot_be_opened(server: OneServer, database: Database, caller: Caller) -> None:
    studio = Studio(database, None)
    studio.ears.away = SpeechUnavailable("Deepgram refuses the key.")
    async with call(server, database, caller, studio=studio) as talk:
        assert [one.detail for one in talk.person.told if one.type == "error"] == ["Deepgram refuses the key."]
        ready = talk.person.told[-1]
        assert ready.listens.provider == "deepgram"  # type: ignore[union-attr]
        assert "does not listen right now" in ready.listens.note  # type: ignore[union-attr]
        talk.person.types("Then I type.")
        await talk.person.is_told("message.completed")


async def test_ears_that_could_not_be_opened_are_opened_while_the_person_speaks(
    server: OneServer, database: Database, caller: Caller
) -> None:
    studio = Studio(database, None)
    studio.ears.away = SpeechUnavailable("Deepgram does not answer.")
    async with call(server, database, caller, studio=studio) as talk:
        studio.ears.away = None
        await speaks_until(talk, lambda: studio.ears.open == 1)

        await talk.says("Now you hear me.")

        assert (await talk.person.is_told("transcript.final")).text == "Now you hear me."
        await talk.person.is_told("message.completed")


async def test_ears_that_never_open_are_given_up_and_the_person_is_told_so(
    server: OneServer, database: Database, caller: Caller
) -> None:
    studio = Studio(database, None)
    studio.ears.away = SpeechUnavailable("Deepgram refuses the key.")
    async with call(server, database, caller, studio=studio) as talk:
        await speaks_until(talk, lambda: talk.person.kinds.count("error") == MOST_LOSSES)

        *before, last = [one.detail for one in talk.person.told if one.type == "error"]

        assert set(before) == {"Deepgram refuses the key."}
        assert last.startswith("Deepgram refuses the key. ")
        assert "nobody listens any more" in last


async def test_ears_that_are_lost_in_the_middle(server: OneServer, database: Database, caller: Caller) -> None:
    server.model.then(says(LONG))
    async with call(server, database, caller) as talk:
        await talk.says("Tell me everything.")
        await talk.person.is_told("audio.start")

        await talk.ears.break_down(SpeechFailed("Deepgram has closed the connection."))

        assert (await talk.person.is_told("error")).code == "speech-failed"
        await talk.person.is_told("message.completed")
        assert (await talk.messages())[1] == ("assistant", LONG, "complete")


async def test_what_was_understood_before_the_ears_were_lost_is_a_turn(
    server: OneServer, database: Database, caller: Caller
) -> None:
    async with call(server, database, caller) as talk:
        await talk.hears(WordsHeard("I would like to sleep", final=True, ends_turn=False, seconds=1.0))
        await talk.person.is_told("transcript.partial")

        await talk.ears.break_down(SpeechFailed("Deepgram has closed the connection."))

        assert (await talk.person.is_told("transcript.final")).text == "I would like to sleep"
        await talk.person.is_told("message.completed")


async def test_with_push_to_talk_what_was_understood_waits_for_the_person(
    server: OneServer, database: Database, caller: Caller
) -> None:
    agent = await server.agent(caller, **TALKS | {"voice": VOICE | {"vad_enabled": False}})
    async with call(server, database, caller, agent=agent) as talk:
        await talk.hears(WordsHeard("I would like to sleep", final=True, ends_turn=True, seconds=1.0))
        await talk.person.is_told("transcript.partial")
        await talk.ears.break_down(SpeechFailed("Deepgram has closed the connection."))
        await talk.person.is_told("error")
        assert "transcript.final" not in talk.person.kinds

        talk.person.stops()

        assert (await talk.person.is_told("transcript.final")).text == "I would like to sleep"
