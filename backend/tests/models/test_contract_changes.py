"""Merging, comparing, numbering and summing up changes."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from backend.models import AgentContract, AgentUpdateRequest
from backend.models.contract_changes import diff, merge, next_version, summarize
from backend.models.explanation import explain
from backend.tests.models.contracts import CONTRACTS, PERCENT, STEP, TRAITS, VOICE, contract, refusals


def patched(before: AgentContract, body: dict[str, Any]) -> AgentContract:
    return merge(before, AgentUpdateRequest.model_validate(body).changes())


def merge_refusals(before: AgentContract, body: dict[str, Any]) -> dict[str, str]:
    try:
        patched(before, body)
    except ValidationError as error:
        return dict(explain(error.errors()))
    return {}


def _key(step: str) -> str | int:
    return int(step) if step.isdecimal() else step


@given(CONTRACTS, st.sampled_from(TRAITS), PERCENT)
def test_one_trait_changes_one_field(before: AgentContract, trait: str, value: int) -> None:
    after = patched(before, {"traits": {trait: value}})
    old = getattr(before.traits, trait)
    assert [(change.path, change.before, change.after) for change in diff(before, after)] == (
        [] if old == value else [(f"/traits/{trait}", old, value)]
    )
    assert after.model_copy(update={"traits": before.traits}) == before


@given(CONTRACTS, CONTRACTS)
def test_a_diff_applied_gives_the_other_contract(before: AgentContract, after: AgentContract) -> None:
    document = before.model_dump(mode="json")
    for change in diff(before, after):
        *way, last = [step.replace("~1", "/").replace("~0", "~") for step in change.path.split("/")[1:]]
        place: Any = document
        for step in way:
            place = place[_key(step)]
        place[_key(last)] = copy.deepcopy(change.after)
    assert AgentContract.model_validate(document).model_dump(exclude={"id", "updated_at"}) == after.model_dump(
        exclude={"id", "updated_at"}
    )


@given(CONTRACTS)
def test_nothing_sent_nothing_changed(before: AgentContract) -> None:
    assert patched(before, {}) == before
    assert diff(before, before) == []


@given(CONTRACTS, CONTRACTS)
def test_sending_a_whole_contract_makes_it_so(before: AgentContract, after: AgentContract) -> None:
    body = after.model_dump(mode="json", exclude={"id", "version", "created_at", "updated_at", "metadata"})
    body |= {"tags": list(after.metadata.tags), "status": after.metadata.status}
    assert diff(patched(before, body), after) == []


def test_only_what_was_sent_is_a_change() -> None:
    body = {"traits": {"empathy": 90}, "voice": None, "change_summary": "warmer"}
    request = AgentUpdateRequest.model_validate(body)
    assert request.changes() == {"traits": {"empathy": 90}, "voice": None}
    assert request.change_summary == "warmer"


def test_null_clears_an_optional_section() -> None:
    before = contract(voice=VOICE, memory={}, capabilities={})
    after = patched(before, {"voice": None, "memory": None, "capabilities": None})
    assert (after.voice, after.memory, after.capabilities) == (None, None, None)
    assert "voice_id" in merge_refusals(contract(type="voice", voice=VOICE), {"voice": None})["/voice"]


@pytest.mark.parametrize("field", ["name", "type", "identity", "traits", "configuration", "tags", "status"])
def test_null_is_refused_where_something_must_be(field: str) -> None:
    assert list(refusals(AgentUpdateRequest, {field: None})) == [f"/{field}"]
    with pytest.raises(ValidationError):
        merge(contract(), {field: None})


@pytest.mark.parametrize("field", ["id", "version", "created_at", "updated_at", "metadata", "tenant_id", "owner_id"])
def test_the_servers_fields_cannot_be_changed(field: str) -> None:
    assert list(refusals(AgentUpdateRequest, {field: str(uuid4())})) == [f"/{field}"]
    with pytest.raises(ValidationError):
        merge(contract(), {field: str(uuid4())})


def test_a_part_of_a_section_is_checked_field_by_field() -> None:
    found = refusals(
        AgentUpdateRequest,
        {"traits": {"empathy": 101, "charm": 5, "humor": None}, "workflow": {"retry_policy": {"max_retries": -1}}},
    )
    assert set(found) == {"/traits/empathy", "/traits/charm", "/traits/humor", "/workflow/retry_policy/max_retries"}


def test_rules_over_several_fields_see_the_merged_contract() -> None:
    before = contract(voice={"voice_id": "a", "provider": "local", "speed": 2.0}, memory={})
    assert "0.7 to 1.2" in merge_refusals(before, {"voice": {"provider": "elevenlabs"}})["/voice/speed"]
    assert merge_refusals(before, {"voice": {"provider": "elevenlabs", "speed": 1}}) == {}
    assert "sum to 1" in merge_refusals(before, {"memory": {"alpha_recency": 0.4}})["/memory"]
    assert merge_refusals(before, {"memory": {"alpha_recency": 0.4, "alpha_semantic": 0.4}}) == {}


def test_a_section_that_was_absent_begins_with_its_defaults() -> None:
    after = patched(contract(), {"voice": {"voice_id": "x"}, "memory": {"half_life_days": 7}})
    assert after.voice is not None
    assert after.voice.speed == 1.0
    assert after.memory is not None
    assert (after.memory.half_life_days, after.memory.alpha_semantic) == (7, 0.45)
    assert merge_refusals(contract(), {"voice": {"speed": 1.1}}) == {"/voice/voice_id": "is required"}


def test_nested_parts_merge_and_lists_are_replaced() -> None:
    before = contract(
        type="workflow", workflow={"steps": [STEP, STEP | {"id": "two"}], "retry_policy": {"max_retries": 1}}
    )
    after = patched(before, {"workflow": {"retry_policy": {"backoff_multiplier": 3}, "steps": [STEP]}, "tags": ["x"]})
    assert after.workflow is not None
    assert after.workflow.retry_policy.model_dump() == {"max_retries": 1, "backoff_multiplier": 3.0}
    assert [step.id for step in after.workflow.steps] == ["draft"]
    assert after.metadata.tags == ("x",)


def test_the_servers_fields_are_no_difference() -> None:
    later = datetime(2027, 1, 1, tzinfo=UTC)
    assert diff(contract(), contract(id=str(uuid4()), version="7.0.0", updated_at=later, created_at=later)) == []


def test_lists_of_objects_are_compared_item_by_item() -> None:
    fields = [{"name": name, "kind": "text", "question": "Why?"} for name in ("a", "b")]
    before = contract(interview={"fields": fields})
    after = contract(interview={"fields": [fields[0], fields[1] | {"question": "How?"}]})
    [change] = diff(before, after)
    assert (change.path, change.before, change.after) == ("/interview/fields/1/question", "Why?", "How?")
    [change] = diff(before, contract(interview={"fields": fields[:1]}))
    assert change.path == "/interview/fields"


@pytest.mark.parametrize(
    ("body", "version"),
    [
        ({}, "1.4.2"),
        ({"name": "New"}, "1.4.3"),
        ({"tags": ["x"], "status": "inactive"}, "1.4.3"),
        ({"traits": {"empathy": 51}}, "1.5.0"),
        ({"traits": {"empathy": 51}, "name": "New"}, "1.5.0"),
        ({"voice": {"voice_id": "x"}}, "1.5.0"),
    ],
)
def test_versions_count_behaviour_and_the_rest_apart(body: dict[str, Any], version: str) -> None:
    before = contract(version="1.4.2")
    assert next_version("1.4.2", diff(before, patched(before, body))) == version


def test_the_summary_is_written_for_people() -> None:
    before = contract(memory={})
    after = patched(before, {"traits": {"empathy": 90}, "tags": ["sky"], "voice": {"voice_id": "x"}, "memory": None})
    assert summarize(diff(before, after)) == (
        'traits.empathy: 50 → 90; voice: added; memory: taken away; tags: [] → ["sky"]'
    )
    assert summarize([]) == ""


def test_long_summaries_are_cut_and_say_so() -> None:
    long = {name: f"{name} " + "x" * 5000 for name in ("full_description", "mission", "character_role")}
    before = contract()
    after = patched(before, {"identity": long, "traits": dict.fromkeys(TRAITS, 1), "name": "y" * 255})
    summary = summarize(diff(before, after))
    assert len(summary) < 520
    assert "\n" not in summary
    assert summary.endswith(" more")
