"""What the work of a run finds on its desk, and how it says that the run has ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from backend.errors import NumenError
from backend.graphs.compiled_agents import CompiledAgent
from backend.graphs.journal import Journal
from backend.models.interview import Interview
from backend.models.interview_progress import InterviewProgress
from backend.models.run import ChatReply, CrisisKind
from backend.ports import LanguageModel, Memory, PromptMessage, RecallRequest, ToolSet
from backend.services.live_run import LiveRun
from backend.services.model_catalog import ModelChoice
from backend.services.turn_ledger import Along, Kept, OpenTurn
from backend.stores.database import TenantTransaction
from backend.stores.runs import Outcome
from backend.telemetry import Metrics


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended, what memory keeps of it, and what else is stored in the same transaction."""

    outcome: Outcome
    result: ChatReply | NumenError
    kept: Kept | None = None
    along: Along | None = None


@dataclass(frozen=True, slots=True)
class Desk:
    """An open run with everything that its work needs."""

    run: LiveRun
    turn: OpenTurn
    agent: CompiledAgent
    choice: ModelChoice
    journal: Journal
    tools: ToolSet
    model: LanguageModel
    memory: Memory
    metrics: Metrics
    streaming: bool

    def recall(self, query: str, recent: Sequence[PromptMessage] = ()) -> RecallRequest:
        """What to ask memory."""
        ids = self.turn.ids
        return RecallRequest(
            tenant_id=self.turn.caller.tenant_id,
            agent_id=ids.agent_id,
            user_id=ids.user_id,
            thread_id=ids.thread_id,
            contract=self.agent.contract,
            query=query,
            recent_messages=recent,
        )

    def write(self, text: str) -> None:
        """A piece of the answer, to whoever listens."""
        if not self.run.text:
            provider = self.agent.contract.configuration.llm_provider
            self.metrics.model_first_token_seconds.labels(provider).observe(self.turn.elapsed_ms() / 1000)
        self.run.write(text)

    def workbench(self, query: str, recent: Sequence[PromptMessage] = ()) -> dict[str, Any]:
        """The fields that every graph's context has (`graphs/state.py`)."""
        return {
            "contract": self.agent.contract,
            "prompt": self.agent.prompt,
            "model_name": self.choice.used,
            "recall": self.recall(query, recent),
            "model": self.model,
            "memory": self.memory,
            "on_event": self.run.mark,
            "on_text": self.write if self.streaming else None,
            "tools": self.tools,
            "journal": self.journal,
            "enough": None if self.run.hearing is None else self.run.hearing.cut,
        }


class Work(Protocol):
    """How the answer of one kind of run comes to be."""

    async def answer(self, desk: Desk) -> Ended:
        """Do it. Errors: every `NumenError`, with which the run fails; `Paused`, `ClaimLost`."""
        ...

    def so_far(self, turn: OpenTurn) -> str:
        """Of a run that is taken up: the text of the answer that still holds; what comes after it is written anew."""
        ...

    def failed(self, turn: OpenTurn, error: NumenError) -> Along | None:
        """The run fails with this error: what else is to be stored then."""
        ...


class SessionProgress(Protocol):
    """Where a session's interview stands: read at the start of a turn, stored with its answer."""

    async def before(self, tx: TenantTransaction, session_id: UUID) -> InterviewProgress:
        """How far the interview has come. Errors: `SessionNotFound`, `SessionState` when it takes no more messages."""
        ...

    async def after(
        self,
        tx: TenantTransaction,
        session_id: UUID,
        progress: InterviewProgress,
        reply_text: str,
        interview: Interview,
    ) -> None:
        """Store how far it has come now, and what the agent said."""
        ...

    async def crisis(self, tx: TenantTransaction, session_id: UUID, kind: CrisisKind) -> None:
        """The session is over: the person needs other help."""
        ...
