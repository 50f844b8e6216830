"""The picture of an agent's graphs as a Mermaid flowchart, drawn from the graphs that run."""

# langgraph ships no type marker:
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langgraph.graph import END, START

from backend.graphs.compiled_agents import WORKING_TYPES
from backend.graphs.compiler import compile_graph
from backend.graphs.state import Purpose
from backend.models.agent import AgentContract
from backend.models.workflow import AgentStep, ConditionStep, PromptStep, ToolStep, WorkflowStep

_LONGEST_LABEL = 60
_PLAIN = frozenset(" _-.,:'")
_BOX = ('["', '"]')
_ROUND = ('(["', '"])')
_DIAMOND = ('{"', '"}')
_DOUBLE = ('[["', '"]]')
_SLANTED = ('[/"', '"/]')
_TOOLS = "tools"


@dataclass(frozen=True, slots=True)
class _Node:
    """One node: its name in the picture, its lines of text and the brackets of its shape."""

    name: str
    lines: tuple[str, ...]
    shape: tuple[str, str] = _BOX


def mermaid(contract: AgentContract) -> str:
    """The graphs by which the agent works, one below the other where it has several, as Mermaid text.

    The same contract has the same picture. Texts of the contract stand in it only as escaped labels.
    """
    purposes = _purposes(contract)
    lines = ["flowchart TD"]
    for purpose in purposes:
        drawn = list(_graph(contract, purpose))
        if len(purposes) > 1:
            drawn = [f"subgraph {purpose}", *(f"    {line}" for line in drawn), "end"]
        lines += [f"    {line}" for line in drawn]
    return "\n".join(lines) + "\n"


def _purposes(contract: AgentContract) -> list[Purpose]:
    if contract.type in WORKING_TYPES:
        return ["work"]
    also: list[tuple[Purpose, Any]] = [("interview", contract.interview), ("script", contract.script)]
    return ["chat", *(purpose for purpose, section in also if section is not None)]


def _graph(contract: AgentContract, purpose: Purpose) -> Iterator[str]:
    graph = compile_graph(contract, purpose).get_graph()
    edges = [(edge.source, edge.target, str(edge.data or "")) for edge in graph.edges]
    names = _in_order([(source, target) for source, target, _ in edges])
    steps: Mapping[str, WorkflowStep] = {}
    if contract.type == "workflow" and contract.workflow is not None:
        steps = {step.id: step for step in contract.workflow.steps}
    ids = {name: f"{purpose}{number}" for number, name in enumerate(names)}
    for name in names:
        yield _drawn(_node(ids[name], name, steps.get(name)))
    for source, target, label in sorted(edges, key=lambda edge: (names.index(edge[0]), names.index(edge[1]), edge[2])):
        yield f"{ids[source]} {f'-->|{_label(label)}|' if label else '-->'} {ids[target]}"
    yield from _tool_loop(contract, purpose, {name: ids[name] for name in names if _uses_tools(name, purpose, steps)})


def _in_order(edges: Sequence[tuple[str, str]]) -> list[str]:
    """The nodes as they are met on the way from the start, the end last."""
    names = [START]
    for name in names:
        names += [target for source, target in edges if source == name and target != END and target not in names]
    return [*names, END]


def _node(name: str, label: str, step: WorkflowStep | None) -> _Node:
    match step:
        case PromptStep():
            return _Node(name, (label,))
        case ToolStep():
            return _Node(name, (label, f"tool {step.tool}"), _DOUBLE)
        case AgentStep():
            return _Node(name, (label, "another agent"), _SLANTED)
        case ConditionStep():
            test = f"{step.step} {step.test.replace('_', ' ')} {step.value}".strip()
            return _Node(name, (label, f"{test}?"), _DIAMOND)
        case None:
            ends = {START: "start", END: "end"}
            return _Node(name, (ends.get(label, label.replace("_", " ")),), _ROUND if label in ends else _BOX)


def _drawn(node: _Node) -> str:
    opening, closing = node.shape
    return f"{node.name}{opening}{'<br/>'.join(map(_label, node.lines))}{closing}"


def _tool_loop(contract: AgentContract, purpose: Purpose, users: Mapping[str, str]) -> Iterator[str]:
    """The tools beside the nodes in which the model may call them, as often as it likes and is allowed."""
    if not contract.configuration.tools_enabled or contract.capabilities is None or not contract.capabilities.tools:
        return
    if users:
        names = ", ".join(grant.name for grant in contract.capabilities.tools)
        yield _drawn(_Node(f"{purpose}{_TOOLS}", (_TOOLS, names), _DOUBLE))
        yield from (f"{user} <-.-> {purpose}{_TOOLS}" for user in users.values())


def _uses_tools(name: str, purpose: Purpose, steps: Mapping[str, WorkflowStep]) -> bool:
    if purpose == "work":
        return isinstance(steps[name], PromptStep) if name in steps else name == "act" and not steps
    return name == "use_tools"


def _label(text: str) -> str:
    """A text that means itself in Mermaid, whatever it holds: what is no letter or digit is written as its number."""
    line = " ".join(text.split())
    cut = line if len(line) <= _LONGEST_LABEL else f"{line[: _LONGEST_LABEL - 1]}…"
    return "".join(sign if sign.isalnum() or sign in _PLAIN else f"#{ord(sign)};" for sign in cut)
