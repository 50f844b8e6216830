"""Pictures of graphs: what runs is what is drawn, and no text of a contract breaks the drawing."""

from __future__ import annotations

import re
from typing import Any

import pytest

from backend.graphs.picture import mermaid
from backend.graphs.workflow import workflow_graph
from backend.tests.graphs.workshop import SERVER, agent, condition, prompt, tool, workflow_agent
from backend.tests.models.contracts import contract

NODE = re.compile(r'^ +(\w+)(\(\["|\[\["|\[/"|\["|\{")([^"]*)("\]\)|"\]\]|"/\]|"\]|"\})$')
EDGE = re.compile(r"^ +(\w+) (?:-->\|([^|]*)\||-->|<-\.->) (\w+)$")
GRANTED: dict[str, Any] = {
    "configuration": {"tools_enabled": True, "memory_enabled": False},
    "capabilities": {"tools": [{"kind": "builtin", "name": "current_time"}, SERVER]},
}
STEPS = (
    prompt("draft"),
    tool("look", "notes__look"),
    condition("long", "look", "contains", "too long", then="draft", otherwise="review"),
    agent("review"),
)


def drawn(picture: str) -> tuple[dict[str, str], set[tuple[str, str, str]]]:
    """Labels by name, and edges as labels of both ends with what stands at them; every line is one or the other."""
    first, *lines = picture.splitlines()
    assert first == "flowchart TD"
    labels: dict[str, str] = {}
    edges: list[re.Match[str]] = []
    for line in lines:
        if node := NODE.match(line):
            labels[node[1]] = node[3]
        elif edge := EDGE.match(line):
            edges.append(edge)
        else:
            assert re.fullmatch(r" +(subgraph \w+|end)", line), line
    return labels, {(labels[one[1]], one[2] or "", labels[one[3]]) for one in edges}


def test_a_workflow_is_drawn_with_its_steps_and_ways() -> None:
    _, edges = drawn(mermaid(workflow_agent(*STEPS, memory=True)))
    look, long, review = "look<br/>tool notes__look", "long<br/>look contains too long#63;", "review<br/>another agent"
    tools = "tools<br/>notes"
    assert edges == {
        ("start", "", "recall memories"),
        ("recall memories", "", "draft"),
        ("draft", "", look),
        (look, "", long),
        (long, "then", "draft"),
        (long, "otherwise", review),
        (review, "", "end"),
        ("draft", "", tools),
    }


def test_what_is_drawn_is_what_runs() -> None:
    made = workflow_agent(*STEPS)
    labels, _ = drawn(mermaid(made))
    steps = {label.split("<br/>")[0] for label in labels.values()} - {"start", "end", "tools"}
    assert steps == set(workflow_graph(made).nodes) - {"__start__"}


def test_an_autonomous_agent_is_drawn_as_a_loop() -> None:
    _, edges = drawn(mermaid(contract(type="autonomous", **GRANTED)))
    assert edges == {
        ("start", "", "plan"),
        ("plan", "", "act"),
        ("act", "", "check"),
        ("check", "not yet", "act"),
        ("check", "done", "end"),
        ("act", "", "tools<br/>current_time, notes"),
    }


def test_a_conversation_is_drawn_with_its_tools_where_it_has_them() -> None:
    _, plain = drawn(mermaid(contract()))
    assert plain == {("start", "", "recall"), ("recall", "", "respond"), ("respond", "", "end")}
    _, edges = drawn(mermaid(contract(**GRANTED)))
    assert ("use tools", "", "respond") in edges
    assert ("use tools", "", "tools<br/>current_time, notes") in edges
    switched_off = GRANTED | {"configuration": {"tools_enabled": False, "memory_enabled": False}}
    assert "tools" not in mermaid(contract(**switched_off))


def test_an_agent_that_also_interviews_is_drawn_with_both_graphs() -> None:
    interview = {"fields": [{"name": "goal", "kind": "text", "question": "What for?"}]}
    picture = mermaid(contract(interview=interview))
    labels, _ = drawn(picture)
    assert re.findall(r"subgraph (\w+)", picture) == ["chat", "interview"]
    assert {name.rstrip("0123456789") for name in labels} == {"chat", "interview"}


@pytest.mark.parametrize(
    "hostile",
    [
        'a"] --> x["b',
        "<script>alert(1)</script>",
        "x|y|z",
        "#quot; %% click x",
        "a\n    end\n    subgraph b",
        "`md` ;{}",
    ],
)
def test_no_text_breaks_the_drawing(hostile: str) -> None:
    steps = (prompt("a"), condition("c", "a", "contains", hostile, then="end", otherwise="b"), prompt("b", hostile))
    picture = mermaid(workflow_agent(*steps))
    harmless = mermaid(workflow_agent(*steps[:1], steps[1] | {"value": "x"}, steps[2]))
    labels, edges = drawn(picture)
    assert len(picture.splitlines()) == len(harmless.splitlines())
    assert (len(labels), len(edges)) == tuple(map(len, drawn(harmless)))
    assert not set('<>"|`{}\n;#') & set(re.sub(r"#\d+;|<br/>", "", "".join(labels.values())))


def test_a_long_text_is_cut_and_the_same_contract_has_the_same_picture() -> None:
    steps = (prompt("a"), condition("c", "a", "contains", "word " * 200, then="end", otherwise="b"), prompt("b"))
    picture = mermaid(workflow_agent(*steps))
    assert max(map(len, picture.splitlines())) < 120
    assert picture == mermaid(workflow_agent(*steps))
