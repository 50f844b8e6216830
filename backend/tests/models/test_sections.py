"""The optional sections and their rules."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.models import Capabilities, Interview, InterviewField, MemorySettings, Script, Workflow
from backend.tests.models.contracts import STEP, refusals


def test_memory_weights_sum_to_one() -> None:
    wrong = refusals(MemorySettings, {"alpha_recency": 0.5})
    assert list(wrong) == [""]
    assert "1.15" in wrong[""]
    assert "0.45" in wrong[""]
    assert refusals(MemorySettings, {"alpha_recency": 1, "alpha_semantic": 0, "alpha_reinforcement": 0}) == {}
    assert list(refusals(MemorySettings, {"alpha_recency": -0.1, "alpha_semantic": 0.9})) == ["/alpha_recency"]


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_rounding_of_weights_is_forgiven(one: int, two: int) -> None:
    weights = [one / 2000, two / 2000]
    third = 1 - sum(weights)
    sent = dict(zip(["alpha_recency", "alpha_semantic", "alpha_reinforcement"], [*weights, third], strict=True))
    assert refusals(MemorySettings, sent) == {}
    assert "" in refusals(MemorySettings, sent | {"alpha_reinforcement": third + (2e-6 if third < 0.9 else -2e-6)})


@pytest.mark.parametrize("url", ["https://tools.example.com/mcp", "http://127.0.0.1:9000", "https://[::1]/x"])
def test_mcp_servers_are_reached_over_http(url: str) -> None:
    assert refusals(Capabilities, {"tools": [{"kind": "mcp", "name": "x", "url": url}]}) == {}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://x/y",
        "stdio:cmd",
        "file:///etc/passwd",
        "https://",
        "https://a:b@host/",
        "https://h:99999/",
        "http://a b/",
        "https://[::1",
        5,
    ],
)
def test_other_addresses_are_refused(url: Any) -> None:
    assert list(refusals(Capabilities, {"tools": [{"kind": "mcp", "name": "x", "url": url}]})) == ["/tools/0/url"]


def test_tools_are_known_and_granted_once() -> None:
    assert refusals(Capabilities, {"tools": [{"kind": "builtin", "name": "recall", "approval": "always"}]}) == {}
    assert "current_time" in refusals(Capabilities, {"tools": [{"kind": "builtin", "name": "shell"}]})["/tools/0/name"]
    assert "builtin, mcp" in refusals(Capabilities, {"tools": [{"kind": "stdio", "name": "x"}]})["/tools/0/kind"]
    twice = [{"kind": "builtin", "name": "recall"}] * 2
    assert "'recall'" in refusals(Capabilities, {"tools": twice})["/tools"]
    assert "'en'" in refusals(Capabilities, {"languages": ["en", "en"]})["/languages"]


def test_a_schedule_belongs_to_a_scheduled_workflow_and_only_there() -> None:
    assert refusals(Workflow, {"trigger_type": "scheduled", "schedule": "0 9 * * 1"}) == {}
    assert list(refusals(Workflow, {"trigger_type": "scheduled"})) == ["/schedule"]
    assert list(refusals(Workflow, {"trigger_type": "event", "schedule": "0 9 * * 1"})) == ["/schedule"]
    assert list(refusals(Workflow, {"trigger_type": "scheduled", "schedule": "hourly"})) == ["/schedule"]


def test_steps_have_unique_names_and_point_at_steps_that_exist() -> None:
    condition = {
        "kind": "condition",
        "id": "ask",
        "step": "draft",
        "test": "empty",
        "then": "draft",
        "otherwise": "end",
    }
    assert refusals(Workflow, {"steps": [STEP, condition]}) == {}
    assert list(refusals(Workflow, {"steps": [STEP, STEP]})) == ["/steps/1/id"]
    assert "'gone'" in refusals(Workflow, {"steps": [STEP | {"next": "gone"}]})["/steps/0/next"]
    lost = refusals(Workflow, {"steps": [condition | {"then": "x", "otherwise": "y"}]})
    assert set(lost) == {"/steps/0/step", "/steps/0/then", "/steps/0/otherwise"}
    assert list(refusals(Workflow, {"steps": [STEP, condition | {"step": "end"}]})) == ["/steps/1/step"]
    assert list(refusals(Workflow, {"steps": [STEP | {"id": "end"}]})) == ["/steps/0/id"]


def test_a_step_is_checked_by_its_kind() -> None:
    assert refusals(Workflow, {"steps": [{"kind": "prompt", "id": "a"}]}) == {"/steps/0/prompt": "is required"}
    assert (
        "prompt, tool, agent, condition"
        in refusals(Workflow, {"steps": [{"kind": "code", "id": "a"}]})["/steps/0/kind"]
    )
    assert list(refusals(Workflow, {"steps": [STEP | {"tool": "x"}]})) == ["/steps/0/tool"]
    assert list(refusals(Workflow, {"steps": ["draft"]})) == ["/steps/0"]


@pytest.mark.parametrize("value", ["\x00", "\ud800", float("nan"), "y" * 20_001])
def test_tool_arguments_are_plain_json(value: Any) -> None:
    step = {"kind": "tool", "id": "a", "tool": "t", "arguments": {"x": [value]}}
    assert list(refusals(Workflow, {"steps": [step]})) == ["/steps/0/arguments"]


def test_backslashes_in_tool_arguments_are_no_control_characters() -> None:
    step = {"kind": "tool", "id": "a", "tool": "t", "arguments": {"x": "\\u0000"}}
    assert refusals(Workflow, {"steps": [step]}) == {}


def test_only_a_choice_has_options() -> None:
    option = {"value": "a", "description": "A"}
    field = {"name": "tone", "question": "Which?"}
    assert refusals(InterviewField, field | {"kind": "choice", "options": [option]}) == {}
    assert list(refusals(InterviewField, field | {"kind": "choice"})) == ["/options"]
    assert list(refusals(InterviewField, field | {"kind": "text", "options": [option]})) == ["/options"]
    assert list(refusals(InterviewField, field | {"kind": "choice", "options": [option, option]})) == [
        "/options/1/value"
    ]


def test_fields_and_parts_have_names_of_their_own() -> None:
    field = {"name": "goals", "kind": "list", "question": "What?"}
    assert list(refusals(Interview, {"fields": [field, field]})) == ["/fields/1/name"]
    assert list(refusals(Interview, {"fields": []})) == ["/fields"]
    part = {"name": "start", "purpose": "begin", "minutes": 1}
    assert list(refusals(Script, {"parts": [part, part]})) == ["/parts/1/name"]
    assert list(refusals(Script, {"parts": []})) == ["/parts"]
    assert list(refusals(Script, {"parts": [part | {"minutes": 0}]})) == ["/parts/0/minutes"]
