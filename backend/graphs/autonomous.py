"""The graph of an autonomous agent: it plans, then acts and checks until its goal is reached."""

# langgraph ships no type marker:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from langgraph.graph import END, START, StateGraph

from backend.graphs.nodes.pursuit import act, check, is_reached, plan
from backend.graphs.nodes.recall import recall_for_work
from backend.graphs.state import PursuitState, Work
from backend.models.agent import AgentContract
from backend.models.workflow import Workflow

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

PursuitGraph: TypeAlias = "StateGraph[PursuitState, Work, PursuitState, PursuitState]"
CompiledPursuit: TypeAlias = "CompiledStateGraph[PursuitState, Work, PursuitState, PursuitState]"


def autonomous_graph(contract: AgentContract) -> CompiledPursuit:
    """recall → plan → act → check, and back to act until the goal is reached, ready to run over a `Work`.

    It fills `PursuitState`, whose `answer` is the run's. Without a workflow section the defaults of one hold. It never
    ends by the library's own limit: after `max_iterations` rounds it ends with `RunTooLong`.
    """
    graph = _compiled(remembers=contract.configuration.memory_enabled)
    rounds = (contract.workflow or Workflow()).max_iterations
    return graph.with_config(recursion_limit=2 * rounds + 10)


@cache
def _compiled(*, remembers: bool) -> CompiledPursuit:
    graph: PursuitGraph = StateGraph(PursuitState, context_schema=Work)
    graph.add_node("plan", plan)
    graph.add_node("act", act)
    graph.add_node("check", check)
    if remembers:
        graph.add_node("recall", recall_for_work)
        graph.add_edge("recall", "plan")
    graph.add_edge(START, "recall" if remembers else "plan")
    graph.add_edge("plan", "act")
    graph.add_edge("act", "check")
    graph.add_conditional_edges("check", is_reached, {"done": END, "not yet": "act"})
    return graph.compile()
