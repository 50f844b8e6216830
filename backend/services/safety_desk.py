"""SafetyDesk: what sounds like a crisis is answered with a reviewed reply and help lines, before any model is asked."""

from __future__ import annotations

import asyncio
from typing import Protocol
from uuid import UUID

from backend.graphs.compiled_agents import CompiledAgent
from backend.models.run import CrisisKind, ReplyMetadata, SafetyNote, TokenUsage
from backend.services.conversation_window import Window
from backend.services.desk import Ended, SessionProgress
from backend.services.live_run import LiveRun
from backend.services.run_outcomes import spoken_note, whole_answer
from backend.services.turn_ledger import OpenTurn
from backend.stores.database import TenantTransaction
from backend.telemetry import Metrics, get_logger

GUARDED_SAFETY = 60
"""From this value of the trait on, an agent gives way to the gate."""
_LONG = 5_000
_PROVIDER = "numen"
_MODEL = "reviewed-reply"
_log = get_logger(__name__)


class CrisisGate(Protocol):
    """Recognises what sounds like a crisis, and knows what to say."""

    def detect(self, text: str) -> CrisisKind | None:
        """What kind of crisis it sounds like; None for everything else."""
        ...

    def reply(self, kind: CrisisKind) -> str:
        """The reviewed reply, with the help lines of the deployment's region."""
        ...


class SafetyDesk:
    """The gate in front of every conversation. What a workflow is given is no person speaking: it is not asked."""

    def __init__(self, gate: CrisisGate, sessions: SessionProgress, metrics: Metrics) -> None:
        self._gate = gate
        self._sessions = sessions
        self._metrics = metrics

    async def answer(self, run: LiveRun, turn: OpenTurn, agent: CompiledAgent) -> Ended | None:
        """The end of a turn that sounds like a crisis; None for every other."""
        if turn.nature.kind not in ("chat", "script") or agent.contract.traits.safety < GUARDED_SAFETY:
            return None
        if len(turn.message) > _LONG:  # reading it takes long enough for others to notice
            kind = await asyncio.to_thread(self._gate.detect, turn.message)
        else:
            kind = self._gate.detect(turn.message)
        if kind is None:
            return None
        _log.warning("crisis language answered", kind=kind)
        self._metrics.crisis_total.labels(kind).inc()
        text = self._gate.reply(kind)
        run.write(text)
        if run.hearing is not None:
            run.hearing.written.set()
            await run.hearing.wait()
        metadata = ReplyMetadata(
            message_count=turn.begun.count_after,
            model=_MODEL,
            provider=_PROVIDER,
            usage=TokenUsage(),
            latency_ms=turn.elapsed_ms(),
            run_id=turn.ids.run_id,
            agent_version=turn.begun.version,
            safety=SafetyNote(kind=kind),
            voice=spoken_note(run),
        )
        unfolded = Window((), turn.begun.summary, turn.begun.summarized_through)
        # Also where the person breaks in: the help lines stay where they can be read.
        outcome, reply = whole_answer(run, turn, text, metadata, unfolded)
        return Ended(outcome, reply, along=lambda tx: self._store(tx, turn, kind))

    async def _store(self, tx: TenantTransaction, turn: OpenTurn, kind: CrisisKind) -> None:
        ids = turn.ids
        detail = {"kind": kind, "thread_id": str(ids.thread_id), "message_id": str(ids.user_message_id)}
        await tx.audit.record(turn.caller, "safety.crisis", "agent", ids.agent_id, detail)
        session_id = turn.nature.detail.get("session_id")
        if session_id is not None:
            await self._sessions.crisis(tx, UUID(session_id), kind)
