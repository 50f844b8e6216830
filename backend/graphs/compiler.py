"""From a contract to its LangGraph graph.

Imported when the first graph is needed (`compiled_agents.py`): the library takes longer to load than all the rest.
"""

# langgraph ships no type marker:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from langgraph.graph import END, START, StateGraph

from backend.graphs.nodes.recall import recall
from backend.graphs.nodes.respond import respond
from backend.graphs.state import Turn, TurnState
from backend.models.agent import AgentContract

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

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
