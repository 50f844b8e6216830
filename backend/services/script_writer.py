"""ScriptWork: how a session's script comes to be, part after part, and what is remembered of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from backend.errors import NumenError, SessionNotFound
from backend.graphs.state import Writing
from backend.graphs.written_script import joined, recorded_part
from backend.models.agent import AgentContract
from backend.models.memory import LONGEST_MEMORY, NewMemory
from backend.models.session import Session, SpokenPart
from backend.ports import Harvest, MemoryContext
from backend.services.desk import Desk, Ended
from backend.services.identifiers import new_id
from backend.services.recorded_answer import recorded_answer
from backend.services.run_outcomes import error_body, receipt_of
from backend.services.turn_ledger import Along, Kept, OpenTurn
from backend.stores.database import Database, TenantTransaction
from backend.stores.run_steps import StoredStep


@dataclass(frozen=True, slots=True)
class ScriptOrder:
    """What a run of kind `script` is for, as its `detail` holds it."""

    session_id: UUID
    number: int
    plan: dict[str, str | tuple[str, ...]]

    @classmethod
    def of(cls, turn: OpenTurn) -> ScriptOrder:
        """The order of this run."""
        detail = turn.nature.detail
        plan = {name: one if isinstance(one, str) else tuple(one) for name, one in detail["plan"]}
        return cls(UUID(detail["session_id"]), detail["number"], plan)

    @property
    def operation_id(self) -> UUID:
        """The same for every request to write this script."""
        return new_id(self.session_id, f"script {self.number}")

    def detail(self) -> dict[str, Any]:
        """The JSON of `of`; pairs, since the database keeps no order of names."""
        return {"session_id": str(self.session_id), "number": self.number, "plan": list(self.plan.items())}


class ScriptWork:
    """Runs that write a script; see `Work`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def answer(self, desk: Desk) -> Ended:
        """See `Work`. Errors: `SessionNotFound` when the session is gone, and those of the graph."""
        order = ScriptOrder.of(desk.turn)
        async with self._database.tenant(desk.run.tenant_id) as tx:
            session, interviewer = await _begin(tx, order, desk.turn.ids.run_id)
        if desk.turn.before is None:
            _tell_again(desk)
        writing = Writing(**desk.workbench(desk.turn.message), plan=order.plan)
        state: Any = await desk.agent.graph("script").ainvoke({}, context=writing)  # pyright: ignore[reportUnknownMemberType]
        found: MemoryContext = state.get("memory", MemoryContext(state="off"))
        outcome, reply = recorded_answer(desk, joined(state["parts"]), found)

        async def along(tx: TenantTransaction) -> None:
            await tx.sessions.end_script(order.session_id, desk.turn.ids.run_id, "completed")

        harvest = Harvest(_reflections(desk.turn, session, interviewer, state.get("reflection", "")))
        kept = None if found.state == "off" else Kept(receipt_of(desk.turn, found), harvest)
        return Ended(outcome, reply, kept, along)

    def so_far(self, turn: OpenTurn) -> str:
        """See `Work`: the parts that are recorded; the one that was being written is written anew."""
        return joined(tuple(part for _, part in recorded_parts(turn.steps)))

    def failed(self, turn: OpenTurn, error: NumenError) -> Along | None:
        """See `Work`: the session says of what it failed, and the script can be begun again."""
        order, body = ScriptOrder.of(turn), error_body(error)

        async def along(tx: TenantTransaction) -> None:
            await tx.sessions.end_script(order.session_id, turn.ids.run_id, "failed", body)

        return along


def recorded_parts(steps: Sequence[StoredStep]) -> list[tuple[StoredStep, SpokenPart]]:
    """The parts that these steps wrote, each with its step."""
    read = ((step, recorded_part(step.output)) for step in steps if step.status == "completed")
    return [(step, part) for step, part in read if part is not None]


async def _begin(tx: TenantTransaction, order: ScriptOrder, run_id: UUID) -> tuple[Session, AgentContract | None]:
    """The session, which says from now on that it is being written, and who led its interview."""
    if not await tx.sessions.begin_script(order.session_id, run_id, order.number):
        raise SessionNotFound("The session that this is written for is gone.")
    stored = await tx.sessions.get(order.session_id, None)
    if stored is None:
        raise SessionNotFound("The session that this is written for is gone.")
    interviewer = await tx.agents.get(stored.session.intake_agent_id)
    return stored.session, interviewer.contract() if interviewer else None


def _tell_again(desk: Desk) -> None:
    """A run that failed and is tried again goes on after the parts that it has: whoever listens gets these, too."""
    script = desk.agent.contract.script
    for number, (_, part) in enumerate(recorded_parts(desk.turn.steps)):
        place = {"name": part.name, "ordinal": number + 1, "of": len(script.parts) if script else 0}
        desk.run.mark("part.started", place)
        desk.run.write(f"\n\n{part.text}" if number else part.text)
        told = {"name": part.name, "words": len(part.text.split()), "pauses": len(part.pauses)}
        desk.run.mark("part.completed", told)


def _reflections(
    turn: OpenTurn, session: Session, interviewer: AgentContract | None, reflection: str
) -> list[NewMemory]:
    """What both agents know of the person from now on, each in its own memory."""
    text = reflection[:LONGEST_MEMORY].strip()
    if not text:
        return []
    places = {turn.ids.agent_id: turn.ids.thread_id}
    if interviewer is not None and interviewer.configuration.memory_enabled:
        places.setdefault(interviewer.id, session.intake_thread_id)
    return [
        NewMemory(
            id=new_id(turn.ids.assistant_message_id, f"reflection {agent_id}"),
            agent_id=agent_id,
            scope="user",
            user_id=session.user_id,
            thread_id=thread_id,
            kind="reflection",
            text=text,
            origin="agent",
            source_message_id=turn.ids.assistant_message_id,
        )
        for agent_id, thread_id in places.items()
    ]
