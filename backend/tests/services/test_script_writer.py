"""Scripts of sessions: written once, whoever asks how often and whatever is lost meanwhile; and remembered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from backend.errors import AgentArchived, ModelTimeout, SessionState
from backend.models.agent_requests import AgentUpdateRequest
from backend.models.events import RESUMED, Place
from backend.models.memory import Memory, MemoryFilter
from backend.models.run import ChatRequest, Run
from backend.models.session import Pause, SessionCreate, SpokenPart
from backend.models.tenant import Caller
from backend.ports import WritePart
from backend.stores.database import Database
from backend.stores.runs import RunNature
from backend.tests.factories import TenantFactory, make_user
from backend.tests.fakes import ScriptedModel, fails, says, waits
from backend.tests.services.interviewing import (
    ANSWERS,
    PARTS,
    REFLECTION,
    SCRIPT,
    TEXTS,
    consented,
    default_agents,
    ended,
    interviewed,
    say,
    tutors,
)
from backend.tests.services.one_server import OneServer, all_events, one_server, text_of

if TYPE_CHECKING:
    from asyncpg import Connection

NEVER = asyncio.Event()


@pytest.fixture
async def server(database: Database) -> AsyncGenerator[OneServer]:
    async with one_server(database) as opened:
        yield opened


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


async def written(server: OneServer, caller: Caller, session: UUID) -> Run:
    """Have the script written to its end."""
    run = await server.sessions.write(caller, session)
    return await ended(server, caller, run.id)


async def remembered(database: Database, caller: Caller, agent: UUID) -> list[Memory]:
    async with database.tenant(caller.tenant_id) as tx:
        which = MemoryFilter(agent_id=agent, kind="reflection")
        return list((await tx.memories.page(which, None, None, 10, 0)).items)


def asked_for(server: OneServer) -> list[str]:
    """The parts that the model was asked to write."""
    return [request.task.part.name for request in server.model.requests if isinstance(request.task, WritePart)]


async def until_asked(server: OneServer, part: str) -> None:
    async with asyncio.timeout(30):
        while part not in asked_for(server):  # noqa: ASYNC110 — what the model is asked, nobody else is told
            await asyncio.sleep(0.005)


# --- undisturbed ---


async def test_a_script_is_written_from_the_plan_and_kept(server: OneServer, caller: Caller) -> None:
    _, therapy = await default_agents(server, caller)
    session = await consented(server, caller)
    server.model.then(*SCRIPT, says(REFLECTION))
    run = await written(server, caller, session.id)
    assert (run.kind, run.status, run.agent_id, run.text) == ("script", "completed", therapy, "\n\n".join(TEXTS))
    after = await server.sessions.get(caller, session.id)
    assert (after.status, after.stage, after.therapy_run_id, after.error) == ("completed", "complete", run.id, None)
    script = await server.sessions.script(caller, session.id)
    assert script.complete
    assert script.parts[0] == SpokenPart(
        name="induction", text="Breathe in. And out.", pauses=[Pause(offset=11, seconds=4)]
    )
    assert [(part.name, part.text) for part in script.parts] == list(zip(PARTS, TEXTS, strict=True))
    lines = (await server.sessions.transcript(caller, session.id)).lines
    assert [(line.speaker, line.text) for line in lines[-4:]] == [("therapy", text) for text in TEXTS]
    assert [line.said_at for line in lines] == sorted(line.said_at for line in lines)
    task = server.model.requests[-2].task
    assert isinstance(task, WritePart)
    assert task.plan == ANSWERS | {"goals": tuple(ANSWERS["goals"])}
    plan, answer = await server.messages(caller, run.thread_id)
    assert plan.content == (
        "goals: sleep through the night\ntone: calm\nsession_type: sleep_hypnosis\n"
        "voice_id: calm-female\nnotes: the sea"
    )
    assert plan.metadata == {"session_id": str(session.id)}
    assert answer.content == run.text
    usage = answer.metadata["usage"]
    assert usage["output_tokens"] == len("Breathe in. [pause 4] And out.Down.You sleep.Wake up.") + len(REFLECTION)


async def test_its_events_tell_the_parts(server: OneServer, caller: Caller) -> None:
    await default_agents(server, caller)
    session = await consented(server, caller)
    server.model.then(*SCRIPT, says(REFLECTION))
    run = await server.sessions.write(caller, session.id)
    live = server.registry.get(run.id)
    assert live is not None
    events = await all_events(live)
    assert text_of(events) == "\n\n".join(TEXTS)
    told = [event.type for event in events if event.type != "message.delta"]
    assert told == [
        "run.started", "memory.recalled", *(["part.started", "part.completed"] * 4), "message.completed",
    ]  # fmt: skip
    assert [event.data["name"] for event in events if event.type == "part.started"] == [*PARTS]


async def test_both_agents_remember_the_person(server: OneServer, caller: Caller, database: Database) -> None:
    intake, therapy = await default_agents(server, caller)
    person = await make_user(database, caller.tenant_id)
    session = await consented(server, person)
    server.model.then(*SCRIPT, says(f" {REFLECTION}\n"))
    before = server.remembered
    run = await written(server, person, session.id)
    threads = {intake: session.intake_thread_id, therapy: run.thread_id}
    for agent, thread in threads.items():
        (memory,) = await remembered(database, caller, agent)
        assert (memory.text, memory.scope, memory.user_id) == (REFLECTION, "user", person.user_id)
        assert (memory.origin, memory.thread_id) == ("agent", thread)
        assert memory.source_message_id == run.assistant_message_id
    assert server.remembered == before + 1
    async with database.tenant(caller.tenant_id) as tx:
        assert await tx.memories.receipt(run.assistant_message_id, None) is not None


@pytest.mark.parametrize("forgetful", ["intake", "therapy"])
async def test_who_remembers_nothing_is_told_nothing(
    server: OneServer, caller: Caller, database: Database, forgetful: str
) -> None:
    intake, therapy = await default_agents(server, caller)
    session = await consented(server, caller)
    agent = intake if forgetful == "intake" else therapy
    off = AgentUpdateRequest.model_validate({"configuration": {"memory_enabled": False}})
    await server.agents.update(caller, agent, off)
    server.model.then(*SCRIPT, says(REFLECTION))
    await written(server, caller, session.id)
    assert await remembered(database, caller, intake) == []
    assert len(await remembered(database, caller, therapy)) == (forgetful == "intake")


async def test_another_field_runs_on_the_same_code(server: OneServer, caller: Caller) -> None:
    intake, therapy = await tutors(server, caller)
    session = await server.sessions.create(caller, SessionCreate(intake_agent_id=intake, therapy_agent_id=therapy))
    answers = {"goals": ["order food"], "level": "beginner", "focus": "speaking", "topics": ["food"], "notes": "slowly"}
    await say(server, caller, session, "All", "Right?", answers=answers)
    done = await say(server, caller, session, "Yes", "Thanks.", confirms=True)
    assert done.plan == answers
    await server.sessions.consent(caller, session.id, accepted=True)
    parts = ("warm_up", "new_material", "practice", "review")
    server.model.then(*(says(f"Part {name}.") for name in parts), says(REFLECTION))
    run = await written(server, caller, session.id)
    assert run.text == "\n\n".join(f"Part {name}." for name in parts)
    script = await server.sessions.script(caller, session.id)
    assert [part.name for part in script.parts] == [*parts]


# --- when it may be written ---


async def test_nothing_is_written_without_consent(server: OneServer, caller: Caller) -> None:
    await default_agents(server, caller)
    session = await interviewed(server, caller)
    with pytest.raises(SessionState, match="before the person has agreed"):
        await server.sessions.write(caller, session.id)
    with pytest.raises(SessionState, match="Nothing has been written yet"):
        await server.sessions.script(caller, session.id)
    assert (await server.sessions.get(caller, session.id)).status == "intake"
    assert asked_for(server) == []


async def test_asked_again_it_is_the_same_run(server: OneServer, caller: Caller) -> None:
    await default_agents(server, caller)
    session = await consented(server, caller)
    go = asyncio.Event()
    server.model.then(*SCRIPT[:2], waits(go, "You ", "sleep."), SCRIPT[3], says(REFLECTION))
    runs = await asyncio.gather(*(server.sessions.write(caller, session.id) for _ in range(5)))
    assert len({run.id for run in runs}) == 1
    await until_asked(server, "therapy")
    assert (await server.sessions.get(caller, session.id)).status == "therapy"
    half = await server.sessions.script(caller, session.id)
    assert ([part.text for part in half.parts], half.complete) == (TEXTS[:2], False)
    with pytest.raises(SessionState, match="status is therapy"):
        await server.sessions.say(caller, session.id, "Wait")
    with pytest.raises(SessionState, match="status is therapy"):
        await server.sessions.consent(caller, session.id, accepted=False)
    go.set()
    await ended(server, caller, runs[0].id)
    later = await server.sessions.write(caller, session.id)
    assert (later.id, later.status) == (runs[0].id, "completed")
    assert asked_for(server) == [*PARTS]
    with pytest.raises(SessionState, match="status is completed"):
        await server.sessions.consent(caller, session.id, accepted=False)
    with pytest.raises(SessionState, match="status is completed"):
        await server.sessions.say(caller, session.id, "Once more")


async def test_an_archived_agent_writes_nothing(server: OneServer, caller: Caller) -> None:
    _, therapy = await default_agents(server, caller)
    session = await consented(server, caller)
    await server.agents.archive(caller, therapy)
    with pytest.raises(AgentArchived):
        await server.sessions.write(caller, session.id)
    assert (await server.sessions.get(caller, session.id)).status == "intake"


# --- when it fails ---


async def test_a_run_that_failed_goes_on_with_the_part_that_it_failed_in(server: OneServer, caller: Caller) -> None:
    await default_agents(server, caller)
    session = await consented(server, caller)
    server.model.then(SCRIPT[0], SCRIPT[1], says("I'm sorry, but I can't help with that."))
    failed = await written(server, caller, session.id)
    assert failed.status == "failed"
    after = await server.sessions.get(caller, session.id)
    assert after.status == "failed"
    assert after.error is not None
    assert after.error["code"] == "model-failed"
    assert "refuses to write the part therapy" in after.error["detail"]
    half = await server.sessions.script(caller, session.id)
    assert ([part.name for part in half.parts], half.complete) == ([*PARTS[:2]], False)

    go = asyncio.Event()
    server.model.then(SCRIPT[2], waits(go, "Wake ", "up."), says(REFLECTION))
    run = await server.sessions.write(caller, session.id)
    assert run.id == failed.id
    live = server.registry.get(run.id)
    assert live is not None
    going_on = await server.sessions.get(caller, session.id)
    assert (going_on.status, going_on.error) == ("therapy", None)
    go.set()
    events = await all_events(live)
    assert text_of(events) == "\n\n".join(TEXTS)
    assert [event.data["name"] for event in events if event.type == "part.completed"] == [*PARTS]
    assert (await server.runs.get(caller, run.id)).text == "\n\n".join(TEXTS)
    assert (await server.sessions.get(caller, session.id)).status == "completed"
    assert asked_for(server) == [*PARTS[:3], *PARTS[2:]]
    assert (await server.sessions.script(caller, session.id)).complete


async def test_after_a_changed_contract_a_failed_script_is_begun_anew(server: OneServer, caller: Caller) -> None:
    _, therapy = await default_agents(server, caller)
    session = await consented(server, caller)
    server.model.then(SCRIPT[0], says("[pause]"))
    failed = await written(server, caller, session.id)
    parts = [{"name": "induction", "purpose": "Rest", "minutes": 1}, {"name": "end", "purpose": "Wake", "minutes": 1}]
    await server.agents.update(caller, therapy, AgentUpdateRequest.model_validate({"script": {"parts": parts}}))
    server.model.then(says("Rest."), says("Wake."), says(REFLECTION))
    run = await written(server, caller, session.id)
    assert (run.id != failed.id, run.status, run.text) == (True, "completed", "Rest.\n\nWake.")
    assert (await server.sessions.get(caller, session.id)).therapy_run_id == run.id


async def test_a_cancelled_script_is_begun_anew(server: OneServer, caller: Caller) -> None:
    await default_agents(server, caller)
    session = await consented(server, caller)
    server.model.then(SCRIPT[0], waits(NEVER, "Do"))
    run = await server.sessions.write(caller, session.id)
    await until_asked(server, "deepening")
    await server.runs.cancel(caller, run.id)
    after = await server.sessions.get(caller, session.id)
    assert after.status == "failed"
    assert after.error is not None
    assert after.error["code"] == "run-stopped"
    server.model.then(*SCRIPT, says(REFLECTION))
    again = await written(server, caller, session.id)
    assert (again.id != run.id, again.status) == (True, "completed")
    assert [part.text for part in (await server.sessions.script(caller, session.id)).parts] == TEXTS


async def test_a_refused_plan_leaves_nothing_of_what_was_written_from_it(server: OneServer, caller: Caller) -> None:
    await default_agents(server, caller)
    session = await consented(server, caller)
    server.model.then(SCRIPT[0], fails(ModelTimeout("slow")))
    failed = await written(server, caller, session.id)
    assert failed.status == "failed"
    back = await server.sessions.consent(caller, session.id, accepted=False)
    assert (back.status, back.stage, back.therapy_run_id, back.error) == ("intake", "confirmation", None, None)
    with pytest.raises(SessionState, match="Nothing has been written"):
        await server.sessions.script(caller, session.id)
    await say(server, caller, session, "Gentle", "Right?", answers={"tone": "gentle"})
    await say(server, caller, session, "Yes", "Thanks.", confirms=True)
    await server.sessions.consent(caller, session.id, accepted=True)
    server.model.then(*SCRIPT, says(REFLECTION))
    run = await written(server, caller, session.id)
    assert (run.id != failed.id, run.status) == (True, "completed")
    task = server.model.requests[-2].task
    assert isinstance(task, WritePart)
    assert task.plan["tone"] == "gentle"


async def test_no_script_is_written_from_a_plan_that_sounds_like_a_crisis(server: OneServer, caller: Caller) -> None:
    intake, _ = await default_agents(server, caller)
    await server.agents.update(caller, intake, AgentUpdateRequest.model_validate({"traits": {"safety": 10}}))
    session = await server.sessions.create(caller, SessionCreate())
    await say(server, caller, session, "All", "Right?", answers=ANSWERS | {"notes": "CRISIS"})
    await say(server, caller, session, "Yes", "Thanks.", confirms=True)
    await server.sessions.consent(caller, session.id, accepted=True)
    run = await written(server, caller, session.id)
    assert (run.status, run.text) == ("completed", "Help is there (suicide).")
    assert asked_for(server) == []
    after = await server.sessions.get(caller, session.id)
    assert after.status == "failed"
    assert after.error is not None
    assert after.error["code"] == "crisis"
    with pytest.raises(SessionState, match="crisis"):
        await server.sessions.write(caller, session.id)


# --- when a server is lost ---


@pytest.mark.parametrize("part", PARTS)
async def test_another_server_goes_on_with_the_part_that_was_being_written(
    server: OneServer, caller: Caller, database: Database, part: str
) -> None:
    intake, _ = await default_agents(server, caller)
    session = await consented(server, caller)
    number = PARTS.index(part)
    server.model.then(*SCRIPT[:number], waits(NEVER, "Half a "))
    run = await server.sessions.write(caller, session.id)
    await until_asked(server, part)
    await server.registry.close(0.1)
    assert (await server.sessions.get(caller, session.id)).status == "therapy"
    async with one_server(database, ScriptedModel(*SCRIPT[number:], says(REFLECTION))) as other:
        assert await other.driver.resume(caller.tenant_id, run.id)
        after = await ended(other, caller, run.id)
        assert (after.status, after.text) == ("completed", "\n\n".join(TEXTS))
        assert asked_for(other) == [*PARTS[number:]]
        events = [event async for event in await other.runs.events(caller, run.id, Place())]
        assert [event.type for event in events].count(RESUMED) == 1
        assert (await other.sessions.get(caller, session.id)).status == "completed"
        assert len(await remembered(database, caller, intake)) == 1


async def test_a_session_that_is_gone_ends_its_script(
    server: OneServer, caller: Caller, database: Database, owner: Connection
) -> None:
    intake, therapy = await default_agents(server, caller)
    session = await consented(server, caller)
    await owner.execute("DELETE FROM sessions WHERE id = $1", session.id)
    detail = {"session_id": str(session.id), "number": 1, "plan": [["tone", "calm"]]}
    live = await server.driver.start(
        caller, therapy, ChatRequest(message="tone: calm"), nature=RunNature("script", detail=detail)
    )
    run = await ended(server, caller, live.run_id)
    assert run.status == "failed"
    assert run.error is not None
    assert run.error["code"] == "session-not-found"
    assert await remembered(database, caller, intake) == []
