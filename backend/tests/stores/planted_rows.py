"""One tenant with a row in every table, and every query of the app with arguments that find these rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from backend.models.agent import AgentContract
from backend.models.interview_progress import InterviewProgress
from backend.models.memory import NewMemory, ScoreParts
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
PLANTED_KEY = "repeated-request"


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
            caller.tenant_id, caller.user_id, PLANTED_KEY, SENTINEL.encode(),
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
        agreed = uuid4()
        assert await tx.run_steps.begin(run, NewStep(4, agreed, SENTINEL, "tool", 1, "waiting", {}))
        assert await tx.run_steps.answer(it.running.run_id, agreed, it.caller.user_id, approved=True, reason=SENTINEL)


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
