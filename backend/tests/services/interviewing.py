"""A server with a pair of agents that interview and write, and a model that understands what it is told to."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import UUID

from backend.models.agent_requests import AgentCreateRequest
from backend.models.run import Run
from backend.models.session import Session, SessionCreate
from backend.models.tenant import Caller
from backend.scripts.default_agents import load_default_agents
from backend.tests.fakes import Step, says
from backend.tests.services.one_server import OneServer

_EXAMPLES = Path(__file__).parents[3] / "examples" / "contracts"
GOALS = ["sleep through the night"]
ANSWERS: dict[str, Any] = {
    "goals": GOALS, "tone": "calm", "session_type": "sleep_hypnosis", "voice_id": "calm-female", "notes": "the sea",
}  # fmt: skip
PARTS = ("induction", "deepening", "therapy", "emergence")
SCRIPT: list[Step] = [
    says("Breathe in. [pause 4] And out."),
    says("Down."),
    says("You sleep."),
    says("Wake up."),
]
TEXTS = ["Breathe in. And out.", "Down.", "You sleep.", "Wake up."]
REFLECTION = "They wanted to sleep through the night, and got a calm session by the sea."


def hears(**parts: Any) -> Step:
    """The model understands this."""
    return says(json.dumps(parts))


async def default_agents(server: OneServer, caller: Caller, **changes: Any) -> tuple[UUID, UUID]:
    """The two agents with which a deployment begins."""
    made = [
        await server.agents.create(caller, one.model_copy(update=changes)) for one in load_default_agents().values()
    ]
    return made[0].id, made[1].id


async def tutors(server: OneServer, caller: Caller) -> tuple[UUID, UUID]:
    """The pair of another field."""
    made = [
        await server.agents.create(
            caller, AgentCreateRequest.model_validate_json((_EXAMPLES / f"{name}.json").read_text("utf-8"))
        )
        for name in ("tutor_placement_interview", "tutor_lesson")
    ]
    return made[0].id, made[1].id


async def say(server: OneServer, caller: Caller, session: Session, message: str, answer: str, **parts: Any) -> Session:
    """One message, understood as `parts` and answered so."""
    server.model.then(hears(**parts), says(answer))
    return await server.sessions.say(caller, session.id, message)


async def interviewed(server: OneServer, caller: Caller, **create: Any) -> Session:
    """A session whose interview is complete."""
    session = await server.sessions.create(caller, SessionCreate(**create))
    await say(server, caller, session, "All at once", "Is that right?", answers=ANSWERS)
    return await say(server, caller, session, "Yes", "Thank you.", confirms=True)


async def consented(server: OneServer, caller: Caller, **create: Any) -> Session:
    """A session whose plan is agreed to."""
    session = await interviewed(server, caller, **create)
    return await server.sessions.consent(caller, session.id, accepted=True)


async def ended(server: OneServer, caller: Caller, run_id: UUID) -> Run:
    """The run when it has ended, or waits."""
    async with asyncio.timeout(30):
        live = server.registry.get(run_id)
        if live is not None:
            await live.ending()
        return await server.runs.get(caller, run_id)
