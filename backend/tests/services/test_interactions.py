"""A turn's whole life: what is stored when, what the model sees, and who is refused with nothing stored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from backend.errors import (
    AgentArchived,
    AgentInactive,
    AgentNotConversational,
    AgentNotFound,
    ModelFailed,
    ModelTimeout,
    ModelUnavailable,
    NumenError,
    ThreadBusy,
    ThreadNotFound,
)
from backend.models.agent_requests import AgentUpdateRequest
from backend.models.run import ChatReply
from backend.models.tenant import Caller
from backend.models.thread import ThreadUpdate
from backend.ports import ModelRequest
from backend.stores.database import Database
from backend.tests.factories import TenantFactory, make_user
from backend.tests.fair_time import fair_timeout
from backend.tests.fakes import FixedMemory, ScriptedModel, fails, says, waits
from backend.tests.services.one_server import OneServer, all_events, answered, one_server, rows, text_of, thread_of

if TYPE_CHECKING:
    from asyncpg import Connection

STEPS: dict[str, Any] = {"steps": [{"kind": "prompt", "id": "draft", "prompt": "Write."}]}


@pytest.fixture
async def server(database: Database) -> AsyncGenerator[OneServer]:
    async with one_server(database) as opened:
        yield opened


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


def told(request: ModelRequest) -> list[tuple[str, str]]:
    """What the model was told after the system prompt."""
    assert request.messages[0].role == "system"
    return [(one.role, one.content) for one in request.messages[1:]]


# --- one turn ---


async def test_the_message_is_committed_before_the_model_is_asked(
    server: OneServer, caller: Caller, owner: Connection
) -> None:
    seen: list[tuple[str, str]] = []

    async def look(request: ModelRequest) -> AsyncGenerator[str]:
        found = await owner.fetch("SELECT role, content FROM thread_messages")
        seen.extend((row["role"], row["content"]) for row in found)
        yield "Hi"

    server.model.then(look)
    await server.say(caller, await server.agent(caller), "Hello")
    assert seen == [("user", "Hello")]


async def test_a_turn_leaves_two_messages_and_counts_them(server: OneServer, caller: Caller) -> None:
    agent = await server.agent(caller)
    server.model.then(says("Good ", "evening"))
    reply = await server.say(caller, agent, "Hello")
    assert (reply.response, reply.agent_id) == ("Good evening", agent)
    question, answer = await server.messages(caller, reply.thread_id)
    assert [(one.role, one.content, one.status, one.position) for one in (question, answer)] == [
        ("user", "Hello", "complete", 1),
        ("assistant", "Good evening", "complete", 2),
    ]
    assert answer.id == reply.message_id
    assert answer.metadata == reply.metadata.model_dump(mode="json")
    thread = await server.threads.get(caller, reply.thread_id)
    assert (thread.message_count, thread.user_id) == (2, caller.user_id)
    assert thread.last_message_at is not None
    assert abs(thread.last_message_at - answer.created_at) < timedelta(seconds=1)
    record = await server.agents.record(caller, agent)
    assert record.interaction_count == 1
    assert record.last_interaction_at is not None
    run = await server.runs.get(caller, reply.metadata.run_id)
    assert (run.status, run.text, run.error) == ("completed", "Good evening", None)


async def test_the_reply_says_how_it_came_to_be(server: OneServer, caller: Caller) -> None:
    agent = await server.agent(caller, configuration={"llm_model": "gpt-4", "memory_enabled": False})
    metadata = (await server.say(caller, agent, "Hello")).metadata
    assert (metadata.model, metadata.model_asked, metadata.provider) == ("gpt-6-luna", "gpt-4", "openai")
    assert (metadata.usage.input_tokens, metadata.usage.output_tokens) == (2, len("Answer 1"))
    assert (metadata.message_count, metadata.agent_version, metadata.memory) == (2, "1.0.0", "off")


async def test_the_same_turn_told_piece_by_piece(server: OneServer, caller: Caller) -> None:
    server.model.then(says("Good ", "evening"))
    run = await server.start(caller, await server.agent(caller), "Hello")
    events = await all_events(run)
    assert [event.type for event in events if event.type != "message.delta"] == [
        "run.started", "memory.recalled", "message.completed",
    ]  # fmt: skip
    assert text_of(events) == "Good evening"
    assert events[-1].data["response"] == "Good evening"
    reply = ChatReply.model_validate(events[-1].data)
    assert reply == await run.reply()
    assert events[0].data["thread_id"] == str(reply.thread_id)


async def test_memories_reach_the_prompt_and_are_told_of(database: Database, caller: Caller) -> None:
    memory = FixedMemory("likes comets", state="degraded")
    async with one_server(database, memory=memory) as server:
        run = await server.start(caller, await server.agent(caller), "Hello")
        recalled = (await all_events(run))[1]
        assert (recalled.type, recalled.data["memory"]) == ("memory.recalled", "degraded")
        assert "likes comets" in server.model.requests[0].messages[0].content
        assert (await answered(run)).metadata.memory_confidence == 0.5
        assert (memory.asked[0].query, memory.asked[0].user_id) == ("Hello", caller.user_id)
        await server.say(caller, await server.agent(caller, configuration={"memory_enabled": False}), "Hello")
    assert len(memory.asked) == 1


async def test_a_changed_contract_counts_from_the_next_turn_on(server: OneServer, caller: Caller) -> None:
    agent = await server.agent(caller)
    first = await server.say(caller, agent, "Hello")
    change = AgentUpdateRequest.model_validate({"identity": {"mission": "find lost comets"}})
    await server.agents.update(caller, agent, change)
    second = await server.say(caller, agent, "Hello", first.thread_id)
    assert (first.metadata.agent_version, second.metadata.agent_version) == ("1.0.0", "1.1.0")
    prompts = [request.messages[0].content for request in server.model.requests]
    assert ["find lost comets" in prompt for prompt in prompts] == [False, True]


# --- the conversation ---


async def test_what_leaves_the_window_is_summarised_and_stays_in_the_prompt(server: OneServer, caller: Caller) -> None:
    agent = await server.agent(caller, configuration={"thread_window": 5})
    thread = None
    for number in range(1, 7):
        thread = (await server.say(caller, agent, f"Question {number}", thread)).thread_id
    assert thread is not None
    last = server.model.requests[-1]
    assert told(last) == [
        ("user", "Question 4"), ("assistant", "Answer 4"), ("user", "Question 5"), ("assistant", "Answer 5"),
        ("user", "Question 6"),
    ]  # fmt: skip
    summary = (await server.threads.get(caller, thread)).context_summary
    assert summary.splitlines() == [
        line for number in (1, 2, 3) for line in (f"Person: Question {number}", f"Agent: Answer {number}")
    ]
    assert all(json.dumps(line) in last.messages[0].content for line in summary.splitlines())
    assert all(len(told(request)) <= 5 for request in server.model.requests)


async def test_turns_at_once_are_served_one_after_the_other(server: OneServer, caller: Caller) -> None:
    agent = await server.agent(caller)
    thread = (await server.threads.create_thread(caller, agent)).id
    replies = await asyncio.gather(*(server.say(caller, agent, f"Question {number}", thread) for number in range(6)))
    said = [(one.role, one.content) for one in await server.messages(caller, thread)]
    assert said == [
        pair for number in range(6)
        for pair in (("user", f"Question {number}"), ("assistant", f"Answer {number + 1}"))
    ]  # fmt: skip
    assert server.model.most_at_once == 1
    assert told(server.model.requests[-1]) == [*said[:-2], ("user", "Question 5")]
    assert [reply.metadata.message_count for reply in replies] == [2, 4, 6, 8, 10, 12]


async def test_two_processes_serve_one_thread_one_turn_after_the_other(database: Database, caller: Caller) -> None:
    model = ScriptedModel()
    async with one_server(database, model) as one, one_server(database, model) as other:
        agent = await one.agent(caller)
        thread = (await one.threads.create_thread(caller, agent)).id
        both = [(one, "one"), (other, "other")] * 3
        await asyncio.gather(*(server.say(caller, agent, f"From {name}", thread) for server, name in both))
        said = await one.messages(caller, thread)
    assert model.most_at_once == 1
    assert [message.role for message in said] == ["user", "assistant"] * 6
    for request in model.requests:  # each was told everything that was said before
        assert len(told(request)) == 2 * model.requests.index(request) + 1


async def test_nobody_waits_for_ever(database: Database, caller: Caller) -> None:
    never, model = asyncio.Event(), ScriptedModel()
    model.then(waits(never))
    async with one_server(database, model, patience=0.5) as one, one_server(database, model, patience=0.5) as other:
        agent = await one.agent(caller)
        thread = (await one.threads.create_thread(caller, agent)).id
        await one.start(caller, agent, "First", thread)
        for server in (one, other):
            with pytest.raises(ThreadBusy):
                await server.say(caller, agent, "Second", thread)
        assert [message.content for message in await one.messages(caller, thread)] == ["First"]
        stranger = await make_user(database, caller.tenant_id)
        async with fair_timeout(0.4):  # and whoever has no business there learns nothing of the queue
            with pytest.raises(ThreadNotFound):
                await one.say(stranger, agent, "Third", thread)


async def test_an_archived_thread_is_followed_by_a_new_one(server: OneServer, caller: Caller) -> None:
    agent = await server.agent(caller)
    old = (await server.say(caller, agent, "Hello")).thread_id
    await server.threads.update(caller, old, ThreadUpdate(status="archived"))
    reply = await server.say(caller, agent, "Hello again", old)
    assert reply.thread_id != old
    assert told(server.model.requests[-1]) == [("user", "Hello again")]
    assert len(await server.messages(caller, old)) == 2


# --- refusals ---


async def test_other_peoples_threads_are_no_threads(
    server: OneServer, caller: Caller, tenant: TenantFactory, database: Database, owner: Connection
) -> None:
    agent, another = await server.agent(caller), await server.agent(caller)
    thread = (await server.threads.create_thread(caller, agent)).id
    colleague, stranger = await make_user(database, caller.tenant_id), await tenant()
    theirs = await server.agent(stranger)
    attempts = [
        (colleague, agent, thread),
        (caller, another, thread),
        (stranger, theirs, thread),
        (caller, agent, uuid4()),
    ]
    for who, whose, which in attempts:
        with pytest.raises(ThreadNotFound):
            await server.say(who, whose, "Hello", which)
    for which in (None, thread):
        with pytest.raises(AgentNotFound):
            await server.say(stranger, agent, "Hello", which)
    with pytest.raises(AgentNotFound):
        await server.say(caller, uuid4(), "Hello")
    assert await rows(owner, "threads", "thread_messages", "runs") == [1, 0, 0]
    assert server.model.requests == []


@pytest.mark.parametrize(
    ("parts", "status", "error"),
    [
        ({}, "archived", AgentArchived),
        ({}, "inactive", AgentInactive),
        ({"type": "workflow", "workflow": STEPS}, "active", AgentNotConversational),
        ({"type": "autonomous"}, "active", AgentNotConversational),
    ],
)
@pytest.mark.parametrize("given", ["no thread", "a thread", "an archived thread"])
async def test_agents_that_do_not_chat_store_nothing(
    given: str,
    parts: dict[str, Any],
    status: str,
    error: type[NumenError],
    server: OneServer,
    caller: Caller,
    owner: Connection,
) -> None:
    agent = await server.agent(caller, **parts)
    thread = None if given == "no thread" else (await server.threads.create_thread(caller, agent)).id
    if thread and given == "an archived thread":
        await server.threads.update(caller, thread, ThreadUpdate(status="archived"))
    await server.agents.update(caller, agent, AgentUpdateRequest.model_validate({"status": status}))
    with pytest.raises(error):
        await server.say(caller, agent, "Hello", thread, uuid4())
    assert await rows(owner, "threads", "thread_messages", "runs") == [int(thread is not None), 0, 0]


# --- a model that fails ---

FAULTS = [
    ModelUnavailable("away"), ModelTimeout("slow", retry_after=3), ModelFailed("rubbish"), KeyError("unexpected"),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("pieces", [(), ("Half an ans",)])
async def test_a_failed_turn_is_kept_as_failed_and_its_retry_replaces_it(
    pieces: tuple[str, ...], fault: Exception, server: OneServer, caller: Caller, owner: Connection
) -> None:
    agent, operation = await server.agent(caller), uuid4()
    server.model.then(fails(fault, *pieces), says("Whole"))
    run = await server.start(caller, agent, "Hello", None, operation)
    events = await all_events(run)
    with pytest.raises(type(fault) if isinstance(fault, NumenError) else NumenError) as failed:
        await run.reply()
    assert events[-1].type == "run.failed"
    assert (events[-1].data["code"], events[-1].data["detail"]) == (failed.value.code, failed.value.detail)
    assert "unexpected" not in failed.value.detail
    thread = thread_of(run)
    question, answer = await server.messages(caller, thread)
    assert (question.status, answer.status, answer.content) == ("complete", "failed", "".join(pieces))
    assert answer.metadata["error"]["code"] == failed.value.code
    assert (await server.runs.get(caller, run.run_id)).status == "failed"
    assert (await server.agents.record(caller, agent)).interaction_count == 0

    reply = await server.say(caller, agent, "Hello", None, operation)
    assert (reply.response, reply.thread_id, reply.metadata.message_count) == ("Whole", thread, 2)
    assert [(one.id, one.content, one.status) for one in await server.messages(caller, thread)] == [
        (question.id, "Hello", "complete"), (answer.id, "Whole", "complete"),
    ]  # fmt: skip
    assert await rows(owner, "threads", "thread_messages", "runs") == [1, 2, 1]
    assert (await server.threads.get(caller, thread)).message_count == 2
    assert told(server.model.requests[-1]) == [("user", "Hello")]
