"""A workflow's graph: its steps are the nodes, and where each leads the edges."""

# langgraph ships no type marker:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypeAlias

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from backend.errors import RunTooLong
from backend.graphs.nodes.agent_step import agent_step
from backend.graphs.nodes.condition_step import condition_step
from backend.graphs.nodes.prompt_step import prompt_step
from backend.graphs.nodes.recall import recall_for_work
from backend.graphs.nodes.tool_step import tool_step
from backend.graphs.state import Work, WorkState
from backend.models import workflow as steps
from backend.models.agent import AgentContract
from backend.models.workflow import AgentStep, ConditionStep, PromptStep, ToolStep, Workflow

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

RECALL = "recall memories"
"""With a space in it, so that no step has this name."""

WorkflowGraph: TypeAlias = "StateGraph[WorkState, Work, WorkState, WorkState]"
CompiledWorkflow: TypeAlias = "CompiledStateGraph[WorkState, Work, WorkState, WorkState]"
_Shape = tuple[tuple[str, tuple[str, ...]], ...]


class _Node(Protocol):
    def __call__(self, state: WorkState, *, runtime: Runtime[Work]) -> Awaitable[WorkState]: ...


def workflow_graph(contract: AgentContract) -> CompiledWorkflow:
    """The contract's workflow, ready to run over a `Work`: it fills `WorkState`, whose `answer` is the run's.

    What the steps say comes with each run, so workflows of the same steps and ways share a compiled graph. It never
    ends by the library's own limit: a step that is done too often ends it before, with `RunTooLong`.
    """
    workflow = contract.workflow or Workflow()
    graph = _compiled(_shape(workflow), remembers=contract.configuration.memory_enabled)
    return graph.with_config(recursion_limit=len(workflow.steps) * workflow.max_iterations + 10)


def _shape(workflow: Workflow) -> _Shape:
    return tuple(workflow.ways().items())


@lru_cache(256)
def _compiled(shape: _Shape, *, remembers: bool) -> CompiledWorkflow:
    return _built(shape, remembers=remembers).compile()


def _built(shape: _Shape, *, remembers: bool) -> WorkflowGraph:
    graph: WorkflowGraph = StateGraph(WorkState, context_schema=Work)
    for index, (name, ways) in enumerate(shape):
        graph.add_node(name, _node(index))
        if len(set(ways)) == 1:
            graph.add_edge(name, _target(ways[0]))
        else:
            then, otherwise = ways
            graph.add_conditional_edges(
                name, _decision(name, then), {"then": _target(then), "otherwise": _target(otherwise)}
            )
    first = shape[0][0]
    if remembers:
        graph.add_node(RECALL, recall_for_work)
        graph.add_edge(RECALL, first)
    graph.add_edge(START, RECALL if remembers else first)
    return graph


def _target(name: str) -> str:
    return END if name == steps.END else name


def _decision(name: str, then: str) -> Callable[[WorkState], str]:
    def decided(state: WorkState) -> str:
        return "then" if state.get("outputs", {})[name] == then else "otherwise"

    return decided


def _node(index: int) -> _Node:
    async def node(state: WorkState, runtime: Runtime[Work]) -> WorkState:
        work = runtime.context
        workflow = work.contract.workflow or Workflow()
        step = workflow.steps[index]
        visits = state.get("visits", {})
        visit = visits.get(step.id, 0) + 1
        if visit > workflow.max_iterations:
            raise RunTooLong(
                f"Step {step.id} was done {workflow.max_iterations} times, which is the workflow's max_iterations."
            )
        found: WorkState = {"visits": {**visits, step.id: visit}}
        text = await _done(step, state, work)
        found["outputs"] = {**state.get("outputs", {}), step.id: text}
        if text.strip() and not isinstance(step, ConditionStep):
            found |= {"last": step.id, "answer": text}
        return found

    return node


async def _done(step: steps.WorkflowStep, state: WorkState, work: Work) -> str:
    match step:
        case PromptStep():
            return await prompt_step(step, state, work)
        case ToolStep():
            return await tool_step(step, state, work)
        case AgentStep():
            return await agent_step(step, state, work)
        case ConditionStep():
            return await condition_step(step, state, work)
