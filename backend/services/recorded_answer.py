"""The answer of a recorded run: its text, and how it came to be, by what the journal holds."""

from __future__ import annotations

from backend.models.run import ChatReply, ReplyMetadata, TokenUsage
from backend.ports import MemoryContext
from backend.services.conversation_window import Window
from backend.services.desk import Desk
from backend.services.run_journal import RunJournal
from backend.services.run_outcomes import whole_answer
from backend.stores.runs import Outcome


def recorded_answer(desk: Desk, text: str, found: MemoryContext | None = None) -> tuple[Outcome, ChatReply]:
    """What is stored and told of the run's end; `found` is what memory gave it."""
    turn, choice, journal = desk.turn, desk.choice, desk.journal
    assert isinstance(journal, RunJournal)  # noqa: S101 — these kinds of runs are always recorded
    found = found or MemoryContext(state="off")
    last = journal.last_model
    metadata = ReplyMetadata(
        memory_confidence=found.confidence_score,
        message_count=turn.begun.count_after,
        model=last.model or choice.used,
        model_asked=None if last.offline or choice.asked == choice.used else choice.asked,
        provider=last.provider or desk.agent.contract.configuration.llm_provider,
        offline=last.offline,
        usage=TokenUsage(input_tokens=journal.usage.input_tokens, output_tokens=journal.usage.output_tokens),
        latency_ms=turn.elapsed_ms(),
        memory=found.state,
        finish_reason=last.finish_reason,
        run_id=turn.ids.run_id,
        agent_version=turn.begun.version,
    )
    unfolded = Window((), turn.begun.summary, turn.begun.summarized_through)
    return whole_answer(desk.run, turn, text, metadata, unfolded)
