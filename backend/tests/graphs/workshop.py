"""Everything that a run of work needs, in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID, uuid4

from backend.graphs.autonomous import autonomous_graph
from backend.graphs.journal import Journal, StepResult
from backend.graphs.prompt import contract_prompt
from backend.graphs.state import PursuitState, Work, WorkState
from backend.graphs.workflow import workflow_graph
from backend.models import AgentContract
from backend.models.capabilities import Approval
from backend.ports import GrantedTool, LanguageModel, Memory, RecallRequest, ToolOutcome, ToolSet, ToolSpec
from backend.tests.fakes import FixedMemory, ScriptedModel
from backend.tests.models.contracts import TENANT, contract
from backend.tests.recording_journal import RecordingJournal

OTHER_AGENT = "5f0c7f5e-7c34-4d0c-9d3d-1f5d0a4c9a11"
POST = "notes__post"
SERVER = {"kind": "mcp", "name": "notes", "url": "https://tools.example.com/mcp"}


def workflow_agent(*steps: dict[str, Any], memory: bool = False, **bounds: Any) -> AgentContract:
    """A contract with these steps."""
    return contract(
        type="workflow",
        workflow={"steps": steps, **bounds},
        configuration={"memory_enabled": memory, "tools_enabled": True},
        capabilities={"tools": [SERVER]},
    )


def prompt(name: str, text: str = "Write.", **more: Any) -> dict[str, Any]:
    """A prompt step."""
    return {"kind": "prompt", "id": name, "prompt": text, **more}


def tool(name: str, tool_name: str = POST, **more: Any) -> dict[str, Any]:
    """A tool step."""
    return {"kind": "tool", "id": name, "tool": tool_name, **more}


def agent(name: str, message: str = "", **more: Any) -> dict[str, Any]:
    """An agent step."""
    return {"kind": "agent", "id": name, "agent_id": OTHER_AGENT, "message": message, **more}


def condition(name: str, step: str, test: str, value: str = "", *, then: str, otherwise: str) -> dict[str, Any]:
    """A condition."""
    return {
        "kind": "condition", "id": name, "step": step, "test": test, "value": value, "then": then,
        "otherwise": otherwise,
    }  # fmt: skip


Answer = Callable[[Mapping[str, Any]], ToolOutcome]


class FakeTool:
    """A tool that counts what it did. `answer` may raise."""

    def __init__(
        self,
        answer: Answer = lambda _: ToolOutcome("posted"),
        *,
        repeatable: bool = False,
        approval: Approval = "never",
        parameters: dict[str, Any] | None = None,
    ) -> None:
        self.calls: list[tuple[dict[str, Any], UUID]] = []
        self._answer = answer
        self._repeatable = repeatable
        self._approval: Approval = approval
        self._parameters = parameters or {"type": "object"}

    def granted(self, name: str) -> GrantedTool:
        """As it is in a `ToolSet`."""

        async def call(arguments: Mapping[str, Any], key: UUID) -> ToolOutcome:
            self.calls.append((dict(arguments), key))
            return self._answer(arguments)

        return GrantedTool(ToolSpec(name, f"Does {name}.", self._parameters), self._approval, self._repeatable, call)


Asking = Callable[[UUID, str, UUID], Awaitable[StepResult]]


@dataclass
class Workshop:
    """A contract with all that its run needs; `events`, `naps` and `asked` tell what happened."""

    contract: AgentContract
    model: LanguageModel = field(default_factory=ScriptedModel)
    tools: Mapping[str, FakeTool] = field(default_factory=dict[str, FakeTool])
    away: tuple[str, ...] = ()
    memory: Memory = field(default_factory=FixedMemory)
    asking: Asking | None = None
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list[tuple[str, dict[str, Any]]])
    naps: list[float] = field(default_factory=list[float])
    asked: list[tuple[UUID, str, UUID]] = field(default_factory=list[tuple[UUID, str, UUID]])
    looks: Iterator[Mapping[str, FakeTool] | None] = field(default_factory=lambda: iter(()))

    def work(self, given: str, journal: Journal) -> Work:
        """What the graph is run over."""
        ids = (TENANT, self.contract.id, uuid4(), uuid4())
        return Work(
            contract=self.contract,
            prompt=contract_prompt(self.contract),
            model_name="gpt-6-luna",
            recall=RecallRequest(*ids, contract=self.contract, query=given),
            model=self.model,
            memory=self.memory,
            on_event=lambda kind, data: self.events.append((kind, data)),
            on_text=None,
            tools=self._tool_set(self.tools, self.away),
            journal=journal,
            input=given,
            ask_agent=self._ask_agent,
            sleep=self._nap,
        )

    def comes_back(self, *, after: int, tools: Mapping[str, FakeTool] | None = None) -> None:
        """Who is away has these tools when it is looked for so many times."""
        self.looks = iter([*[None] * (after - 1), tools or {}])

    async def run(self, given: str = "", journal: RecordingJournal | None = None) -> WorkState:
        """Do the workflow."""
        result: Any = await workflow_graph(self.contract).ainvoke(  # pyright: ignore[reportUnknownMemberType]
            {}, context=self.work(given, journal or RecordingJournal())
        )
        return cast("WorkState", result)

    async def pursue(self, given: str = "", journal: RecordingJournal | None = None) -> PursuitState:
        """Pursue the goal."""
        result: Any = await autonomous_graph(self.contract).ainvoke(  # pyright: ignore[reportUnknownMemberType]
            {}, context=self.work(given, journal or RecordingJournal())
        )
        return cast("PursuitState", result)

    def told(self, kind: str) -> list[dict[str, Any]]:
        """The events of a kind."""
        return [data for name, data in self.events if name == kind]

    def _tool_set(self, tools: Mapping[str, FakeTool], away: tuple[str, ...]) -> ToolSet:
        granted = {name: one.granted(name) for name, one in tools.items()}
        return ToolSet(granted, away, self._look_again if away else None)

    async def _look_again(self) -> ToolSet:
        found = next(self.looks)
        return self._tool_set(self.tools, self.away) if found is None else self._tool_set(found, ())

    async def _nap(self, seconds: float) -> None:
        self.naps.append(seconds)

    async def _ask_agent(self, agent_id: UUID, message: str, key: UUID) -> StepResult:
        self.asked.append((agent_id, message, key))
        return await self.asking(agent_id, message, key) if self.asking else StepResult(f"Heard: {message}")
