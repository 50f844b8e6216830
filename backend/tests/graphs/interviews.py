"""Two pairs of contracts from different fields, which run on the same code: the shipped one, and an example's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid5

from backend.graphs.compiler import compile_graph
from backend.graphs.prompt import contract_prompt
from backend.graphs.state import Turn, TurnState, Writing
from backend.graphs.written_script import WritingState
from backend.models.agent import AgentContract
from backend.models.interview import Interview
from backend.models.interview_progress import Answer, InterviewProgress
from backend.models.script import Script
from backend.ports import LanguageModel, Memory, PromptMessage, RecallRequest, ToolSet
from backend.tests.fakes import FixedMemory, ScriptedModel
from backend.tests.models.contracts import OWNER, TENANT, contract
from backend.tests.recording_journal import RecordingJournal

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


@dataclass
class Studio:
    """An agent with all that a turn of its interview, or its script, needs. `events` and `pieces` are what was told."""

    contract: AgentContract
    model: LanguageModel = field(default_factory=ScriptedModel)
    memory: Memory = field(default_factory=FixedMemory)
    tools: ToolSet = field(default_factory=ToolSet)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list[tuple[str, dict[str, Any]]])
    pieces: list[str] = field(default_factory=list[str])
    streaming: bool = True

    @property
    def text(self) -> str:
        """What was told so far."""
        return "".join(self.pieces)

    async def answer(
        self, message: str, progress: InterviewProgress, journal: RecordingJournal | None = None
    ) -> TurnState:
        """One turn of the interview."""
        said = [PromptMessage("assistant", "Welcome."), PromptMessage("user", message)]
        turn = Turn(**self._bench(message, journal), history=said, summary="", interview=progress)
        result: Any = await compile_graph(self.contract, "interview").ainvoke({}, context=turn)  # pyright: ignore[reportUnknownMemberType]
        return cast("TurnState", result)

    async def write(self, plan: Mapping[str, Answer], journal: RecordingJournal | None = None) -> WritingState:
        """The script."""
        writing = Writing(**self._bench("the plan", journal), plan=plan)
        result: Any = await compile_graph(self.contract, "script").ainvoke({}, context=writing)  # pyright: ignore[reportUnknownMemberType]
        return cast("WritingState", result)

    def _bench(self, query: str, journal: RecordingJournal | None) -> dict[str, Any]:
        return {
            "contract": self.contract,
            "prompt": contract_prompt(self.contract),
            "model_name": "gpt-6-luna",
            "recall": RecallRequest(TENANT, self.contract.id, OWNER, OWNER, contract=self.contract, query=query),
            "model": self.model,
            "memory": self.memory,
            "on_event": self._note,
            "on_text": self.pieces.append if self.streaming else None,
            "tools": self.tools,
            "journal": journal or RecordingJournal(),
        }

    def _note(self, kind: str, data: dict[str, Any]) -> None:
        self.events.append((kind, data))
