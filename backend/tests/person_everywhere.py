"""A person whose words are in every place that the database has for words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

if TYPE_CHECKING:
    from asyncpg import Connection

LONG = 12_000
"""Characters of a text that PostgreSQL compresses and stores apart."""


@dataclass(frozen=True, slots=True)
class Planted:
    """Whose words they are, and how many rows hold them, by table."""

    tenant_id: UUID
    user_id: UUID
    agent_id: UUID
    threads: tuple[UUID, ...]
    memories: tuple[UUID, ...]
    agent_memory: UUID
    rows: dict[str, int]


async def plant_person(
    owner: Connection, tenant_id: UUID, agent_id: UUID, words: str, *, turns: int = 3, user_id: UUID | None = None
) -> Planted:
    """A person of this tenant with `words` in every text that can be theirs, in short rows and in long ones."""
    user_id = user_id or uuid4()
    whose = (tenant_id, user_id)
    await owner.execute(
        "INSERT INTO users (tenant_id, id, email, external_id, name) VALUES ($1, $2, $3, $3, $3)",
        *whose, words,
    )  # fmt: skip
    threads = tuple([await _thread(owner, tenant_id, user_id, agent_id, words, turns) for _ in range(2)])
    memories = tuple([await _memory(owner, tenant_id, agent_id, user_id, threads[0], words, number)
                      for number in range(turns)])  # fmt: skip
    agent_memory = uuid4()
    await owner.execute(
        "INSERT INTO memories (tenant_id, id, agent_id, scope, user_id, kind, speaker, text, digest, origin)"
        " VALUES ($1, $2, $3, 'agent', $4, 'reflection', $5, $5, $6, 'agent')",
        tenant_id, agent_memory, agent_id, user_id, words, agent_memory.bytes,
    )  # fmt: skip
    await owner.execute(
        "INSERT INTO idempotency_keys (tenant_id, user_id, key, request_hash, leased_until, headers, body, state,"
        " status) VALUES ($1, $2, $3, '', now(), $4::text::jsonb, $5, 'done', 200)",
        *whose, words, json.dumps({"location": words}), _long(words).encode(),
    )  # fmt: skip
    await owner.execute(
        "INSERT INTO api_keys (tenant_id, id, user_id, name, prefix, secret_hash, role)"
        " VALUES ($1, gen_random_uuid(), $2, $3, gen_random_uuid()::text, '', 'member')",
        *whose, words,
    )  # fmt: skip
    await _session_and_webhook(owner, tenant_id, agent_id, user_id, threads[0], words)
    await owner.execute(
        "INSERT INTO audit_log (tenant_id, actor_id, action, subject_type, subject_id, detail)"
        " VALUES ($1, $2, 'api_key.created', 'api_key', gen_random_uuid(), $3::text::jsonb)",
        *whose, json.dumps({"name": words}),
    )  # fmt: skip
    await owner.execute(
        "INSERT INTO outbox (tenant_id, kind, subject_id, payload, last_error, available_at)"
        " VALUES ($1, 'memory.extract', $2, $3::text::jsonb, $4, now() + interval '1 hour')",
        tenant_id, threads[0], json.dumps({"said": words}), words,
    )  # fmt: skip
    return Planted(tenant_id, user_id, agent_id, threads, memories, agent_memory, _rows(turns))


def _long(words: str) -> str:
    return f"{words} {'and so on ' * (LONG // 10)}{words}"


def _rows(turns: int) -> dict[str, int]:
    rows = {
        "users": 1,
        "threads": 2,
        "thread_messages": 4 * turns,
        "runs": 2 * turns,
        "run_steps": 2 * turns,
        "recalls": 2 * turns,
        "sessions": 1,
    }
    rows |= {"memories": turns + 1, "memory_revisions": 2 * turns, "idempotency_keys": 1, "api_keys": 1, "webhooks": 1}
    return rows | {"audit_log": 1, "outbox": 1}


async def _session_and_webhook(
    owner: Connection, tenant_id: UUID, agent_id: UUID, user_id: UUID, thread_id: UUID, words: str
) -> None:
    await owner.execute(
        "INSERT INTO sessions (tenant_id, id, user_id, intake_agent_id, therapy_agent_id, intake_thread_id, progress,"
        " response, plan, error) VALUES ($1, gen_random_uuid(), $2, $3, $3, $4, $5::text::json, $6, $5::text::json,"
        " $5::text::jsonb)",
        tenant_id, user_id, agent_id, thread_id, json.dumps({"goals": [words, _long(words)]}), _long(words),
    )  # fmt: skip
    await owner.execute(
        "INSERT INTO webhooks (tenant_id, id, agent_id, user_id, name, secret)"
        " VALUES ($1, gen_random_uuid(), $3, $2, $4, $5)",
        tenant_id, user_id, agent_id, words, words.encode(),
    )  # fmt: skip


async def _thread(owner: Connection, tenant_id: UUID, user_id: UUID, agent_id: UUID, words: str, turns: int) -> UUID:
    thread_id = uuid4()
    await owner.execute(
        "INSERT INTO threads (tenant_id, id, agent_id, user_id, title, context_summary, message_count)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        tenant_id, thread_id, agent_id, user_id, words, _long(words), 2 * turns,
    )  # fmt: skip
    for turn in range(turns):
        run_id, said, answered = uuid4(), uuid4(), uuid4()
        told = json.dumps({"told": words, "more": _long(words)})
        await owner.execute(
            "INSERT INTO runs (tenant_id, id, agent_id, thread_id, user_id, agent_version, status, user_message_id,"
            " assistant_message_id, text, marks, error)"
            " VALUES ($1, $2, $3, $4, $5, '1.0.0', 'failed', $6, $7, $8, $9::text::jsonb, $10::text::jsonb)",
            tenant_id, run_id, agent_id, thread_id, user_id, said, answered, _long(words), f"[{told}]", told,
        )  # fmt: skip
        await owner.execute(
            "INSERT INTO run_steps (tenant_id, run_id, ordinal, id, step, kind, status, input, output, error, reason,"
            " answered_by) VALUES ($1, $2, 1, gen_random_uuid(), 'answer', 'tool', 'failed', $3::text::jsonb,"
            " $3::text::jsonb, $3::text::jsonb, $4, $5)",
            tenant_id, run_id, told, words, user_id,
        )  # fmt: skip
        for place, (message_id, role, content) in enumerate(
            ((said, "user", f"{words} {turn}"), (answered, "assistant", _long(words))), 2 * turn + 1
        ):
            await owner.execute(
                "INSERT INTO thread_messages (tenant_id, id, thread_id, position, role, content, run_id, metadata,"
                " feedback_score, feedback_reason) VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb, 0.5, $9)",
                tenant_id, message_id, thread_id, place, role, content, run_id, told, words,
            )  # fmt: skip
        await owner.execute(
            "INSERT INTO recalls (tenant_id, message_id, thread_id, agent_id, user_id, state, confidence)"
            " VALUES ($1, $2, $3, $4, $5, 'ok', 0.5)",
            tenant_id, answered, thread_id, agent_id, user_id,
        )  # fmt: skip
    return thread_id


async def _memory(
    owner: Connection, tenant_id: UUID, agent_id: UUID, user_id: UUID, thread_id: UUID, words: str, number: int
) -> UUID:
    memory_id = uuid4()
    scope = "thread" if number % 2 else "user"
    await owner.execute(
        "INSERT INTO memories (tenant_id, id, agent_id, scope, user_id, thread_id, kind, speaker, text, digest, origin)"
        " VALUES ($1, $2, $3, $4, $5, $6, 'message', $7, $8, $9, 'chat')",
        tenant_id, memory_id, agent_id, scope, user_id, thread_id, words, f"{words} {number}", memory_id.bytes,
    )  # fmt: skip
    for revision in (1, 2):
        await owner.execute(
            "INSERT INTO memory_revisions (tenant_id, memory_id, revision, agent_id, user_id, action, text)"
            " VALUES ($1, $2, $3, $4, $5, 'edited', $6)",
            tenant_id, memory_id, revision, agent_id, user_id, words,
        )  # fmt: skip
    return memory_id
