"""Who may talk and for how long, and what happens when somebody whom a conversation needs is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID, uuid4

import pytest

from backend.errors import (
    AgentArchived,
    AgentNotConversational,
    AgentNotFound,
    ConversationIdle,
    ConversationOver,
    Invalid,
    NumenError,
    SessionNotFound,
    ShuttingDown,
    SpeechFailed,
    SpeechUnavailable,
    ThreadNotFound,
    TooManyConversations,
)
from backend.models.session import SessionCreate
from backend.models.tenant import Caller
from backend.models.voice_frames import Start
from backend.ports import SpeechBegan
from backend.services.voice.bad_frame import BadFrame
from backend.services.voice.voice_session import Limits
from backend.services.voice.voice_socket import SocketGone
from backend.stores.database import Database
from backend.tests.factories import TenantFactory
from backend.tests.fake_speech import Studio, spoken
from backend.tests.fakes import calls, says, waits
from backend.tests.fixtures_api import eventually
from backend.tests.services.interviewing import ANSWERS, default_agents
from backend.tests.services.interviewing import hears as understands
from backend.tests.services.one_server import OneServer, one_server
from backend.tests.services.using_tools import Counter
from backend.tests.services.using_tools import call as tool_call
from backend.tests.services.voice.talking import TALKS, Person, call, voice_service

FRAME = bytes(640)
LONG = " ".join(f"This is sentence number {number} of a rather long answer about the sea." for number in range(12))
STEPS = {"steps": [{"kind": "prompt", "id": "draft", "prompt": "Write."}]}


@pytest.fixture
async def server(database: Database) -> AsyncGenerator[OneServer]:
    async with one_server(database) as opened:
        yield opened


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


async def refused(server: OneServer, studio: Studio, caller: Caller, agent: UUID, thread: UUID | None = None) -> None:
    person = Person()
    await asyncio.wait_for(voice_service(server, studio).converse(caller, agent, thread, person), 30)


# --- who may talk ---


async def test_strangers_agents_and_threads_are_not_there(
    server: OneServer, database: Database, caller: Caller, tenant: TenantFactory
) -> None:
    stranger, studio = await tenant(), Studio(database, None)
    agent, theirs = await server.agent(caller, **TALKS), await server.agent(stranger, **TALKS)
    reply = await server.say(stranger, theirs, "Hello")
    mine = await server.say(caller, await server.agent(caller, name="Another"), "Hello")

    for unknown in (uuid4(), theirs):
        with pytest.raises(AgentNotFound):
            await refused(server, studio, caller, unknown)
    for thread in (uuid4(), reply.thread_id, mine.thread_id):
        with pytest.raises(ThreadNotFound):
            await refused(server, studio, caller, agent, thread)
    assert studio.ears.listenings == []


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ({}, Invalid),
        ({"type": "workflow", "workflow": STEPS}, AgentNotConversational),
    ],
)
async def test_agents_that_do_not_talk(
    server: OneServer, database: Database, caller: Caller, parts: dict[str, object], error: type[NumenError]
) -> None:
    agent = await server.agent(caller, **parts)
    with pytest.raises(error):
        await refused(server, Studio(database, None), caller, agent)


async def test_an_archived_agent_does_not_talk(server: OneServer, database: Database, caller: Caller) -> None:
    agent = await server.agent(caller, **TALKS)
    await server.agents.archive(caller, agent)
    with pytest.raises(AgentArchived):
        await refused(server, Studio(database, None), caller, agent)


async def test_who_speaks_is_prepared_before_it_is_ready(server: OneServer, database: Database, caller: Caller) -> None:
    studio = Studio(database, None)
    studio.eleven.away = SpeechUnavailable("not now")
    async with call(server, database, caller, studio=studio) as talk:
        assert talk.person.kinds == ["ready"]
        assert studio.eleven.prepared == 1


async def test_a_thread_is_gone_on_with(server: OneServer, database: Database, caller: Caller) -> None:
    agent = await server.agent(caller, **TALKS)
    before = await server.say(caller, agent, "We have met.")
    async with call(server, database, caller, agent=agent, thread=before.thread_id) as talk:
        talk.person.types("And again.")
        await talk.person.is_told("message.completed")

        assert [text for _, text, _ in await talk.messages(before.thread_id)][::2] == ["We have met.", "And again."]


async def test_without_anybody_to_speak_there_is_no_conversation(
    server: OneServer, database: Database, caller: Caller
) -> None:
    agent = await server.agent(caller, **TALKS)
    with pytest.raises(SpeechUnavailable, match="ELEVENLABS_API_KEY"):
        await refused(server, Studio(database, None, keys=["deepgram"]), caller, agent)


async def test_so_many_at_once_and_no_more(server: OneServer, database: Database, caller: Caller) -> None:
    studio, agent = Studio(database, None), await server.agent(caller, **TALKS)
    service = voice_service(server, studio, most=1)
    async with call(server, database, caller, agent=agent, studio=studio, service=service):
        with pytest.raises(TooManyConversations):
            await asyncio.wait_for(service.converse(caller, agent, None, Person()), 30)
        assert server.metrics.registry.get_sample_value("numen_voice_sessions") == 1
    async with call(server, database, caller, agent=agent, studio=studio, service=service):
        pass
    assert server.metrics.registry.get_sample_value("numen_voice_sessions") == 0


# --- how it ends ---


async def test_who_says_nothing_is_hung_up_on(server: OneServer, database: Database, caller: Caller) -> None:
    limits = Limits(idle_seconds=0.01)
    async with call(server, database, caller, limits=limits) as talk:
        talk.person.reports = False
        with pytest.raises(ConversationIdle):
            await talk.over()


async def test_a_conversation_has_an_end(server: OneServer, database: Database, caller: Caller) -> None:
    server.model.then(says(LONG))
    async with call(server, database, caller, limits=Limits(session_seconds=0.4)) as talk:
        talk.person.types("Tell me everything.")
        with pytest.raises(ConversationOver):
            await talk.over()
        assert (await talk.messages())[1][2] == "partial"


async def test_a_server_that_stops_keeps_what_was_heard(server: OneServer, database: Database, caller: Caller) -> None:
    server.model.then(says(LONG))
    async with call(server, database, caller) as talk:
        talk.person.types("Tell me everything.")
        await talk.person.hears_ms(200)

        talk.service.close()

        with pytest.raises(ShuttingDown):
            await talk.over()
        text, status = (await talk.messages())[1][1:]
        assert status == "partial"
        assert 0 < len(text) < len(LONG)
    await server.registry.close(0.1)
    with pytest.raises(ShuttingDown):
        await talk.service.converse(caller, await server.agent(caller, **TALKS), None, Person())


async def test_to_start_twice_is_a_mistake(server: OneServer, database: Database, caller: Caller) -> None:
    async with call(server, database, caller) as talk:
        talk.person.sends(Start(type="start"))
        with pytest.raises(BadFrame) as refusal:
            await talk.over()
        assert refusal.value.close_code == 1008


async def test_nothing_is_left_of_a_conversation(server: OneServer, database: Database, caller: Caller) -> None:
    studio, agent = Studio(database, None), await server.agent(caller, **TALKS)
    before = asyncio.all_tasks()
    for _ in range(20):
        server.model.then(says(LONG))
        async with call(server, database, caller, agent=agent, studio=studio) as talk:
            await talk.says("Tell me everything.")
            await talk.person.is_told("audio.start")
            await talk.hears(SpeechBegan(1.0))
        with pytest.raises(SocketGone):
            await talk.over()
    assert studio.eleven.open == 0
    assert studio.ears.open == 0
    # A query that was going on when its run was stopped is given back by the database in its own time.
    await eventually(lambda: asyncio.all_tasks() <= before)


# --- when somebody is away ---


async def test_a_voice_that_fails_leaves_the_text(server: OneServer, database: Database, caller: Caller) -> None:
    server.model.then(says("The sea is large. It is BROKEN here. And it goes on."), says("Later."))
    studio = Studio(database, None)
    studio.eleven.fails_at["BROKEN"] = SpeechFailed("ElevenLabs has failed.")
    async with call(server, database, caller, studio=studio) as talk:
        talk.person.types("Tell me about the sea.")

        error = await talk.person.is_told("error")
        done = await talk.person.is_told("message.completed")

        assert (error.code, error.turn) == ("speech-failed", 1)
        assert done.data["response"] == "The sea is large. It is BROKEN here. And it goes on."
        assert (await talk.messages())[1][2] == "complete"
        talk.person.types("And then?")
        await talk.person.is_told("message.completed")
        assert talk.person.heard(2) == spoken("Later.")


async def test_a_voice_that_fails_while_the_model_still_writes(
    server: OneServer, database: Database, caller: Caller
) -> None:
    go_on = asyncio.Event()
    server.model.then(waits(go_on, before="It is BROKEN here. And ", after="it goes on."))
    studio = Studio(database, None)
    studio.eleven.fails_at["BROKEN"] = SpeechUnavailable("ElevenLabs takes no more requests.", retry_after=3)
    async with call(server, database, caller, studio=studio) as talk:
        talk.person.types("Tell me about the sea.")
        await talk.person.is_told("error")

        go_on.set()

        done = await talk.person.is_told("message.completed")
        assert done.data["response"] == "It is BROKEN here. And it goes on."
        assert done.data["metadata"]["voice"]["interrupted"] is False


async def test_a_turn_that_waits_for_a_person_is_told_of(database: Database, caller: Caller) -> None:
    counter = Counter(approval="always")
    async with one_server(database, tools=[counter.granted]) as server:
        agent = await server.agent(
            caller,
            **TALKS
            | {
                "configuration": {"voice_enabled": True, "tools_enabled": True},
                "capabilities": {"tools": [{"kind": "builtin", "name": "current_time"}]},
            },
        )
        server.model.then(calls(tool_call(), text="I shall count."))
        async with call(server, database, caller, agent=agent) as talk:
            talk.person.types("Count.")
            await talk.person.is_told("run.waiting")
            await talk.person.is_told("turn.metrics")
            assert talk.person.heard(1) == spoken("I shall count.")

            talk.person.types("Well?")

            assert (await talk.person.is_told("error")).code == "approval-pending"


# --- interviews ---


async def test_an_interview_is_talked_through(server: OneServer, database: Database, caller: Caller) -> None:
    intake, _ = await default_agents(server, caller)
    session = await server.sessions.create(caller, SessionCreate())
    server.model.then(understands(answers=ANSWERS), says("You wish to sleep through the night. Is that right?"))
    async with call(server, database, caller, agent=intake, session=session.id) as talk:
        assert talk.person.told[0].thread_id == session.intake_thread_id  # type: ignore[union-attr]
        await talk.says("I want to sleep through the night, calmly, by the sea.")
        await talk.person.is_told("message.completed")
        server.model.then(understands(confirms=True), says("Then it is settled."))
        await talk.says("Yes, that is right.")
        await talk.person.is_told("message.completed", lambda told: told.turn == 2)

    found = await server.sessions.get(caller, session.id)
    assert found.stage == "complete"
    assert found.plan is not None
    assert found.response == "Then it is settled."


async def test_a_session_of_another_agent_is_not_there(
    server: OneServer, database: Database, caller: Caller, tenant: TenantFactory
) -> None:
    intake, therapy = await default_agents(server, caller)
    session = await server.sessions.create(caller, SessionCreate())
    service = voice_service(server, Studio(database, None))
    stranger = await tenant()

    with pytest.raises(SessionNotFound):
        await service.converse(caller, therapy, None, Person(), session_id=session.id)
    with pytest.raises(SessionNotFound):
        await service.converse(stranger, intake, None, Person(), session_id=session.id)
    with pytest.raises(Invalid):
        await service.converse(caller, intake, session.intake_thread_id, Person(), session_id=session.id)
