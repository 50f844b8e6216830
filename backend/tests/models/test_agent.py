"""The contract: defaults, bounds, rules between its parts, and its stored form."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from backend import models
from backend.models import AgentContract, AgentCreateRequest, contract_schema
from backend.tests.models.contracts import CONTRACTS, OWNER, STEP, TENANT, TRAITS, VOICE, contract, refusals

MINIMAL: dict[str, Any] = {"name": "Stargazer", "identity": {"short_description": "A guide"}}


def refused(**parts: Any) -> dict[str, str]:
    return refusals(AgentCreateRequest, MINIMAL | parts)


def test_a_minimal_contract_has_the_documented_defaults() -> None:
    made = contract()
    assert made.type == "conversational"
    assert made.version == "1.0.0"
    assert list(made.traits.model_dump().values()) == [50, 50, 50, 30, 50, 50, 70, 50, 80]
    assert made.configuration.model_dump() == {
        "llm_provider": "openai",
        "llm_model": "gpt-4o-mini",
        "max_tokens": 500,
        "temperature": 0.7,
        "reasoning_effort": "none",
        "memory_enabled": True,
        "voice_enabled": False,
        "tools_enabled": False,
        "memory_k": 6,
        "thread_window": 20,
    }
    assert (made.voice, made.memory, made.capabilities, made.workflow, made.interview, made.script) == (None,) * 6
    assert made.metadata.tags == ()
    assert made.metadata.status == "active"


def test_optional_sections_have_the_documented_defaults() -> None:
    made = contract(type="voice", voice=VOICE, memory={}, capabilities={})
    assert made.voice is not None
    assert made.voice.model_dump(exclude={"voice_id"}) == {
        "provider": "elevenlabs",
        "language": "en-US",
        "speed": 1.0,
        "pitch": 1.0,
        "stability": 0.75,
        "similarity_boost": 0.75,
        "stt_provider": "deepgram",
        "stt_model": "nova-2",
        "stt_language": "en",
        "vad_enabled": True,
    }
    assert made.memory is not None
    assert (made.memory.alpha_recency, made.memory.alpha_semantic, made.memory.alpha_reinforcement) == (0.35, 0.45, 0.2)
    assert (made.memory.half_life_days, made.memory.max_user_memories) == (30, 3)
    assert made.capabilities is not None
    assert made.capabilities.model_dump() == {"languages": ("en",), "modalities": ("text",), "tools": ()}


@pytest.mark.parametrize(
    ("section", "field", "low", "high", "step"),
    [
        *[("traits", trait, 0, 100, 1) for trait in TRAITS],
        ("configuration", "max_tokens", 50, 4000, 1),
        ("configuration", "temperature", 0.0, 2.0, 0.001),
        ("configuration", "memory_k", 1, 20, 1),
        ("configuration", "thread_window", 5, 50, 1),
        ("voice", "speed", 0.5, 2.0, 0.001),
        ("voice", "pitch", 0.5, 2.0, 0.001),
        ("voice", "stability", 0.0, 1.0, 0.001),
        ("voice", "similarity_boost", 0.0, 1.0, 0.001),
    ],
)
def test_bounds_are_inclusive_and_named(section: str, field: str, low: float, high: float, step: float) -> None:
    provider = "local" if field in {"speed", "pitch"} else "elevenlabs"
    rest = {"voice_id": "a", "provider": provider} if section == "voice" else {}
    assert refused(**{section: rest | {field: low}}) == {}
    assert refused(**{section: rest | {field: high}}) == {}
    for outside in (low - step, high + step):
        sentence = refused(**{section: rest | {field: outside}})[f"/{section}/{field}"]
        assert f"from {low:g} to {high:g}" in sentence
        assert f"{outside!r}" in sentence


@pytest.mark.parametrize(
    "wrong",
    [True, False, "50", None, 50.5, [50], float("nan"), float("inf"), 10**400, pytest.param(10**5000, id="huge")],
)
def test_a_trait_is_a_whole_number_and_nothing_that_looks_like_one(wrong: Any) -> None:
    assert list(refused(traits={"empathy": wrong})) == ["/traits/empathy"]


@pytest.mark.parametrize("wrong", [True, "0.5", None, float("nan"), float("-inf"), [], 10**400])
def test_a_temperature_is_a_finite_number(wrong: Any) -> None:
    assert list(refused(configuration={"temperature": wrong})) == ["/configuration/temperature"]


def test_a_whole_number_is_fine_where_a_decimal_is_asked() -> None:
    assert contract(configuration={"temperature": 1}).configuration.temperature == 1.0
    assert contract(traits={"empathy": 40.0}).traits.empathy == 40


@pytest.mark.parametrize("wrong", [1, 0, "true", "yes", None])
def test_a_switch_is_true_or_false(wrong: Any) -> None:
    assert "true or false" in refused(configuration={"memory_enabled": wrong})["/configuration/memory_enabled"]


@pytest.mark.parametrize("name", ["", "   ", "\u00a0", "a" * 256, "a\nb", "a\x00b", "\ud800", 7, None])
def test_names_are_one_visible_line(name: Any) -> None:
    assert list(refused(name=name)) == ["/name"]


def test_a_name_may_have_255_characters() -> None:
    assert refused(name="ä" * 255) == {}


@pytest.mark.parametrize("missing", ["name", "identity"])
def test_required_fields(missing: str) -> None:
    given = {key: value for key, value in MINIMAL.items() if key != missing}
    assert refusals(AgentCreateRequest, given) == {f"/{missing}": "is required"}


def test_unknown_fields_are_refused_everywhere() -> None:
    found = refused(colour="red", traits={"charm": 1}, identity={"short_description": "x", "age": 3})
    assert set(found) == {"/colour", "/traits/charm", "/identity/age"}


@pytest.mark.parametrize(
    "field", ["id", "version", "created_at", "updated_at", "metadata", "tenant_id", "owner_id", "status"]
)
def test_a_caller_cannot_write_what_is_the_servers(field: str) -> None:
    assert list(refused(**{field: str(uuid4())})) == [f"/{field}"]


def test_voice_agents_need_a_voice() -> None:
    assert "voice_id" in refused(type="voice")["/voice"]
    assert "voice_enabled" in refused(configuration={"voice_enabled": True})["/voice"]
    assert refused(type="voice", voice=VOICE) == {}


def test_workflow_agents_need_steps_and_others_have_no_workflow() -> None:
    assert "workflow" in refused(type="workflow")["/workflow"]
    assert "at least one step" in refused(type="workflow", workflow={})["/workflow/steps"]
    assert refused(type="workflow", workflow={"steps": [STEP]}) == {}
    assert refused(type="autonomous") == {}
    assert refused(type="autonomous", workflow={"trigger_type": "scheduled", "schedule": "0 9 * * 1"}) == {}
    assert "conversational" in refused(workflow={"steps": [STEP]})["/workflow"]


CALENDAR: dict[str, Any] = {"kind": "mcp", "name": "calendar", "url": "https://tools.example.com/mcp"}
TIME: dict[str, Any] = {"kind": "builtin", "name": "current_time"}


def calling(tool: str, *grants: dict[str, Any], enabled: bool = True) -> dict[str, str]:
    """What is refused of an agent with these grants whose second step calls the tool."""
    step = {"kind": "tool", "id": "call", "tool": tool}
    return refused(
        type="workflow",
        workflow={"steps": [STEP, step]},
        capabilities={"tools": list(grants)},
        configuration={"tools_enabled": enabled},
    )


@pytest.mark.parametrize(
    ("tool", "grants"),
    [
        ("current_time", [TIME]),
        ("calendar__list_events", [TIME, CALENDAR]),
        ("calendar__list_events", [CALENDAR | {"allowed_tools": ["list_events"]}]),
        ("calendar__list_events", [CALENDAR | {"allowed_tools": ["list.events"]}]),
        (f"{'c' * 55}_{'0' * 8}", [CALENDAR | {"name": "c" * 60}]),
    ],
)
def test_steps_call_tools_that_are_granted(tool: str, grants: list[dict[str, Any]]) -> None:
    assert calling(tool, *grants) == {}


@pytest.mark.parametrize(
    ("tool", "grants"),
    [
        ("calendar__list_events", [TIME]),
        ("recall", [TIME]),
        ("list_events", [CALENDAR]),
        ("calendar", [CALENDAR]),
        ("mail__list_events", [CALENDAR, TIME]),
        ("calendar__send", [CALENDAR | {"allowed_tools": ["list_events"]}]),
    ],
)
def test_steps_call_no_tools_that_are_not_granted(tool: str, grants: list[dict[str, Any]]) -> None:
    found = calling(tool, *grants)
    assert list(found) == ["/workflow/steps/1/tool"]
    assert f"'{tool}'" in found["/workflow/steps/1/tool"]


def test_steps_call_no_tools_while_tools_are_off() -> None:
    assert "tools_enabled" in calling("current_time", TIME, enabled=False)["/workflow/steps/1/tool"]
    assert refused(type="autonomous", capabilities={"tools": [TIME]}) == {}


@pytest.mark.parametrize("version", ["1", "1.0", "v1.0.0", "01.0.0", "1.0.0.0", "1.0.0-beta", "", 1])
def test_versions_are_semantic(version: Any) -> None:
    with pytest.raises(ValidationError, match="semantic version"):
        contract(version=version)


def test_times_need_a_zone_and_are_kept_in_utc() -> None:
    assert contract(created_at="2026-11-01T10:00:00+01:00").created_at == datetime(2026, 11, 1, 9, tzinfo=UTC)
    assert contract(created_at="2026-11-01T10:00:00+01:00").created_at.utcoffset() == timedelta(0)
    for wrong in ("2026-11-01T10:00:00", "0001-01-01T00:00:00+14:00"):
        with pytest.raises(ValidationError):
            contract(created_at=wrong)


def test_tags_are_few_short_and_different() -> None:
    assert refused(tags=[f"t{n}" for n in range(50)]) == {}
    assert list(refused(tags=[f"t{n}" for n in range(51)])) == ["/tags"]
    assert "'a'" in refused(tags=["a", "b", "a"])["/tags"]
    assert list(refused(tags=["ok", "x" * 65])) == ["/tags/1"]


def test_contracts_cannot_be_changed_in_place() -> None:
    made = contract()
    with pytest.raises(ValidationError):
        made.name = "Other"  # pyright: ignore[reportAttributeAccessIssue]


def test_a_created_contract_is_the_servers_first_version() -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    agent_id = uuid4()
    request = AgentCreateRequest.model_validate(MINIMAL | {"tags": ["sky"]})
    made = request.to_contract(agent_id=agent_id, tenant_id=TENANT, owner_id=OWNER, now=now)
    assert (made.id, made.version, made.created_at, made.updated_at) == (agent_id, "1.0.0", now, now)
    assert made.metadata.model_dump() == {"tenant_id": TENANT, "owner_id": OWNER, "tags": ("sky",), "status": "active"}


@given(CONTRACTS)
def test_the_stored_form_comes_back_equal(made: AgentContract) -> None:
    text = made.stored_json()
    assert AgentContract.model_validate_json(text) == made
    assert not [name for name, value in json.loads(text).items() if value is None]


def test_the_stored_form_keeps_nulls_inside_tool_arguments() -> None:
    step = {"kind": "tool", "id": "a", "tool": "current_time", "arguments": {"x": None}}
    granted: Any = {
        "configuration": {"tools_enabled": True},
        "capabilities": {"tools": [{"kind": "builtin", "name": "current_time"}]},
    }
    made = contract(type="workflow", workflow={"steps": [step]}, **granted)
    assert AgentContract.model_validate_json(made.stored_json()) == made


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda it: st.lists(it) | st.dictionaries(st.text(), it),
        max_leaves=8,
    )
)
def test_no_value_breaks_the_model_in_another_way_than_a_refusal(value: Any) -> None:
    for field in AgentCreateRequest.model_fields:
        refused(**{field: value})


def test_the_published_schema_stands_alone_and_knows_the_ranges() -> None:
    schema = contract_schema()
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["$id"]
    assert schema["additionalProperties"] is False
    AgentContract.model_validate(schema["examples"][0])
    empathy = schema["$defs"]["Traits"]["properties"]["empathy"]
    assert (empathy["type"], empathy["minimum"], empathy["maximum"], empathy["default"]) == ("integer", 0, 100, 50)


EXAMPLED: list[type[BaseModel]] = sorted(
    (
        model
        for name in models.__all__
        if isinstance(model := getattr(models, name), type)
        and issubclass(model, models.FrozenModel)
        and model not in {models.FrozenModel, models.ContractParts}
    ),
    key=lambda model: model.__name__,
)


@pytest.mark.parametrize("model", EXAMPLED)
def test_every_model_shows_a_valid_example(model: type[BaseModel]) -> None:
    [shown] = model.model_json_schema()["examples"]
    model.model_validate(shown)
