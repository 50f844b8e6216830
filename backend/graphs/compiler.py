"""From a contract to its LangGraph graph.

Imported when the first graph is needed (`compiled_agents.py`): the library takes longer to load than all the rest.
"""

# langgraph ships no type marker:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

from langgraph.graph import END, START, StateGraph

from backend.graphs.autonomous import autonomous_graph
from backend.graphs.nodes.ask_next import ask_next
from backend.graphs.nodes.listen import listen
from backend.graphs.nodes.recall import recall
from backend.graphs.nodes.respond import respond
from backend.graphs.nodes.use_tools import use_tools, wants_tools
from backend.graphs.script import script_graph
from backend.graphs.state import Purpose, Turn, TurnState
from backend.graphs.workflow import workflow_graph
from backend.models.agent import AgentContract

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

_NODES = {"recall": recall, "respond": respond, "listen": listen, "ask_next": ask_next}


AnyGraph: TypeAlias = "CompiledStateGraph[Any, Any, Any, Any]"


def compile_graph(contract: AgentContract, purpose: Purpose) -> AnyGraph:
    """The graph by which the agent does what the run is for.

    What a contract says goes in with each run, so contracts that need the same nodes share a compiled graph; a
    workflow's steps are nodes of its own.
    """
    if purpose == "script":
        return script_graph(contract)
    if purpose == "work":
        return workflow_graph(contract) if contract.type == "workflow" else autonomous_graph(contract)
    remembers = ("recall",) if contract.configuration.memory_enabled else ()
    if purpose == "interview":
        return _chain((*remembers, "listen", "ask_next"))
    return _conversation(remembers, uses_tools=_uses_tools(contract))


def _uses_tools(contract: AgentContract) -> bool:
    return bool(contract.configuration.tools_enabled and contract.capabilities and contract.capabilities.tools)


@cache
def _conversation(before: tuple[str, ...], *, uses_tools: bool) -> AnyGraph:
    """recall → respond, and with tools: respond → use_tools → respond, until it calls no more."""
    if not uses_tools:
        return _chain((*before, "respond"))
    graph = _line((*before, "respond"))
    graph.add_node("use_tools", use_tools)
    graph.add_conditional_edges("respond", wants_tools, {"use_tools": "use_tools", "end": END})
    graph.add_edge("use_tools", "respond")
    return graph.compile()


@cache
def _chain(nodes: tuple[str, ...]) -> AnyGraph:
    graph = _line(nodes)
    graph.add_edge(nodes[-1], END)
    return graph.compile()


def _line(nodes: tuple[str, ...]) -> StateGraph[TurnState, Turn, TurnState, TurnState]:
    graph: StateGraph[TurnState, Turn, TurnState, TurnState] = StateGraph(TurnState, context_schema=Turn)
    for name in nodes:
        graph.add_node(name, _NODES[name])
    for before, after in pairwise((START, *nodes)):
        graph.add_edge(before, after)
    return graph
