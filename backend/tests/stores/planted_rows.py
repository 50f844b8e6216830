"""One tenant with a row in every table, and every query of the app with arguments that find these rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from backend.models.agent import AgentContract
from backend.models.interview_progress import InterviewProgress
from backend.models.memory import NewMemory, ScoreParts
from backend.models.page import NEWEST
from backend.models.tenant import Caller
from backend.stores.agents import Author
from backend.stores.database import Database
from backend.stores.memory_rows import ShownMemory, StoredReceipt
from backend.stores.queries import load
from backend.stores.run_steps import ClaimedRun, NewStep
from backend.stores.runs import TurnIds
from backend.stores.sessions import NewSession
from backend.stores.webhooks import NewWebhook
from backend.tests.factories import make_tenant
from backend.tests.models.contracts import contract

APP_FILES = (
    "agents", "api_keys", "audit", "erasures", "idempotency", "memories", "run_steps", "runs", "schedules",
    "sessions", "threads", "users", "webhooks",
)  # fmt: skip
SENTINEL = "only for the tenant who wrote it"
LEASE = timedelta(seconds=30)
INTERVIEW = {"fields": [{"name": "goals", "kind": "list", "question": "What do you wish for?"}]}
SCRIPT = {"parts": [{"name": "only", "purpose": "say it", "minutes": 1}]}
_KEY = "repeated-request"
_BEFORE_THE_FIRST = (NEWEST.created_at, NEWEST.id)


def app_queries() -> dict[str, str]:
    """Every query that runs as the app's role, as `file.name`."""
    return {f"{file}.{name}": sql for file in APP_FILES for name, sql in load(file).items()}


@dataclass(frozen=True, slots=True)
class Planted:
    """Whose rows they are, and the ids to find them by."""

    caller: Caller
    contract: AgentContract
    running: TurnIds
    failed: TurnIds
    waiting: TurnIds
    idle_thread: UUID
    api_key: UUID
    memory: UUID
    next_memory: UUID
    erasure: UUID
    colleague: UUID
    working_agent: UUID
    webhook: UUID
    session: UUID
    step: UUID
    call: UUID

    def names(self) -> set[str]:
        """What tells that somebody saw one of these rows."""
        ids = (self.running, self.failed, self.waiting)
        found = {self.caller.tenant_id, self.caller.user_id, self.contract.id, self.idle_thread, self.api_key}
        found |= {self.memory, self.next_memory, self.erasure, self.colleague, self.working_agent, self.webhook}
        found |= {self.session, self.step, self.call}
        found |= {one for turn in ids for one in (turn.thread_id, turn.run_id, turn.assistant_message_id)}
        return {SENTINEL, *map(str, found)}


async def plant(database: Database) -> Planted:
    """A tenant with a row in every table."""
    caller = await make_tenant(database)
    metadata = {"tenant_id": caller.tenant_id, "owner_id": caller.user_id, "tags": ["planted"]}
    agent = contract(id=uuid4(), name=SENTINEL, metadata=metadata, interview=INTERVIEW, script=SCRIPT)
    turns = [TurnIds(agent.id, uuid4(), caller.user_id, uuid4(), uuid4(), uuid4()) for _ in range(3)]
    running, failed, waiting = turns
    planted = Planted(caller, agent, running, failed, waiting, *(uuid4() for _ in range(11)))
    async with database.tenant(caller.tenant_id) as tx:
        await tx.users.insert(planted.colleague, None, SENTINEL)
        await tx.agents.insert(agent, SENTINEL, Author(caller.user_id))
        await tx.threads.insert(planted.idle_thread, agent.id, caller.user_id, SENTINEL)
        for turn in turns:
            await tx.threads.insert(turn.thread_id, agent.id, caller.user_id, SENTINEL)
            assert await tx.runs.begin(turn, SENTINEL, b"{}", LEASE, ["conversational"], None)
    async with database.tenant(caller.tenant_id) as tx:
        connection = tx.runs._connection  # pyright: ignore[reportPrivateUsage] — rows that no store writes this way
        await connection.execute("UPDATE runs SET status = 'failed', leased_until = NULL WHERE id = $1", failed.run_id)
        await connection.execute(
            "UPDATE threads SET active_run_id = NULL, active_until = NULL WHERE id = $1", failed.thread_id
        )
        await connection.execute("UPDATE runs SET status = 'waiting' WHERE id = $1", planted.waiting.run_id)
        await connection.execute("UPDATE threads SET message_count = 2 WHERE message_count = 1")
        await connection.execute("UPDATE agent_versions SET operation_id = $1", running.run_id)
        await connection.execute(
            "UPDATE runs SET leased_until = clock_timestamp() - interval '1 s', durable = true WHERE id = $1",
            running.run_id,
        )
        for turn in turns:
            await connection.execute(
                "INSERT INTO thread_messages (tenant_id, id, thread_id, position, role, content)"
                " VALUES ($1, $2, $3, 2, 'assistant', $4)",
                caller.tenant_id, turn.assistant_message_id, turn.thread_id, SENTINEL,
            )  # fmt: skip
        await connection.execute(
            "INSERT INTO api_keys (tenant_id, id, user_id, name, prefix, secret_hash, role)"
            " VALUES ($1, $2, $3, $4, 'planted', '', 'member')",
            caller.tenant_id, planted.api_key, caller.user_id, SENTINEL,
        )  # fmt: skip
        await connection.execute(
            "INSERT INTO idempotency_keys (tenant_id, user_id, key, request_hash, leased_until)"
            " VALUES ($1, $2, $3, $4, now() - interval '1 s')",
            caller.tenant_id, caller.user_id, _KEY, SENTINEL.encode(),
        )  # fmt: skip
    await _plant_steps(database, planted)
    await _plant_memories(database, planted)
    await _plant_triggers(database, planted)
    await _plant_session(database, planted)
    return planted


async def _plant_steps(database: Database, it: Planted) -> None:
    """Of the run that runs: one step that is being done, and a call that waits for a person."""
    run = ClaimedRun(it.running.run_id, 1)
    async with database.tenant(it.caller.tenant_id) as tx:
        assert await tx.run_steps.begin(run, NewStep(1, it.step, SENTINEL, "model", 1, "running", {}))
        assert await tx.run_steps.begin(run, NewStep(2, it.call, SENTINEL, "tool", 1, "waiting", {}))


async def _plant_triggers(database: Database, it: Planted) -> None:
    """An agent that runs by itself, its schedule, which the worker writes, and a webhook."""
    agent = contract(
        id=it.working_agent,
        name=SENTINEL,
        type="autonomous",
        workflow={"trigger_type": "scheduled", "schedule": "0 9 * * 1-5"},
        metadata=it.contract.metadata,
    )
    async with database.tenant(it.caller.tenant_id) as tx:
        await tx.agents.insert(agent, SENTINEL, Author(it.caller.user_id))
        new = NewWebhook(it.webhook, agent.id, SENTINEL, SENTINEL.encode())
        assert await tx.webhooks.insert(new, it.caller.user_id, None)
    async with database.worker() as worker:
        await worker._connection.execute(  # pyright: ignore[reportPrivateUsage] — of an agent that runs by itself
            "INSERT INTO agent_schedules (tenant_id, agent_id, schedule, last_at, ticks, missed)"
            " VALUES ($1, $2, $3, now(), 1, 1)",
            it.caller.tenant_id, agent.id, SENTINEL,
        )  # fmt: skip


async def _plant_session(database: Database, it: Planted) -> None:
    """A session in which nobody has said anything yet."""
    agent, progress = it.contract.id, InterviewProgress(answers={"goals": (SENTINEL,)}, asked="tone")
    async with database.tenant(it.caller.tenant_id) as tx:
        new = NewSession(it.session, it.caller.user_id, agent, agent, it.idle_thread, progress, SENTINEL)
        assert await tx.sessions.insert(new)


async def _plant_memories(database: Database, it: Planted) -> None:
    """Two that were said one after the other, an older one that gave way to the first, a receipt, and an erasure."""
    tenant_id, user, turn = it.caller.tenant_id, it.caller.user_id, it.running
    older = uuid4()
    async with database.tenant(tenant_id) as tx:
        told = [(older, "before", 1), (it.memory, SENTINEL, 3), (it.next_memory, f"after, {SENTINEL}", 5)]
        await tx.memories.insert([
            NewMemory(
                one, it.contract.id, "user", user, turn.thread_id, "message", text, "chat", SENTINEL, position=place
            )
            for one, text, place in told
        ], user)  # fmt: skip
        assert await tx.memories.supersede(older, it.memory)
        parts = ScoreParts(score=1.0, relevance=1.0, semantic=1.0, recency=1.0, reinforcement=0.0)
        await tx.memories.add_receipt(
            StoredReceipt(
                turn.assistant_message_id, turn.thread_id, it.contract.id, user, "ok", 1.0,
                [ShownMemory(it.memory, parts)], [],
            )
        )  # fmt: skip
        connection = tx.runs._connection  # pyright: ignore[reportPrivateUsage] — as above
        await connection.execute(
            "INSERT INTO erasures (tenant_id, id, user_id, requested_by) VALUES ($1, $2, $3, $3)",
            tenant_id, it.erasure, user,
        )  # fmt: skip


def arguments(it: Planted) -> dict[str, tuple[Any, ...]]:
    """For each of the app's queries what comes after $1, the tenant."""
    parts = (_agents, _people, _requests, _memories, _erasures, _runs, _threads, _triggers, _sessions)
    return {name: values for part in parts for name, values in part(it).items()}


def _agents(it: Planted) -> dict[str, tuple[Any, ...]]:
    agent, user, now = it.contract, it.caller.user_id, datetime.now(UTC)
    json, page = contract().stored_json(), (None, None, *_BEFORE_THE_FIRST, 10, 0)
    return {
        "agents.get": (agent.id,),
        "agents.lock": (agent.id,),
        "agents.list_page": page,
        "agents.search_page": (*page, "planted", SENTINEL),
        "agents.count": (None, None, None, None),
        "agents.named": (SENTINEL,),
        "agents.interviewer": (["conversational"],),
        "agents.writer": (["conversational"],),
        "agents.insert": (
            uuid4(), user, "New", "conversational", "1.0.0", "active", [], json, now, "Created", None, now, 1,
        ),
        "agents.insert_version": (agent.id, 7, "7.0.0", json, "Imported", user, now),
        "agents.update": (
            agent.id, "New", "voice", "active", "1.1.0", [], json, "Changed", user, None, None, "agent.updated", now,
        ),
        "agents.versions": (agent.id, 10, 0),
        "agents.version_count": (agent.id,),
        "agents.version": (agent.id, "1.0.0"),
        "agents.history": (agent.id, 10),
        "agents.operation_done": (agent.id, it.running.run_id),
    }  # fmt: skip


def _people(it: Planted) -> dict[str, tuple[Any, ...]]:
    user = it.caller.user_id
    return {
        "users.insert_tenant": ("Another name", "another-slug"),
        "users.delete_agents": (),
        "users.delete_tenant": (),
        "users.insert": (uuid4(), None, "New"),
        "users.person": (uuid4(), "from the product"),
        "users.standing": (user,),
        "api_keys.insert": (uuid4(), user, "New", "new", b"", "member", [], None, user, None),
        "api_keys.list_all": (),
        "api_keys.exists_for_tenant": (),
        "api_keys.revoke": (it.api_key, user, None),
        "audit.record": (user, None, "thread.deleted", "thread", uuid4(), "{}"),
        "audit.of_subject": (it.contract.id,),
    }


def _requests(it: Planted) -> dict[str, tuple[Any, ...]]:
    ours = (it.caller.user_id, _KEY)
    return {
        "idempotency.claim": (*ours, SENTINEL.encode(), LEASE),
        "idempotency.known": ours,
        "idempotency.renew": (*ours, 1, LEASE),
        "idempotency.finish": (*ours, 1, 200, "{}", b""),
        "idempotency.release": (*ours, 1),
    }


def _memories(it: Planted) -> dict[str, tuple[Any, ...]]:
    agent, user, thread, new = it.contract.id, it.caller.user_id, it.running.thread_id, uuid4()
    ours, answer = [it.memory], it.failed.assistant_message_id
    anything, page = (None, None, False), (*_BEFORE_THE_FIRST, 10, 0)
    return {
        "memories.insert": (
            user, [new], [agent], ["user"], [user], [thread], ["note"], [""], ["New"], [b"new"], ["api"], [None],
            [None], [None], [None], [1], [new],
        ),
        "memories.get": (it.memory, None),
        "memories.these": (ours, None),
        "memories.current": (ours, [b""], [agent], ["user"], [user], [""]),
        "memories.namespaces": (agent, None, None, None, 10),
        "memories.page_of_agent": (agent, None, None, *anything, *page),
        "memories.page_of_user": (agent, user, None, *anything, *page),
        "memories.page_of_thread": (agent, None, thread, *anything, *page),
        "memories.count_of_agent": (agent, None, None, *anything),
        "memories.count_of_user": (agent, user, None, *anything),
        "memories.count_of_thread": (agent, None, thread, *anything),
        "memories.held": (),
        "memories.held_of_agent": (agent,),
        "memories.held_of_user": (user, None),
        "memories.for_recall": (ours,),
        "memories.speakers": (agent, [user]),
        "memories.to_index": (ours,),
        "memories.around": (ours,),
        "memories.replaced_by": (ours,),
        "memories.mark_indexed": (ours, [1]),
        "memories.edit": (it.memory, None, "New", b"new", None, False, None, False, user),
        "memories.forget": (ours, user),
        "memories.of_thread": (thread, None, None),
        "memories.history": (it.memory, None),
        "memories.revise": (it.next_memory, it.memory),
        "memories.supersede": (it.next_memory, it.memory),
        "memories.confirm": (ours, 1.0),
        "memories.add_receipt": (
            answer, it.failed.thread_id, agent, user, "ok", 1.0, "[]", "[]", datetime.now(UTC), ours,
        ),
        "memories.receipt": (it.running.assistant_message_id, None),
    }  # fmt: skip


def _erasures(it: Planted) -> dict[str, tuple[Any, ...]]:
    user, threads = it.caller.user_id, [it.running.thread_id, it.failed.thread_id, it.idle_thread]
    nobody, now = uuid4(), datetime.now(UTC)
    return {
        "erasures.lock_threads": (user,),
        "erasures.lock_person": (user,),
        "erasures.namespaces": (user,),
        "erasures.traces": (user,),
        "erasures.delete_orders": (user, threads),
        "erasures.orders_in_hand": (user, threads),
        "erasures.orders_left": (list(range(1, 100_000)),),
        "erasures.delete_memories": (user, threads),
        "erasures.delete_recalls": (user, threads),
        "erasures.delete_requests": (user,),
        "erasures.delete_messages": (threads,),
        "erasures.delete_sessions": (user,),
        "erasures.delete_runs": (threads,),
        "erasures.delete_threads": (user,),
        "erasures.empty_audit": (user,),
        "erasures.delete_keys": (user,),
        "erasures.delete_webhooks": (user,),
        "erasures.pass_on_agents": (user, nobody),
        "erasures.forget_author": (user, nobody),
        "erasures.forget_editor": (user,),
        "erasures.delete_person": (it.colleague,),
        "erasures.open": (uuid4(), nobody, nobody, "{}", "{}"),
        "erasures.get": (it.erasure, None),
        "erasures.of_person": (user, None),
        "erasures.note": (it.erasure, "search_index", 1),
        "erasures.finish": (it.erasure, "{}", now),
        "erasures.found": (user, threads),
    }


def _runs(it: Planted) -> dict[str, tuple[Any, ...]]:
    agent, user, run, types = it.contract.id, it.caller.user_id, it.running, ["conversational"]
    return {
        "runs.begin": (
            agent, it.idle_thread, user, uuid4(), uuid4(), uuid4(), "Hello", "{}", LEASE, types, None,
            "chat", 0, "{}",
        ),
        "runs.reopen": (agent, it.failed.thread_id, it.failed.run_id, LEASE, types, None),
        "runs.history": (run.thread_id, 0, 10),
        "runs.refusal": (agent, it.idle_thread),
        "runs.finish": (
            run.thread_id, run.run_id, run.assistant_message_id, "Hi", "complete", "{}", "completed", None, 0, "[]",
            None, False, 1,
        ),
        "runs.keep": (run.thread_id, run.run_id, "H", "[]", LEASE, 1),
        "runs.resume": (run.run_id, LEASE, False),
        "runs.pause": (run.thread_id, run.run_id, "H", "[]", 1),
        "runs.wake": (it.waiting.run_id,),
        "runs.let_go": (run.run_id, "H", "[]", 1),
        "runs.lock": (run.run_id, None),
        "runs.list_page": (agent, None, None, *_BEFORE_THE_FIRST, 10, 0),
        "runs.count": (agent, None, None),
        "run_steps.begin": (run.run_id, 1, 3, uuid4(), "draft", "model", 1, "running", "{}"),
        "run_steps.again": (run.run_id, 1, 1, "running", ""),
        "run_steps.finish": (run.run_id, 1, 1, "completed", "{}", None, 0, 0),
        "run_steps.all": (run.run_id,),
        "run_steps.answer": (run.run_id, it.call, True, "", user),
        "run_steps.find": (run.run_id, it.call),
        "run_steps.close": (run.run_id,),
        "run_steps.forget_failures": (run.run_id,),
        "runs.order_extraction": (run.run_id,),
        "runs.get": (run.run_id, None),
        "runs.lock_id": (run.run_id,),
        "runs.request_cancel": (run.run_id, None),
        "runs.claim_orphan": (run.run_id, LEASE, False, False),
    }  # fmt: skip


def _threads(it: Planted) -> dict[str, tuple[Any, ...]]:
    agent, thread, said = it.contract.id, it.running.thread_id, it.running.assistant_message_id
    return {
        "threads.insert": (uuid4(), agent, it.caller.user_id, ""),
        "threads.get": (thread, None),
        "threads.list_page": (agent, None, None, *_BEFORE_THE_FIRST, 10, 0),
        "threads.count": (agent, None, None),
        "threads.update": (thread, None, "New", None),
        "threads.delete": (it.idle_thread, None),
        "threads.messages": (thread, None, 10),
        "threads.message": (thread, said),
        "threads.add_message": (thread, uuid4(), "user", "Hello", "{}"),
        "threads.feedback": (thread, said, 1.0, None),
        "threads.find_message": (said, None),
    }


def _triggers(it: Planted) -> dict[str, tuple[Any, ...]]:
    agent, user = it.working_agent, it.caller.user_id
    return {
        "schedules.get": (agent,),
        "schedules.wanted": (agent,),
        "schedules.report_missed": (agent, user, '{"tick": "2026-11-22T09:00:00+00:00"}'),
        "webhooks.insert": (uuid4(), agent, user, "New", b"new", None),
        "webhooks.of_agent": (agent,),
        "webhooks.delete": (it.webhook, user, None),
        "webhooks.touch": (it.webhook,),
    }


def _sessions(it: Planted) -> dict[str, tuple[Any, ...]]:
    agent, user, session, run = it.contract.id, it.caller.user_id, it.session, it.running.run_id
    return {
        "sessions.insert": (uuid4(), user, agent, agent, it.running.thread_id, "{}", "Welcome."),
        "sessions.get": (session, None),
        "sessions.lock": (session, None),
        "sessions.list_page": (None, *_BEFORE_THE_FIRST, 10, 0),
        "sessions.count": (None,),
        "sessions.begin_intake": (session,),
        "sessions.progress": (session, "{}", "complete", "Thank you.", '{"goals": []}'),
        "sessions.consent": (session,),
        "sessions.back_to_confirmation": (session, "{}", "Is that right?"),
        "sessions.begin_script": (session, run, 1),
        "sessions.end_script": (session, run, "failed", "{}"),
        "sessions.fail": (session, "{}"),
    }
