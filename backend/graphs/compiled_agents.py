"""Agents ready to run: the graphs of a contract, compiled once per agent version and kept."""

from __future__ import annotations

import importlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Any
from uuid import UUID

from backend.graphs.prompt import contract_prompt
from backend.graphs.state import Purpose, Turn, TurnState, Work
from backend.models.agent import AgentContract

if TYPE_CHECKING:
    from backend.graphs.compiler import AnyGraph

CONVERSATIONAL_TYPES = ("conversational", "voice")
WORKING_TYPES = ("workflow", "autonomous")
_LARGEST_CACHE = 1000


def load_compiler() -> None:
    """Load the graph library now, a second's work, rather than in the first turn. Safe from any thread."""
    importlib.import_module("backend.graphs.compiler")


class CompiledAgent:
    """A contract, parsed, with its part of the prompt and the graphs that its runs needed so far."""

    def __init__(self, contract: AgentContract) -> None:
        self.contract = contract
        self.prompt = contract_prompt(contract)
        self._graphs: dict[Purpose, AnyGraph] = {}

    def graph(self, purpose: Purpose) -> AnyGraph:
        """The graph for runs of this purpose, compiled when it is needed first."""
        from backend.graphs.compiler import compile_graph  # noqa: PLC0415 — loaded when first needed

        known = self._graphs.get(purpose)
        if known is None:
            known = self._graphs[purpose] = compile_graph(self.contract, purpose)
        return known

    async def run(self, turn: Turn) -> TurnState:
        """Execute one turn of a conversation or interview. Errors: those of the turn's model, `Paused`."""
        purpose: Purpose = "chat" if turn.interview is None else "interview"
        result: Any = await self.graph(purpose).ainvoke({}, context=turn)  # pyright: ignore[reportUnknownMemberType]
        return result

    async def work(self, work: Work) -> str:
        """Do a workflow's or an autonomous agent's work; its result. Errors: those of its steps, `Paused`."""
        graph = self.graph("work")
        result: Any = await graph.ainvoke({}, context=work)  # pyright: ignore[reportUnknownMemberType]
        return result.get("answer", "")


class GraphCache:
    """The newest compiled version of each agent that was talked to lately."""

    def __init__(self, size: int = _LARGEST_CACHE) -> None:
        self._size = size
        self._compiled: OrderedDict[tuple[UUID, UUID], CompiledAgent] = OrderedDict()

    def get(self, tenant_id: UUID, agent_id: UUID) -> CompiledAgent | None:
        """The compiled agent; whether it is of the version in force is for the caller to see."""
        known = self._compiled.get((tenant_id, agent_id))
        if known is not None:
            self._compiled.move_to_end((tenant_id, agent_id))
        return known

    def add(self, tenant_id: UUID, contract: AgentContract) -> CompiledAgent:
        """Keep a version that is new here."""
        compiled = CompiledAgent(contract)
        self._compiled[tenant_id, contract.id] = compiled
        if len(self._compiled) > self._size:
            self._compiled.popitem(last=False)
        return compiled
