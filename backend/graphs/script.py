"""The graph that writes a script: recall → write → reflect.

Imported when the first graph is needed (`compiled_agents.py`): the library takes longer to load than all the rest.
"""

# langgraph ships no type marker:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

from langgraph.graph import END, START, StateGraph

from backend.graphs.nodes.recall import recall_for_script
from backend.graphs.nodes.reflect import reflect
from backend.graphs.nodes.write_part import write
from backend.graphs.state import Writing
from backend.graphs.written_script import WritingState
from backend.models.agent import AgentContract

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

_NODES = {"recall": recall_for_script, "write": write, "reflect": reflect}

ScriptGraph: TypeAlias = "CompiledStateGraph[Any, Any, Any, Any]"


def script_graph(contract: AgentContract) -> ScriptGraph:
    """An agent that remembers nothing recalls nothing, and has nothing to look back for."""
    remembers = contract.configuration.memory_enabled
    return _compiled(("recall", "write", "reflect") if remembers else ("write",))


@cache
def _compiled(nodes: tuple[str, ...]) -> ScriptGraph:
    graph: StateGraph[WritingState, Writing, WritingState, WritingState] = StateGraph(
        WritingState, context_schema=Writing
    )
    for name in nodes:
        graph.add_node(name, _NODES[name])
    for before, after in pairwise((START, *nodes, END)):
        graph.add_edge(before, after)
    return graph.compile()
