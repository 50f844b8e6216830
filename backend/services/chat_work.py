"""How a chat's answer comes to be: window, recall, model, tools; in a session's interview also what was understood."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from backend.errors import NumenError
from backend.graphs.interview import asked_from
from backend.graphs.state import Turn, TurnState
from backend.models.agent import AgentContract
from backend.models.interview_progress import InterviewProgress
from backend.models.run import ReplyMetadata, TokenUsage
from backend.ports import Interaction, Memory, MemoryContext, ModelReply
from backend.services.conversation_window import Window, window
from backend.services.desk import Desk, Ended, SessionProgress
from backend.services.run_outcomes import receipt_of, spoken_note, whole_answer
from backend.services.turn_ledger import Along, Kept, OpenTurn
from backend.stores.database import Database, TenantTransaction


class ChatWork:
    """Turns of conversational and voice agents."""

    def __init__(self, database: Database, memory: Memory, sessions: SessionProgress) -> None:
        self._database = database
        self._memory = memory
        self._sessions = sessions

    async def answer(self, desk: Desk) -> Ended:
        """See `Work`."""
        turn = desk.turn
        session_id = _session_of(turn)
        progress = None if session_id is None else await self._progress(desk, session_id)
        if (
            turn.before is None and desk.streaming
        ):  # tried again: whoever listens now has not heard what was said before
            desk.run.write(self.so_far(turn))
        spoken = _window(desk)
        bench = desk.workbench(turn.message, spoken.messages)
        state = await desk.agent.run(Turn(**bench, history=spoken.messages, summary=spoken.summary, interview=progress))
        state = await _heard(desk, state)
        ended = self._answered(desk, spoken, state)
        if session_id is None:
            return ended
        if progress is not None:
            state = _unheard(desk, state, progress)
        return Ended(ended.outcome, ended.result, ended.kept, self._progressed(desk, session_id, state))

    def so_far(self, turn: OpenTurn) -> str:
        """See `Work`: what the model has said in the steps that are recorded, told or not."""
        said = (step.output["text"] for step in turn.steps if step.kind == "model" and step.output is not None)
        return "\n\n".join(text for text in said if text)

    def failed(self, turn: OpenTurn, error: NumenError) -> Along | None:  # noqa: ARG002 — the protocol's signature
        """See `Work`: a session is where it was, and the message may be said again."""
        return None

    async def _progress(self, desk: Desk, session_id: UUID) -> InterviewProgress:
        async with self._database.tenant(desk.run.tenant_id) as tx:
            return await self._sessions.before(tx, session_id)

    def _progressed(self, desk: Desk, session_id: UUID, state: TurnState) -> Along | None:
        interview, progress, reply = desk.agent.contract.interview, state.get("interview"), state.get("reply")
        if interview is None or progress is None or reply is None:
            return None

        async def store(tx: TenantTransaction) -> None:
            await self._sessions.after(tx, session_id, progress, reply.text, interview)

        return store

    def _answered(self, desk: Desk, spoken: Window, state: TurnState) -> Ended:
        turn, choice = desk.turn, desk.choice
        answer = state["reply"]  # type: ignore[typeddict-item]
        found = state.get("memory", MemoryContext())
        exchange = state.get("exchange")
        metadata = ReplyMetadata(
            memory_confidence=found.confidence_score,
            message_count=turn.begun.count_after,
            model=answer.model,
            model_asked=None if answer.offline or choice.asked == choice.used else choice.asked,
            provider=answer.provider,
            offline=answer.offline,
            usage=TokenUsage(input_tokens=answer.usage.input_tokens, output_tokens=answer.usage.output_tokens),
            latency_ms=turn.elapsed_ms(),
            memory=found.state,
            finish_reason=answer.finish_reason,
            left_out=list(answer.left_out),
            run_id=turn.ids.run_id,
            agent_version=turn.begun.version,
            tools=exchange.used if exchange is not None else [],
            voice=spoken_note(desk.run),
        )
        heard = desk.run.hearing is None or not desk.run.hearing.interrupted
        outcome, reply = whole_answer(desk.run, turn, answer.text, metadata, spoken, whole=heard)
        return Ended(outcome, reply, self._kept(turn, desk.agent.contract, answer, found))

    def _kept(self, turn: OpenTurn, contract: AgentContract, answer: ModelReply, found: MemoryContext) -> Kept | None:
        if found.state == "off":
            return None
        interaction = Interaction(
            tenant_id=turn.caller.tenant_id,
            agent_id=turn.ids.agent_id,
            user_id=turn.ids.user_id,
            thread_id=turn.ids.thread_id,
            contract=contract,
            user_message_id=turn.ids.user_message_id,
            assistant_message_id=turn.ids.assistant_message_id,
            position=turn.begun.position,
            message=turn.message,
            answer=answer.text,
            offline=answer.offline,
        )
        return Kept(receipt_of(turn, found), self._memory.harvest(interaction))


def _session_of(turn: OpenTurn) -> UUID | None:
    named = turn.nature.detail.get("session_id")
    return None if named is None else UUID(named)


async def _heard(desk: Desk, state: TurnState) -> TurnState:
    """A spoken answer is what was heard of it, which is known when it was played, or broken off."""
    hearing, reply = desk.run.hearing, state.get("reply")
    if hearing is None or reply is None:
        return state
    hearing.written.set()
    await hearing.wait()
    return {**state, "reply": replace(reply, text=desk.run.kept_text)} if hearing.interrupted else state


def _unheard(desk: Desk, state: TurnState, before: InterviewProgress) -> TurnState:
    """What was broken off before its question was not asked and not read back; what the person said before counts."""
    hearing, after = desk.run.hearing, state.get("interview")
    if hearing is None or after is None or not hearing.interrupted:
        return state
    if hearing.was_written and len(desk.run.kept_text) > asked_from(desk.run.text):
        return state
    return {**state, "interview": after.model_copy(update={"asked": before.asked, "read_back": False})}


def _window(desk: Desk) -> Window:
    begun = desk.turn.begun
    return window(
        begun.history,
        desk.turn.message,
        size=desk.agent.contract.configuration.thread_window,
        summary=begun.summary,
        summarized_through=begun.summarized_through,
    )
