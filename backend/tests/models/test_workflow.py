"""Workflows: what their texts may refer to, and that there is a way through them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.models import Workflow
from backend.models.workflow import references
from backend.tests.models.contracts import STEP, refusals

AGENT = "5f0c7f5e-7c34-4d0c-9d3d-1f5d0a4c9a11"


def step(name: str, **parts: Any) -> dict[str, Any]:
    return STEP | {"id": name} | parts


def fork(name: str, then: str, otherwise: str) -> dict[str, Any]:
    return {"kind": "condition", "id": name, "step": "input", "test": "empty", "then": then, "otherwise": otherwise}


def refused(*steps: dict[str, Any]) -> dict[str, str]:
    return refusals(Workflow, {"steps": steps})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{{input}} and {{ draft }}, {{draft}} again", ["input", "draft"]),
        ("{{{input}}}", ["input"]),
        ("{{ in put }}", ["in put"]),
        ("{{}}", [""]),
        ("{input} {{input} {{in{put}} }} {{", []),
        ('{"a": {"b": {}}}', []),
    ],
)
def test_references_are_names_in_two_braces(text: str, names: list[str]) -> None:
    assert references(text) == names


def test_texts_refer_to_the_input_and_to_any_step() -> None:
    steps = (
        step("a", prompt="{{input}} {{b}} {{c}} {{d}} {{ e }} {{a}}"),
        {"kind": "tool", "id": "b", "tool": "t", "arguments": {"x": ["{{a}}", {"y": "{{input}}"}], "{{gone}}": 1}},
        {"kind": "agent", "id": "c", "agent_id": AGENT, "message": "{{a}}"},
        fork("d", "e", "end"),
        step("e"),
    )
    assert refused(*steps) == {}


def test_unknown_references_are_refused_where_they_stand() -> None:
    arguments = {"x": ["{{input}}", {"a/b": "{{gone}}"}], "y": "{{ Input }}"}
    found = refused(
        step("a", prompt="{{a}} {{user.name}}"),
        {"kind": "tool", "id": "b", "tool": "t", "arguments": arguments},
        {"kind": "agent", "id": "c", "agent_id": AGENT, "message": "Hi {{ }}"},
    )
    assert set(found) == {
        "/steps/0/prompt",
        "/steps/1/arguments/x/1/a~1b",
        "/steps/1/arguments/y",
        "/steps/2/message",
    }
    assert found["/steps/0/prompt"] == (
        "there is no step 'user.name' to refer to; write {{input}} or the id of a step of this workflow"
    )
    assert found["/steps/2/message"] == "{{}} names nothing; write {{input}} or the id of a step"


def test_no_step_takes_a_name_that_means_something_else() -> None:
    assert "the run's input" in refused(step("input"))["/steps/0/id"]
    assert "the workflow's end" in refused(step("end"))["/steps/0/id"]
    assert set(refused(step("a", next="input"))) == {"/steps/0/next"}
    assert set(refused(step("a", prompt="{{end}}"))) == {"/steps/0/prompt"}


def test_a_condition_may_look_at_the_input() -> None:
    assert refused(fork("a", "end", "b"), step("b")) == {}


def test_every_step_can_be_reached() -> None:
    assert refused(step("a", next="end"), step("b"), step("c")) == {
        "/steps/1": "no way leads from the first step to 'b'",
        "/steps/2": "no way leads from the first step to 'c'",
    }
    assert refused(step("a", next="c"), step("b", next="end"), step("c", next="b")) == {}


def test_a_workflow_that_never_ends_is_refused() -> None:
    assert refused(step("a"), step("b", next="a")) == {
        "/steps": "no way leads from the first step to the end; some step must go on at end"
    }
    assert set(refused(step("a", next="a"))) == {"/steps"}
    assert set(refused(fork("a", "a", "a"))) == {"/steps"}
    assert refused(fork("a", "a", "end")) == {}


def test_no_step_leads_where_there_is_no_way_out() -> None:
    assert refused(fork("a", "b", "end"), step("b"), step("c", next="b")) == {
        "/steps/1": "no way leads from 'b' to the end",
        "/steps/2": "no way leads from 'c' to the end",
    }


def test_ways_are_where_each_step_may_go_on() -> None:
    workflow = Workflow.model_validate({"steps": [step("a"), fork("b", "a", "c"), step("c")]})
    assert workflow.ways() == {"a": ("b",), "b": ("a", "c"), "c": ("end",)}
    assert Workflow().ways() == {}


@given(st.data())
def test_a_workflow_that_is_taken_has_a_way_from_everywhere(data: st.DataObject) -> None:
    names = [f"s{number}" for number in range(data.draw(st.integers(1, 6)))]
    targets = st.sampled_from([*names, "end"])
    steps = [
        fork(name, data.draw(targets), data.draw(targets)) if data.draw(st.booleans()) else
        step(name, **data.draw(st.fixed_dictionaries({}, optional={"next": targets})))
        for name in names
    ]  # fmt: skip
    if refused(*steps):
        return
    ways = Workflow.model_validate({"steps": steps}).ways()
    for name in names:
        assert "end" in everywhere(name, ways)
        assert name in everywhere(names[0], ways)


def everywhere(start: str, ways: dict[str, tuple[str, ...]]) -> set[str]:
    found = {start}
    for _ in range(len(ways) + 1):
        found |= {target for name in found for target in ways.get(name, ())}
    return found
