"""Two pairs of contracts from different fields, which run on the same code: the shipped one, and an example's."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from backend.models.agent import AgentContract
from backend.models.interview import Interview
from backend.models.script import Script
from backend.tests.models.contracts import contract

EXAMPLES = Path(__file__).parents[3] / "examples" / "contracts"
_IDS = UUID("6f1c2f9e-8a53-4c53-9b1e-2f6d2c1a7b10")


def shipped(name: str) -> AgentContract:
    """One of the default agents."""
    return _made(files("backend.scripts.default_agents").joinpath(f"{name}.json").read_text("utf-8"))


def from_example(name: str) -> AgentContract:
    """One of the examples."""
    return _made((EXAMPLES / f"{name}.json").read_text("utf-8"))


def _made(text: str) -> AgentContract:
    given: dict[str, Any] = json.loads(text)
    given.pop("tags")
    return contract(**given, id=uuid5(_IDS, given["name"]))


COACH, GUIDE = shipped("intake"), shipped("therapy")
TUTOR, TEACHER = from_example("tutor_placement_interview"), from_example("tutor_lesson")


def interview_of(agent: AgentContract) -> Interview:
    """Its interview, which it has."""
    assert agent.interview is not None
    return agent.interview


def script_of(agent: AgentContract) -> Script:
    """Its script, which it has."""
    assert agent.script is not None
    return agent.script
