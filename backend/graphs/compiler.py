"""One LangGraph graph per contract, compiled once per agent version."""

# langgraph ships no type marker:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from langgraph.graph import END, START, StateGraph

from backend.graphs.nodes.recall import recall
from backend.graphs.nodes.respond import respond
from backend.graphs.prompt import contract_prompt
from backend.graphs.state import Turn, TurnState
from backend.models.agent import AgentContract

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

CONVERSATIONAL_TYPES = ("conversational", "voice")
_LARGEST_CACHE = 1000
_NODES = {"recall": recall, "respond": respond}


TurnGraph: TypeAlias = "CompiledStateGraph[TurnState, Turn, TurnState, TurnState]"


def compile_graph(contract: AgentContract) -> TurnGraph:
    """recall → respond, with only the nodes that this contract needs. Storing is the run's, whatever the graph did.

    What a contract says goes in with each turn, so contracts that need the same nodes share a compiled graph.
    """
    return _compiled(("recall", "respond") if contract.configuration.memory_enabled else ("respond",))


@cache
def _compiled(nodes: tuple[str, ...]) -> TurnGraph:
    graph: StateGraph[TurnState, Turn, TurnState, TurnState] = StateGraph(TurnState, context_schema=Turn)
    for name in nodes:
        graph.add_node(name, _NODES[name])
    for before, after in pairwise((START, *nodes, END)):
        graph.add_edge(before, after)
    return graph.compile()


@dataclass(frozen=True, slots=True)
class CompiledAgent:
    """A contract, parsed, with its graph and its part of the prompt."""

    contract: AgentContract
    prompt: str
    graph: TurnGraph

    async def run(self, turn: Turn) -> TurnState:
        """Execute one turn. Errors: those of the turn's model."""
        result: Any = await self.graph.ainvoke({}, context=turn)
        return result


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
        """Compile a version that is new here."""
        compiled = CompiledAgent(contract, contract_prompt(contract), compile_graph(contract))
        self._compiled[tenant_id, contract.id] = compiled
        if len(self._compiled) > self._size:
            self._compiled.popitem(last=False)
        return compiled
