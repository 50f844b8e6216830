"""What each query is asked with, so that it finds the planted rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from backend.models.page import NEWEST
from backend.tests.models.contracts import contract
from backend.tests.stores.planted_rows import LEASE, PLANTED_KEY, SENTINEL, Planted

_BEFORE_THE_FIRST = (NEWEST.created_at, NEWEST.id)


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
    ours = (it.caller.user_id, PLANTED_KEY)
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
        "erasures.session_ids": (user,),
        "erasures.orders_left": (list(range(1, 100_000)),),
        "erasures.delete_memories": (user, threads),
        "erasures.delete_recalls": (user, threads),
        "erasures.delete_requests": (user,),
        "erasures.delete_messages": (threads,),
        "erasures.delete_sessions": (user,),
        "erasures.delete_steps": (threads,),
        "erasures.delete_runs": (threads,),
        "erasures.delete_threads": (user,),
        "erasures.empty_audit": (user,),
        "erasures.delete_keys": (user,),
        "erasures.delete_webhooks": (user,),
        "erasures.pass_on_agents": (user, nobody),
        "erasures.forget_author": (user, nobody),
        "erasures.forget_editor": (user,),
        "erasures.forget_answers": (user,),
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
        "runs.hold_thread": (run.thread_id, run.run_id),
        "runs.pause": (run.run_id, "H", "[]", 1),
        "runs.wake": (it.waiting.run_id,),
        "runs.let_go": (run.run_id, "H", "[]", 1),
        "runs.lock": (run.run_id, None),
        "runs.list_page": (agent, None, None, *_BEFORE_THE_FIRST, 10, 0),
        "runs.count": (agent, None, None),
        "run_steps.begin": (run.run_id, 1, 3, uuid4(), "draft", "model", 1, "running", "{}"),
        "run_steps.again": (run.run_id, 1, 1, "running", ""),
        "run_steps.finish": (run.run_id, 1, 1, "completed", "{}", None, 0, 0),
        "run_steps.all": (run.run_id,),
        "run_steps.answer": (run.run_id, it.call, True, "", user, uuid4()),
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
        "sessions.existing": ([session, uuid4()],),
        "sessions.begin_intake": (session,),
        "sessions.progress": (session, "{}", "complete", "Thank you.", '{"goals": []}'),
        "sessions.consent": (session,),
        "sessions.back_to_confirmation": (session, "{}", "Is that right?"),
        "sessions.begin_script": (session, run, 1),
        "sessions.end_script": (session, run, "failed", "{}"),
        "sessions.fail": (session, "{}"),
    }
