"""How a turn ends: the answer, its metadata and its last event, as they are stored and as they are told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backend.errors import NumenError, RunStopped
from backend.models.events import Mark
from backend.models.message import MessageStatus
from backend.models.run import ChatReply, ReplyMetadata, Run, RunStatus, SpokenNote
from backend.ports import MemoryContext
from backend.services.conversation_window import Window
from backend.services.live_run import LiveRun, StopReason
from backend.services.turn_ledger import OpenTurn
from backend.stores.memory_rows import LeftOutMemory, ShownMemory, StoredReceipt
from backend.stores.runs import Outcome, StoredRun


def whole_answer(
    run: LiveRun, turn: OpenTurn, text: str, metadata: ReplyMetadata, spoken: Window, *, whole: bool = True
) -> tuple[Outcome, ChatReply]:
    """A turn that was answered; `whole` is whether `text` is all of it, or as far as a person heard a voice say it."""
    reply = ChatReply(
        thread_id=turn.ids.thread_id,
        agent_id=turn.ids.agent_id,
        response=text,
        message_id=turn.ids.assistant_message_id,
        metadata=metadata,
    )
    told = reply.model_dump(mode="json", exclude={"response"})
    outcome = Outcome(
        content=text,
        message_status="complete" if whole else "partial",
        run_status="completed",
        metadata=told["metadata"],
        marks=[*run.marks, Mark("message.completed", len(text), told)],
        summary=spoken.summary,
        summarized_through=spoken.summarized_through,
    )
    return outcome, reply


def spoken_note(run: LiveRun) -> SpokenNote | None:
    """How an answer was heard that a voice spoke; None for every other."""
    hearing = run.hearing
    return None if hearing is None else SpokenNote(interrupted=hearing.interrupted, played_ms=hearing.played_ms)


def started(turn: OpenTurn) -> dict[str, Any]:
    """The data of a run's first event: what it is called by."""
    ids = turn.ids
    named = {"run_id": ids.run_id, "thread_id": ids.thread_id, "agent_id": ids.agent_id}
    return {name: str(value) for name, value in named.items()} | {"message_id": str(ids.user_message_id)}


def stopped(reason: StopReason | None) -> RunStopped:
    """What a run fails of that was stopped."""
    if reason == "cancelled":
        return RunStopped("The run was cancelled; what had been said is kept.")
    return RunStopped("The server was stopped in the middle of the answer; what had been said is kept.", retry_after=2)


def receipt_of(turn: OpenTurn, found: MemoryContext) -> StoredReceipt:
    """Which memories an answer was given, and which it nearly was: ids and numbers, no texts."""
    return StoredReceipt(
        message_id=turn.ids.assistant_message_id,
        thread_id=turn.ids.thread_id,
        agent_id=turn.ids.agent_id,
        user_id=turn.ids.user_id,
        state="degraded" if found.state == "degraded" else "ok",
        confidence=found.confidence_score,
        recalled=[ShownMemory(one.id, one.parts) for one in found.retrieved_memories],
        near_misses=[LeftOutMemory(one.id, one.reason, one.parts) for one in found.near_misses],
    )


def failure_of(run: LiveRun, turn: OpenTurn, error: NumenError) -> Outcome:
    """A turn that was not: what had been said is kept, and marked as what it is."""
    cancelled = run.stop_reason == "cancelled"
    told = error_body(error)
    data = {**told, "run_id": str(turn.ids.run_id), "thread_id": str(turn.ids.thread_id)}
    return Outcome(
        content=run.kept_text,
        message_status="cancelled" if cancelled else _status_of(error, run.kept_text),
        run_status="cancelled" if cancelled else "failed",
        metadata={"error": told, "run_id": str(turn.ids.run_id), "agent_version": turn.begun.version},
        marks=[*run.marks, Mark("run.failed", len(run.text), data)],
        error=told,
    )


def orphaned(run: Run, marks: Sequence[Mark]) -> Outcome:
    """A turn whose server is gone: what it had stored is what there is."""
    error = RunStopped("The server stopped in the middle of the answer; what had been said is kept.")
    return _without_server(run, marks, error, _status_of(error, run.text), "failed")


def abandoned(run: Run, marks: Sequence[Mark]) -> Outcome:
    """A run that waited for a person, and was cancelled instead."""
    return _without_server(run, marks, stopped("cancelled"), "cancelled", "cancelled")


def _without_server(
    run: Run, marks: Sequence[Mark], error: RunStopped, message_status: MessageStatus, run_status: RunStatus
) -> Outcome:
    told = error_body(error)
    data = {**told, "run_id": str(run.id), "thread_id": str(run.thread_id)}
    return Outcome(
        content=run.text,
        message_status=message_status,
        run_status=run_status,
        metadata={"error": told, "run_id": str(run.id), "agent_version": run.agent_version},
        marks=[*marks, Mark("run.failed", len(run.text), data)],
        error=told,
    )


def reply_of(stored: StoredRun) -> ChatReply:
    """The answer of a completed run, once more."""
    told = next(one.data for one in reversed(stored.marks) if one.type == "message.completed")
    return ChatReply.model_validate({**told, "response": stored.run.text})


def error_body(error: NumenError) -> dict[str, Any]:
    """What is stored and told of an error: code, title, detail and its context."""
    return {**error.context, "code": error.code, "title": error.title, "detail": error.detail}


def _status_of(error: NumenError, text: str) -> MessageStatus:
    return "partial" if isinstance(error, RunStopped) and text else "failed"
