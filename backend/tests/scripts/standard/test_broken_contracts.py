"""What is broken, and that nothing of the schema is passed by."""

from __future__ import annotations

import copy

from backend.models import contract_schema
from backend.scripts.standard.broken_contracts import ContractBreaker
from backend.scripts.standard.ground import complete_contract


def test_every_property_of_the_schema_is_broken_somewhere() -> None:
    breaker = ContractBreaker(contract_schema(), complete_contract())
    broken = list(breaker.all())
    assert breaker.passed_by == []
    faults = {one.fault for one in broken}
    assert len(broken) > 400
    assert {
        "/identity is missing",
        "/identity/short_description is missing",
        "/traits/empathy is too large",
        "/traits/empathy is too small",
        "/configuration/temperature is too large",
        "/voice/voice_id has the wrong form",
        "/capabilities/languages has too few items",
        "/workflow/steps/3/otherwise is missing",
        "/interview/fields/0/options/0/words has too many items",
        "/no_such_field is unknown",
        "/metadata is the server's to write",
        "/tags has too many items",
    } <= faults


def test_one_fault_at_a_time() -> None:
    whole = complete_contract()
    for one in ContractBreaker(contract_schema(), whole).all():
        assert one.contract != whole
    assert whole == complete_contract()


def test_a_property_that_the_whole_contract_lacks_is_named() -> None:
    schema, whole = copy.deepcopy(contract_schema()), complete_contract()
    schema["$defs"]["Traits"]["properties"]["patience"] = {"type": "integer", "minimum": 0, "maximum": 100}
    breaker = ContractBreaker(schema, whole)
    list(breaker.all())
    assert breaker.passed_by == ["/traits/patience"]
