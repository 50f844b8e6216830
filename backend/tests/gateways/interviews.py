"""Two interviews from different fields, and what is said in them, for the tests of the offline provider."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from backend.gateways.offline_reading import read_answers
from backend.models.agent import AgentContract
from backend.models.agent_requests import AgentCreateRequest
from backend.models.interview import Interview
from backend.models.interview_progress import Answer, HeardAnswers, InterviewProgress
from backend.ports.tasks import ReadAnswers
from backend.scripts.default_agents import load_default_agents

EXAMPLES = Path(__file__).parents[3] / "examples" / "contracts"


def example(name: str) -> AgentContract:
    """A contract of the examples' folder."""
    return contract_of(AgentCreateRequest.model_validate_json((EXAMPLES / f"{name}.json").read_bytes()))


def contract_of(request: AgentCreateRequest) -> AgentContract:
    """The contract that a request makes."""
    someone, now = UUID(int=1), datetime(2026, 11, 22, tzinfo=UTC)
    return request.to_contract(agent_id=someone, tenant_id=someone, owner_id=someone, now=now)


def interview_of(contract: AgentContract) -> Interview:
    """The contract's interview."""
    assert contract.interview is not None
    return contract.interview


INTAKE_AGENT, THERAPY_AGENT = (contract_of(load_default_agents()[name]) for name in ("intake", "therapy"))
TUTOR, LESSON = example("tutor_placement_interview"), example("tutor_lesson")
INTAKE, PLACEMENT = interview_of(INTAKE_AGENT), interview_of(TUTOR)
SESSION: dict[str, Answer] = {
    "goals": ("sleep through the night", "quit smoking"),
    "tone": "calm",
    "session_type": "sleep_hypnosis",
    "voice_id": "calm-female",
    "notes": "the sea",
}


def before(name: str, answers: dict[str, Answer] = SESSION) -> dict[str, Answer]:
    """The answers that are known when a field is asked for."""
    names = list(answers)
    return {known: answers[known] for known in names[: names.index(name)]}


def hear(asked: str | None, message: str, interview: Interview = INTAKE, **progress: Any) -> HeardAnswers:
    """What a message says, when this field was asked for last."""
    return read_answers(ReadAnswers(interview, InterviewProgress(asked=asked, **progress), message))
