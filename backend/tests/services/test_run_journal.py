"""The journal: a step is done once, whoever goes on with the run, and a person is asked where nobody can know."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from backend.errors import ModelUnavailable, StepFailed
from backend.graphs.journal import Paused, StepCall, StepResult
from backend.models.agent_requests import AgentCreateRequest
from backend.models.run import ChatRequest
from backend.models.tenant import Caller
from backend.ports import Usage
from backend.services.run_journal import ClaimLost, RunJournal
from backend.services.turn_ledger import OpenTurn, TurnLedger
from backend.stores.agents import Author
from backend.stores.database import Database
from backend.stores.run_steps import StoredStep
from backend.stores.runs import RunNature
from backend.tests.factories import TenantFactory
from backend.tests.fakes import FrozenClock

if TYPE_CHECKING:
    from asyncpg import Connection

WORKFLOW = {
    "name": "Worker",
    "type": "workflow",
    "identity": {"short_description": "Works"},
    "workflow": {"steps": [{"kind": "prompt", "id": "draft", "prompt": "Write."}]},
}


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


@pytest.fixture
async def ledger(database: Database) -> TurnLedger:
    return TurnLedger(database, 5.0)


@pytest.fixture
async def turn(database: Database, caller: Caller, ledger: TurnLedger) -> OpenTurn:
    request = AgentCreateRequest.model_validate(WORKFLOW)
    agent_id = UUID(int=7)
    now = FrozenClock().now()
    contract = request.to_contract(agent_id=agent_id, tenant_id=caller.tenant_id, owner_id=caller.user_id, now=now)
    async with database.tenant(caller.tenant_id) as tx:
        await tx.agents.insert(contract, "Created", Author(caller.user_id, caller.api_key_id))
    opened = await ledger.open(caller, agent_id, ChatRequest(message="Go"), nature=RunNature("workflow"))
    assert isinstance(opened, OpenTurn)
    return opened


class Effects:
    """Counts what was done, and remembers under which keys."""

    def __init__(self) -> None:
        self.keys: list[UUID] = []

    def giving(self, text: str, **fields: object) -> Callable[[UUID], Awaitable[StepResult]]:
        async def doing(key: UUID) -> StepResult:
            self.keys.append(key)
            return StepResult(text, usage=Usage(3, 4), **fields)  # type: ignore[arg-type]

        return doing

    async def dying(self, key: UUID) -> StepResult:
        """The server is killed in the middle: neither a result nor a failure is recorded."""
        self.keys.append(key)
        raise KeyboardInterrupt


async def steps_of(database: Database, turn: OpenTurn) -> list[StoredStep]:
    async with database.tenant(turn.caller.tenant_id) as tx:
        return await tx.run_steps.all(turn.ids.run_id)


def first_journal(database: Database, turn: OpenTurn) -> RunJournal:
    return RunJournal(database, turn.caller.tenant_id, turn.claimed)


async def taken_over(database: Database, ledger: TurnLedger, turn: OpenTurn) -> RunJournal:
    again = await ledger.resume(turn.caller.tenant_id, turn.ids.run_id, even_leased=True)
    assert again is not None
    return RunJournal(database, again.caller.tenant_id, again.claimed, again.steps)


async def test_what_is_recorded_is_given_back_and_not_done_again(
    database: Database, ledger: TurnLedger, turn: OpenTurn
) -> None:
    done = Effects()
    journal = first_journal(database, turn)
    call = StepCall("draft", "model", {"message": "Write."})
    told = await journal.once(call, done.giving("Once upon a time", data={"provider": "p", "model": "m",
                              "offline": False, "finish_reason": "stop"}))  # fmt: skip
    later = await taken_over(database, ledger, turn)
    assert await later.once(call, done.giving("Another story")) == told
    assert (later.tokens, later.last_model.model) == (7, "m")
    await later.once(StepCall("send", "tool", {"tool": "send"}), done.giving("sent"))
    assert [(one.ordinal, one.step, one.kind, one.status) for one in await steps_of(database, turn)] == [
        (1, "draft", "model", "completed"),
        (2, "send", "tool", "completed"),
    ]
    assert len(done.keys) == 2 == len(set(done.keys))


async def test_an_interrupted_step_is_done_again_under_the_same_key_when_that_is_harmless(
    database: Database, ledger: TurnLedger, turn: OpenTurn
) -> None:
    done = Effects()
    call = StepCall("draft", "model", {})
    with pytest.raises(KeyboardInterrupt):
        await first_journal(database, turn).once(call, done.dying)
    later = await taken_over(database, ledger, turn)
    assert (await later.once(call, done.giving("at last"))).text == "at last"
    assert done.keys[0] == done.keys[1]


async def test_a_person_is_asked_about_an_interrupted_call_that_may_have_had_its_effect(
    database: Database, ledger: TurnLedger, turn: OpenTurn
) -> None:
    done = Effects()
    call = StepCall("send", "tool", {"tool": "mail__send", "arguments": {"to": "a"}}, repeatable=False)
    with pytest.raises(KeyboardInterrupt):
        await first_journal(database, turn).once(call, done.dying)
    later = await taken_over(database, ledger, turn)
    with pytest.raises(Paused):
        await later.once(call, done.giving("sent twice"))
    (waiting,) = await ledger.pending_calls(turn)
    assert (waiting.tool, waiting.arguments) == ("mail__send", {"to": "a"})
    assert "may have had its effect" in waiting.reason
    assert len(done.keys) == 1


@pytest.mark.parametrize("approved", [True, False])
async def test_a_call_waits_until_a_person_has_answered(
    approved: bool, database: Database, ledger: TurnLedger, turn: OpenTurn
) -> None:
    done = Effects()
    call = StepCall("send", "tool", {"tool": "send"}, needs_approval=True)
    with pytest.raises(Paused):
        await first_journal(database, turn).once(call, done.giving("sent"))
    for _ in range(2):  # whoever comes by before the answer waits as well
        journal = await taken_over(database, ledger, turn)
        with pytest.raises(Paused):
            await journal.once(call, done.giving("sent"))
    (waiting,) = await ledger.pending_calls(turn)
    async with database.tenant(turn.caller.tenant_id) as tx:
        ids = (turn.ids.run_id, waiting.call_id, turn.caller.user_id)
        assert await tx.run_steps.answer(*ids, approved=approved, reason="not today")
        assert not await tx.run_steps.answer(*ids, approved=approved, reason="twice")
    told = await (await taken_over(database, ledger, turn)).once(call, done.giving("sent"))
    assert (told.text, told.denied) == (("sent", False) if approved else ("not today", True))
    assert done.keys == ([waiting.call_id] if approved else [])


async def test_a_failure_is_recorded_and_comes_back_as_what_it_was(
    database: Database, ledger: TurnLedger, turn: OpenTurn
) -> None:
    async def fails(_: UUID) -> StepResult:
        raise ModelUnavailable("The model is away.")

    done = Effects()
    with pytest.raises(ModelUnavailable):
        await first_journal(database, turn).once(StepCall("draft", "model", {}), fails)
    later = await taken_over(database, ledger, turn)
    with pytest.raises(ModelUnavailable, match="The model is away"):
        await later.once(StepCall("draft", "model", {}), done.giving("not asked"))
    second = await later.once(StepCall("draft", "model", {}, attempt=2), done.giving("now"))
    assert (second.text, len(done.keys)) == ("now", 1)
    (failed, completed) = await steps_of(database, turn)
    assert failed.error == {"code": "model-unavailable", "title": "The language model is not reachable",
                            "detail": "The model is away."}  # fmt: skip
    assert (failed.status, completed.attempt) == ("failed", 2)


async def test_whoever_lost_the_run_records_nothing_more(
    database: Database, ledger: TurnLedger, turn: OpenTurn
) -> None:
    done = Effects()
    journal = first_journal(database, turn)
    await taken_over(database, ledger, turn)
    with pytest.raises(ClaimLost):
        await journal.once(StepCall("draft", "model", {}), done.giving("late"))
    assert done.keys == []
    assert await steps_of(database, turn) == []
    assert await ledger.keep(turn, "late", []) is None
    assert await ledger.pause(turn, "late", []) is None


async def test_a_graph_that_goes_another_way_is_told(database: Database, ledger: TurnLedger, turn: OpenTurn) -> None:
    done = Effects()
    await first_journal(database, turn).once(StepCall("draft", "model", {}), done.giving("one"))
    later = await taken_over(database, ledger, turn)
    with pytest.raises(StepFailed, match=r"step 1 was draft \(model\), and would now be send \(tool\)"):
        await later.once(StepCall("send", "tool", {}), done.giving("two"))


async def test_a_run_with_a_lease_is_not_taken_over(ledger: TurnLedger, turn: OpenTurn, owner: Connection) -> None:
    assert await ledger.resume(turn.caller.tenant_id, turn.ids.run_id) is None
    await owner.execute("UPDATE runs SET leased_until = now() - $1::interval", timedelta(seconds=1))
    assert await ledger.resume(turn.caller.tenant_id, turn.ids.run_id) is not None
    assert await ledger.resume(turn.caller.tenant_id, turn.ids.run_id) is None
