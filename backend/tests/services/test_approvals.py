"""Tool calls that wait until a person has agreed, or not, through restarts and beside other calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from backend.errors import ApprovalAnswered, ApprovalPending, CallNotFound, RunFinished
from backend.models.events import Place, ServerEvent
from backend.models.run import ApprovalAnswer, ChatReply, ChatRequest, Run
from backend.models.tenant import Caller
from backend.stores.database import Database
from backend.tests.factories import TenantFactory
from backend.tests.fakes import calls, says
from backend.tests.services.one_server import OneServer, all_events, one_server, text_of, thread_of
from backend.tests.services.using_tools import GRANTS, Counter, call, finished, told, waiting

if TYPE_CHECKING:
    from asyncpg import Connection


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def guarded() -> Counter:
    return Counter("guarded", "always")


@pytest.fixture
async def server(database: Database, counter: Counter, guarded: Counter) -> AsyncGenerator[OneServer]:
    async with one_server(database, tools=[counter.granted, guarded.granted]) as opened:
        yield opened


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


async def test_a_call_waits_for_a_person_and_goes_on(server: OneServer, caller: Caller, guarded: Counter) -> None:
    agent = await server.agent(caller, **GRANTS)
    server.model.then(calls(call("guarded"), call(), text="One moment."), says("Done."))
    run = await server.start(caller, agent, "Do it!")
    told_first = await all_events(run)
    held = await waiting(server, caller, run)
    (wanted,) = held.approvals
    assert (held.status, wanted.tool, wanted.arguments, guarded.calls) == ("waiting", "guarded", {"number": 1}, [])
    assert [event.type for event in told_first][-2:] == ["approval.required", "run.waiting"]
    thread = thread_of(run)
    with pytest.raises(ApprovalPending) as refused:
        await server.say(caller, agent, "Are you there?", thread)
    assert refused.value.context == {"run_id": str(run.run_id)}
    await server.runs.answer(caller, run.run_id, wanted.call_id, ApprovalAnswer(approved=True))
    done = await finished(server, caller, run.run_id)
    assert (done.status, done.text, len(guarded.calls)) == ("completed", "One moment.\n\nDone.", 1)
    assert guarded.calls[0][0] == wanted.call_id
    rest = [event async for event in await server.runs.events(caller, run.run_id, place_after(told_first))]
    assert text_of(told_first) + text_of(rest) == done.text
    assert [event.type for event in rest if event.type != "message.delta"] == [
        "run.resumed", "memory.recalled", "tool.call", "tool.result", "message.completed",
    ]  # fmt: skip
    assert (await server.say(caller, agent, "Are you there?", thread)).response
    with pytest.raises(RunFinished):
        await server.runs.answer(caller, run.run_id, wanted.call_id, ApprovalAnswer(approved=True))


def place_after(events: Sequence[ServerEvent]) -> Place:
    return Place.parse(events[-1].id)


async def test_a_refused_call_is_told_to_the_model(server: OneServer, caller: Caller, guarded: Counter) -> None:
    agent = await server.agent(caller, **GRANTS)
    server.model.then(calls(call("guarded")), says("Then not."))
    run = await server.start(caller, agent, "Do it!")
    (wanted,) = (await waiting(server, caller, run)).approvals
    await server.runs.answer(caller, run.run_id, wanted.call_id, ApprovalAnswer(approved=False, reason="Too risky"))
    done = await finished(server, caller, run.run_id)
    assert (done.text, guarded.calls) == ("Then not.", [])
    assert json.loads(told(server.model)[0].content) == {"refused": "A person refused this call. Too risky"}
    (message,) = [one for one in await server.messages(caller, done.thread_id) if one.role == "assistant"]
    assert [one["status"] for one in message.metadata["tools"]] == ["denied"]


async def test_two_calls_wait_until_both_are_answered(server: OneServer, caller: Caller, guarded: Counter) -> None:
    agent = await server.agent(caller, **GRANTS)
    server.model.then(calls(call("guarded"), call("guarded", '{"number": 2}')), says("Done."))
    run = await server.start(caller, agent, "Do it!")
    first, second = (await waiting(server, caller, run)).approvals
    half = await server.runs.answer(caller, run.run_id, second.call_id, ApprovalAnswer(approved=True))
    assert (half.status, [one.call_id for one in half.approvals]) == ("waiting", [first.call_id])
    with pytest.raises(ApprovalAnswered):
        await server.runs.answer(caller, run.run_id, second.call_id, ApprovalAnswer(approved=False))
    with pytest.raises(CallNotFound):
        await server.runs.answer(caller, run.run_id, uuid4(), ApprovalAnswer(approved=True))
    await server.runs.answer(caller, run.run_id, first.call_id, ApprovalAnswer(approved=True))
    assert (await finished(server, caller, run.run_id)).status == "completed"
    assert sorted(arguments["number"] for _, arguments in guarded.calls) == [1, 2]


async def test_an_answer_that_comes_before_the_run_has_paused_is_heard(
    server: OneServer, caller: Caller, guarded: Counter, counter: Counter
) -> None:
    agent = await server.agent(caller, **GRANTS)
    counter.meeting = asyncio.Barrier(2)
    server.model.then(calls(call("guarded"), call()), says("Done."))
    run = await server.start(caller, agent, "Do it!")
    async with asyncio.timeout(60):
        while not counter.calls:  # noqa: ASYNC110 — the list says so
            await asyncio.sleep(0.01)
        steps = await server.runs.steps(caller, run.run_id)
        (held,) = [step for step in steps if step.status == "waiting"]
        told_now = await server.runs.answer(caller, run.run_id, held.id, ApprovalAnswer(approved=True))
        assert told_now.status == "running"
        await counter.meeting.wait()
    done = await finished(server, caller, run.run_id)
    assert (done.status, done.text, len(guarded.calls), len(counter.calls)) == ("completed", "Done.", 1, 1)


async def test_an_approval_survives_the_server(
    server: OneServer, database: Database, caller: Caller, guarded: Counter, counter: Counter
) -> None:
    agent = await server.agent(caller, **GRANTS)
    server.model.then(calls(call(), call("guarded"), text="One moment."))
    run = await server.start(caller, agent, "Do it!")
    (wanted,) = (await waiting(server, caller, run)).approvals
    await server.registry.close(0.2)
    async with one_server(database, tools=[counter.granted, guarded.granted]) as later:
        assert await later.runs.recover_orphans(even_leased=True) == 0
        assert (await later.runs.get(caller, run.run_id)).status == "waiting"
        later.model.then(says("Done."))
        await later.runs.answer(caller, run.run_id, wanted.call_id, ApprovalAnswer(approved=True))
        done = await finished(later, caller, run.run_id)
        assert (done.status, done.text) == ("completed", "One moment.\n\nDone.")
        assert (len(counter.calls), len(guarded.calls), len(later.model.requests)) == (1, 1, 1)


async def test_an_answered_run_whose_server_is_lost_is_taken_up_by_another(
    server: OneServer, database: Database, caller: Caller, guarded: Counter, owner: Connection
) -> None:
    agent = await server.agent(caller, **GRANTS)
    server.model.then(calls(call("guarded")))
    run = await server.start(caller, agent, "Do it!")
    (wanted,) = (await waiting(server, caller, run)).approvals
    async with database.tenant(caller.tenant_id) as tx:  # the server that took the answer dies right after
        await tx.run_steps.answer(run.run_id, wanted.call_id, caller.user_id, approved=True, reason="")
        assert await tx.runs.wake(run.run_id)
    async with one_server(database, tools=[guarded.granted]) as later:
        await later.runs.recover_orphans()
        assert (await finished(later, caller, run.run_id)).status == "completed"
    assert len(guarded.calls) == 1


async def test_a_waiting_run_can_be_cancelled(server: OneServer, caller: Caller, guarded: Counter) -> None:
    agent = await server.agent(caller, **GRANTS)
    server.model.then(calls(call("guarded"), text="One moment."))
    run = await server.start(caller, agent, "Do it!")
    (wanted,) = (await waiting(server, caller, run)).approvals
    ended = await server.runs.cancel(caller, run.run_id)
    assert (ended.status, ended.text, ended.approvals) == ("cancelled", "One moment.", [])
    with pytest.raises(RunFinished):
        await server.runs.answer(caller, run.run_id, wanted.call_id, ApprovalAnswer(approved=True))
    steps = await server.runs.steps(caller, run.run_id)
    assert [one.status for one in steps] == ["completed", "failed"]
    assert (await server.say(caller, agent, "Go on", ended.thread_id)).response
    assert guarded.calls == []


async def test_who_listens_after_the_approval_of_a_turn_without_a_stream_hears_all_of_it(
    server: OneServer, caller: Caller
) -> None:
    agent = await server.agent(caller, **GRANTS)
    server.model.then(calls(call("guarded"), text="One moment."), says("It is ", "done."))
    held = await server.interactions.process_interaction(caller, agent, ChatRequest(message="Do it!"))
    assert isinstance(held, Run)
    await server.runs.answer(caller, held.id, held.approvals[0].call_id, ApprovalAnswer(approved=True))
    events = [event async for event in await server.runs.events(caller, held.id, Place())]
    assert text_of(events) == "One moment.\n\nIt is done." == events[-1].data["response"]


async def test_a_waiting_turn_answers_json_with_its_run(server: OneServer, caller: Caller) -> None:
    agent = await server.agent(caller, **GRANTS)
    server.model.then(calls(call("guarded")))
    held = await server.interactions.process_interaction(caller, agent, ChatRequest(message="Do it!"))
    assert isinstance(held, Run)
    assert (held.status, len(held.approvals)) == ("waiting", 1)
    assert not isinstance(held, ChatReply)
