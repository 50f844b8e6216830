"""What a person said is stored, whatever ends meanwhile; and what nobody could hear counts as not said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID, uuid4

import pytest

from backend.errors import RunStopped
from backend.models.session import SessionCreate
from backend.models.tenant import Caller
from backend.models.voice import VoiceSettings
from backend.services.hearing import Hearing
from backend.services.live_run import LiveRun
from backend.services.voice.spoken_turn import Heard, Mouth, SpokenTurn
from backend.services.voice.voice_socket import SocketGone
from backend.stores.database import Database
from backend.telemetry import Metrics
from backend.tests.factories import TenantFactory
from backend.tests.fake_speech import Studio
from backend.tests.fakes import Step, calls, says, waits
from backend.tests.services.interviewing import ANSWERS, default_agents
from backend.tests.services.interviewing import hears as understands
from backend.tests.services.one_server import OneServer, one_server
from backend.tests.services.using_tools import Counter
from backend.tests.services.using_tools import call as tool_call
from backend.tests.services.voice.talking import TALKS, Person, call

COUNTS: dict[str, Any] = {
    "configuration": {"voice_enabled": True, "tools_enabled": True},
    "capabilities": {"tools": [{"kind": "builtin", "name": "current_time"}]},
}


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


@pytest.fixture
async def server(database: Database) -> AsyncGenerator[OneServer]:
    async with one_server(database) as opened:
        yield opened


@pytest.fixture
def counter() -> Counter:
    made = Counter()
    made.meeting = asyncio.Barrier(2)  # it is not done before the test says so
    return made


@pytest.fixture
async def working(database: Database, counter: Counter) -> AsyncGenerator[OneServer]:
    async with one_server(database, tools=[counter.granted]) as server:
        yield server


async def test_what_is_said_before_a_tool_is_heard_before_it_has_answered(
    working: OneServer, database: Database, caller: Caller, counter: Counter
) -> None:
    agent = await working.agent(caller, **TALKS | COUNTS)
    working.model.then(calls(tool_call(), text="One moment, I am looking that up."), says("It is one."))
    async with call(working, database, caller, agent=agent) as talk:
        await talk.says("Count, please.")
        await talk.person.is_told("audio.start")
        assert counter.meeting is not None
        await counter.meeting.wait()
        done = await talk.person.is_told("message.completed")
        assert done.data["response"] == "One moment, I am looking that up.\n\nIt is one."


async def test_a_message_is_stored_when_the_person_goes_while_a_tool_of_the_turn_before_still_works(
    working: OneServer, database: Database, caller: Caller, counter: Counter
) -> None:
    agent = await working.agent(caller, **TALKS | COUNTS)
    working.model.then(calls(tool_call()), says("It is one."))
    async with call(working, database, caller, agent=agent) as talk:
        await talk.says("Count, please.")
        thread = UUID((await talk.person.is_told("run.started")).data["thread_id"])
        await talk.person.is_told("tool.call")
        await talk.says("Oh, and call my sister.")
        await talk.person.is_told("transcript.final", lambda told: "sister" in told.text)
        await asyncio.sleep(0.05)
        talk.person.goes()
        await asyncio.sleep(0.05)
        assert counter.meeting is not None
        await counter.meeting.wait()
        with pytest.raises(SocketGone):
            await talk.over()
        said = [content for role, content, _ in await talk.messages(thread) if role == "user"]
    assert said == ["Count, please.", "Oh, and call my sister."]


async def test_a_question_that_nobody_heard_was_not_asked(
    server: OneServer, database: Database, caller: Caller
) -> None:
    intake, _ = await default_agents(server, caller)
    session = await server.sessions.create(caller, SessionCreate())
    never = asyncio.Event()
    server.model.then(understands(answers=ANSWERS), waits(never, after="You wish to sleep. Is that right?"))
    async with call(server, database, caller, agent=intake, session=session.id) as talk:
        await talk.says("I want to sleep through the night, calmly, by the sea.")
        await talk.person.is_told("run.started")
        async with asyncio.timeout(30):
            while len(server.model.requests) < 2:  # noqa: ASYNC110 — the list says so
                await asyncio.sleep(0.01)
        talk.person.interrupts()
        await talk.person.is_told("message.completed")
        server.model.then(understands(confirms=True), says("You wish to sleep. Is that right?"))
        await talk.says("Yes, and please go on.")
        await talk.person.is_told("message.completed", lambda told: told.turn == 2)
    found = await server.sessions.get(caller, session.id)
    assert found.stage == "confirmation"


WISHES = "You wish to sleep. "
LONG_WISHES = "You wish " + "to sleep through the night, " * 20 + "calmly, and by the sea. "
LONG_QUESTION = "Is that right, or is there " + "anything else, however small it may seem to you, " * 12 + "to change?"


@pytest.mark.parametrize(
    ("answer", "stage"),
    [
        (says(LONG_WISHES + "Is that right?"), "confirmation"),
        (says(WISHES + LONG_QUESTION), "complete"),
        (waits(asyncio.Event(), before=WISHES + LONG_QUESTION + " "), "confirmation"),
    ],
    ids=["in what is read back", "in the question", "while it is written"],
)
async def test_what_is_read_back_counts_when_its_question_was_heard(
    server: OneServer, database: Database, caller: Caller, answer: Step, stage: str
) -> None:
    intake, _ = await default_agents(server, caller)
    session = await server.sessions.create(caller, SessionCreate())
    server.model.then(understands(answers=ANSWERS), answer)
    async with call(server, database, caller, agent=intake, session=session.id) as talk:
        await talk.says("I want to sleep through the night, calmly, by the sea.")
        await talk.person.hears_ms(300)
        talk.person.interrupts()
        await talk.person.is_told("message.completed")
        server.model.then(understands(confirms=True), says("Well."))

        await talk.says("Yes, and please go on.")

        await talk.person.is_told("message.completed", lambda told: told.turn == 2)
    found = await server.sessions.get(caller, session.id)
    assert found.stage == stage


async def test_an_answer_that_could_not_be_stored_is_told(database: Database) -> None:
    studio, person, run = Studio(database, None), Person(), LiveRun(uuid4(), uuid4(), uuid4())
    chosen = studio.speech.chosen(VoiceSettings(voice_id="calm-female"))
    mouth = Mouth(studio.speech, uuid4(), chosen, person, Metrics())

    async def begin(hearing: Hearing) -> LiveRun:
        run.hearing = hearing
        return run

    turn = SpokenTurn(1, mouth, Heard(None, 0.0), begin)
    running = asyncio.create_task(turn.run())
    await asyncio.sleep(0)
    run.fail(RunStopped("Another server took this turn over while this one was away."))
    async with asyncio.timeout(30):
        await running
    assert (await person.is_told("error")).detail.startswith("Another server")
