"""Talking with an agent: turns, interruptions, false starts, and what is stored of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from backend.errors import ModelFailed
from backend.models.session import SessionCreate
from backend.models.tenant import Caller
from backend.ports import SpeechBegan, WordsHeard
from backend.services.voice.voice_socket import SocketGone
from backend.stores.database import Database
from backend.tests.factories import TenantFactory
from backend.tests.fake_speech import Studio, spoken
from backend.tests.fakes import FixedMemory, ScriptedModel, fails, says, waits
from backend.tests.services.interviewing import default_agents
from backend.tests.services.one_server import OneServer, one_server
from backend.tests.services.voice.talking import TALKS, VOICE, Call, Person, call, voice_service

ANSWER = "The sea is very large. It is full of fish and ships. Many people love the sea, and some of them live by it."
LONG = " ".join(f"This is sentence number {number} of a rather long answer about the sea." for number in range(12))
CRISIS_REPLY = "Help is there (suicide)."


@pytest.fixture
async def server(database: Database) -> AsyncGenerator[OneServer]:
    async with one_server(database, memory=FixedMemory()) as opened:
        yield opened


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


def near(stored: str, played: str) -> bool:
    """Whether these are beginnings of the same text that differ by one word at most."""
    return abs(len(stored.split()) - len(played.split())) <= 1


def said_in(milliseconds: int, answer: str) -> str:
    """The words that a `FakeVoice` says in that time: two milliseconds a letter, none for a space."""
    letters = milliseconds // 2
    for place, letter in enumerate(answer):
        if letter != " ":
            letters -= 1
        if letters < 0:
            return answer[:place]
    return answer


async def test_what_is_typed_is_answered_aloud(server: OneServer, database: Database, caller: Caller) -> None:
    server.model.then(says(*ANSWER.split(" ", 3)[:1], ANSWER[3:]))
    async with call(server, database, caller) as talk:
        talk.person.types("Tell me about the sea.")

        done = await talk.person.is_told("message.completed")
        metrics = await talk.person.is_told("turn.metrics")

        assert done.data["response"] == ANSWER
        assert talk.person.heard(1) == spoken(ANSWER)
        assert done.data["metadata"]["voice"]["interrupted"] is False
        assert metrics.stt_ms is None
        assert metrics.voice_to_voice_ms is not None
        assert abs(metrics.played_ms - len(spoken(ANSWER)) // 32) <= 60
        assert await talk.messages() == [
            ("user", "Tell me about the sea.", "complete"),
            ("assistant", ANSWER, "complete"),
        ]
    order = [kind for kind in talk.person.kinds if kind not in ("message.delta", "memory.recalled")]
    assert order == [
        "ready", "run.started", "audio.start", "audio.end", "message.completed", "turn.metrics",
    ]  # fmt: skip


async def test_what_is_said_is_answered_in_the_same_thread(
    server: OneServer, database: Database, caller: Caller
) -> None:
    async with call(server, database, caller) as talk:
        await talk.hears(SpeechBegan(0.1), WordsHeard("I would like", False, False, 0.4))
        assert (await talk.person.is_told("transcript.partial")).text == "I would like"
        await talk.hears(WordsHeard("I would like to sleep.", True, True, 0.9))
        assert (await talk.person.is_told("transcript.final")).text == "I would like to sleep."
        await talk.person.is_told("turn.metrics")
        await talk.says("Thank you.")
        await talk.person.is_told("turn.metrics", lambda told: told.turn == 2)

        assert [text for _, text, _ in await talk.messages()] == [
            "I would like to sleep.", "Answer 1", "Thank you.", "Answer 2",
        ]  # fmt: skip
    told_of = server.metrics.registry.get_sample_value
    for stage in ("llm_first_token", "tts_first_byte", "voice_to_voice"):
        median, late = [
            told_of("numen_voice_recent_seconds", {"stage": stage, "quantile": one}) for one in ("0.5", "0.95")
        ]
        assert told_of("numen_voice_stage_seconds_count", {"stage": stage}) == 2
        assert median is not None
        assert late is not None
        assert 0 <= median <= late < 10


async def test_an_interrupted_answer_is_what_was_played(server: OneServer, database: Database, caller: Caller) -> None:
    server.model.then(says(LONG))
    async with call(server, database, caller) as talk:
        talk.person.types("Tell me everything.")
        await talk.person.hears_ms(300)

        talk.person.interrupts()

        told = await talk.person.is_told("interrupt")
        done = await talk.person.is_told("message.completed")
        metrics = await talk.person.is_told("turn.metrics")
        assert told.reason == "client"
        assert talk.person.after_interrupt == 0
        stored = await talk.messages()
        assert stored[1][2] == "partial"
        assert LONG.startswith(stored[1][1])
        assert near(stored[1][1], said_in(talk.person.played_ms, LONG)), (stored[1][1], talk.person.played_ms)
        assert done.data["response"] == stored[1][1]
        assert done.data["metadata"]["voice"] == {"interrupted": True, "played_ms": metrics.played_ms}
        assert metrics.interrupted


async def test_memory_is_made_of_what_was_heard(database: Database, caller: Caller) -> None:
    memory = FixedMemory()
    async with (
        one_server(database, ScriptedModel(says(LONG)), memory=memory) as server,
        call(server, database, caller) as talk,
    ):
        talk.person.types("Tell me everything.")
        await talk.person.hears_ms(200)
        talk.person.interrupts()
        done = await talk.person.is_told("message.completed")

        (ended,) = memory.ended
        assert ended.answer == done.data["response"]
        assert 0 < len(ended.answer) < len(LONG)


async def test_a_client_that_says_nothing_is_believed_to_play_in_time(
    server: OneServer, database: Database, caller: Caller
) -> None:
    server.model.then(says(LONG))
    async with call(server, database, caller) as talk:
        talk.person.reports = False
        talk.person.types("Tell me everything.")
        await talk.person.hears_ms(300)

        talk.person.interrupts()

        await talk.person.is_told("message.completed")
        words, played = len((await talk.messages())[1][1].split()), len(said_in(talk.person.played_ms, LONG).split())
        assert abs(words - played) <= 6, (words, played)  # two clocks, and a voice that says a word in ten ms


async def test_talking_into_an_answer_stops_voice_and_model(
    server: OneServer, database: Database, caller: Caller
) -> None:
    server.model.then(waits(asyncio.Event(), before=LONG), says("Then we stop."))
    async with call(server, database, caller) as talk:
        await talk.says("Tell me everything.")
        await talk.person.hears_ms(100)

        await talk.hears(SpeechBegan(3.0))
        assert (await talk.person.is_told("interrupt")).reason == "speech"
        assert server.model.at_once == 1
        await talk.hears(WordsHeard("Please stop.", True, True, 3.6))

        await talk.person.is_told("message.completed", lambda told: told.turn == 1)
        await talk.person.is_told("message.completed", lambda told: told.turn == 2)
        assert server.model.at_once == 0
        assert talk.person.after_interrupt == 0
        assert talk.person.kinds.count("interrupt") == 1
        messages = await talk.messages()
        assert [status for _, _, status in messages] == ["complete", "partial", "complete", "complete"]
        assert LONG.startswith(messages[1][1])
        assert len(messages[1][1]) < len(LONG)
        assert messages[3][1] == "Then we stop."
        seen = [one.content for one in server.model.requests[1].messages if one.role == "assistant"]
        assert seen == [messages[1][1]]


async def test_a_false_start_lets_the_agent_go_on(server: OneServer, database: Database, caller: Caller) -> None:
    server.model.then(says(LONG))
    async with call(server, database, caller) as talk:
        await talk.says("Tell me everything.")
        await talk.person.hears_ms(300)

        await talk.hears(SpeechBegan(3.0))

        await talk.person.is_told("interrupt")
        again = await talk.person.is_told("audio.start", lambda told: told.from_ms > 0)
        (played,) = talk.person.broken_off_at
        assert played - 100 <= again.from_ms <= played  # from the beginning of the word
        await talk.person.is_told("turn.metrics")
        assert (await talk.messages())[1] == ("assistant", LONG, "complete")
        assert talk.person.after_interrupt == 0
        assert talk.person.played_ms >= len(spoken(LONG)) // 32 - 60


@pytest.mark.parametrize("sound", ["", "Mm-hm."])
async def test_noise_and_sounds_of_listening_are_no_interruption(
    server: OneServer, database: Database, caller: Caller, sound: str
) -> None:
    server.model.then(says(LONG))
    async with call(server, database, caller) as talk:
        await talk.says("Tell me everything.")
        await talk.person.hears_ms(200)

        await talk.hears(SpeechBegan(3.0), WordsHeard(sound, True, True, 3.2))

        await talk.person.is_told("audio.start", lambda told: told.from_ms > 0)
        await talk.person.is_told("turn.metrics")
        assert await talk.messages() == [
            ("user", "Tell me everything.", "complete"),
            ("assistant", LONG, "complete"),
        ]


async def test_who_goes_on_talking_before_the_answer_is_heard_is_listened_to(
    server: OneServer, database: Database, caller: Caller
) -> None:
    server.model.then(waits(asyncio.Event()), says("Both, then."))
    async with call(server, database, caller) as talk:
        await talk.says("I would like")
        await talk.person.is_told("run.started")
        await talk.says("to sleep.")

        done = await talk.person.is_told("message.completed", lambda told: told.turn == 2)

        assert done.data["response"] == "Both, then."
        assert [(text, status) for _, text, status in await talk.messages()] == [
            ("I would like", "complete"), ("", "partial"), ("to sleep.", "complete"), ("Both, then.", "complete"),
        ]  # fmt: skip


async def test_with_push_to_talk_the_person_ends_the_turn(
    server: OneServer, database: Database, caller: Caller
) -> None:
    agent = await server.agent(caller, **TALKS | {"voice": VOICE | {"vad_enabled": False}})
    async with call(server, database, caller, agent=agent) as talk:
        assert talk.person.told[0].push_to_talk  # type: ignore[union-attr]
        talk.person.sends(bytes(640))
        await talk.hears(WordsHeard("I have thought", True, True, 0.9))
        await talk.person.is_told("transcript.partial")
        assert "transcript.final" not in talk.person.kinds
        talk.ears.now.at_finalize = "about it."

        talk.person.stops()

        assert (await talk.person.is_told("transcript.final")).text == "I have thought about it."
        await talk.person.is_told("message.completed")


async def test_a_model_that_fails_is_told_of_and_the_conversation_goes_on(
    server: OneServer, database: Database, caller: Caller
) -> None:
    server.model.then(fails(ModelFailed("It broke in the middle."), "The sea is"), says("Again: it is large."))
    async with call(server, database, caller) as talk:
        talk.person.types("Tell me about the sea.")
        failed = await talk.person.is_told("run.failed")
        assert failed.data["code"] == "model-failed"
        talk.person.types("Once more.")

        done = await talk.person.is_told("message.completed")

        assert done.data["response"] == "Again: it is large."
        statuses = [(role, status) for role, _, status in await talk.messages()]
        assert statuses[:2] == [("user", "complete"), ("assistant", "failed")]


async def test_who_hangs_up_leaves_what_was_heard(server: OneServer, database: Database, caller: Caller) -> None:
    server.model.then(says(LONG))
    async with call(server, database, caller) as talk:
        talk.person.types("Tell me everything.")
        await talk.person.hears_ms(200)
        played = talk.person.played_ms

    assert talk.studio.eleven.open == 0
    assert talk.ears.open == 0
    role, text, status = (await talk.messages())[1]
    assert (role, status) == ("assistant", "partial")
    words = len(text.split())  # of a voice that says ten letters in the time between two reports
    assert len(said_in(played - 25, LONG).split()) - 1 <= words <= len(said_in(played + 5, LONG).split()) + 1


@pytest.mark.parametrize("moments", range(4))
async def test_called_off_while_it_ends_it_listens_no_more(
    server: OneServer, database: Database, caller: Caller, moments: int
) -> None:
    studio, person = Studio(database, None), Person()
    agent = await server.agent(caller, **TALKS)
    going = asyncio.create_task(voice_service(server, studio).converse(caller, agent, None, person))
    await person.is_told("ready")
    going.cancel()
    for _ in range(moments):
        await asyncio.sleep(0)
    going.cancel()
    await asyncio.wait([going])
    assert studio.ears.open == 0


async def test_the_next_words_come_while_the_answer_is_stored(
    server: OneServer, database: Database, caller: Caller
) -> None:
    async with call(server, database, caller) as talk:
        for number in range(5):
            talk.person.types(f"Message {number}")
        await talk.person.is_told("turn.metrics", lambda told: told.turn == 5)

        users = [text for role, text, _ in await talk.messages() if role == "user"]
        assert users == [f"Message {number}" for number in range(5)]


async def test_a_reply_in_a_crisis_is_spoken(server: OneServer, database: Database, caller: Caller) -> None:
    async with call(server, database, caller) as talk:
        await talk.says("This is a CRISIS.")

        done = await talk.person.is_told("message.completed")

        assert done.data["metadata"]["safety"] == {"crisis": True, "kind": "suicide"}
        assert talk.person.heard(1) == spoken(CRISIS_REPLY)
        assert server.model.requests == []
        assert (await talk.messages())[1] == ("assistant", CRISIS_REPLY, "complete")


@pytest.mark.parametrize("how", ["interrupted", "hung up on"])
async def test_a_reply_in_a_crisis_is_kept_whole_although_it_is_broken_off(
    server: OneServer, database: Database, caller: Caller, how: str
) -> None:
    intake, _ = await default_agents(server, caller)
    session = await server.sessions.create(caller, SessionCreate())
    studio = Studio(database, None)
    studio.eleven.gate.clear()  # it gets no further than the first word
    async with call(server, database, caller, agent=intake, session=session.id, studio=studio) as talk:
        await talk.says("This is a CRISIS.")
        await talk.person.is_told("audio.start")
        if how == "interrupted":
            talk.person.interrupts()
            done = await talk.person.is_told("message.completed")
            assert (done.data["response"], done.data["metadata"]["voice"]["interrupted"]) == (CRISIS_REPLY, True)
        else:
            talk.person.goes()
            with pytest.raises(SocketGone):
                await talk.over()
        assert (await talk.messages())[-1] == ("assistant", CRISIS_REPLY, "complete")
    found = await server.sessions.get(caller, session.id)
    assert (found.status, found.response) == ("failed", CRISIS_REPLY)


async def _interrupted(talk: Call) -> str:
    talk.person.interrupts()
    await talk.person.is_told("message.completed")
    return (await talk.messages())[-1][1]


async def test_interrupted_again_and_again(server: OneServer, database: Database, caller: Caller) -> None:
    server.model.then(*[says(LONG)] * 4)
    async with call(server, database, caller) as talk:
        for number, milliseconds in enumerate((60, 400, 250, 700), start=1):
            talk.person.types(f"Go on {number}.")
            await talk.person.is_told("audio.start", lambda told, number=number: told.turn == number)
            await talk.person.hears_ms(milliseconds)
            stored = await _interrupted(talk)
            assert near(stored, said_in(talk.person.played_ms, LONG)), (stored, talk.person.played_ms)
        assert talk.person.after_interrupt == 0
