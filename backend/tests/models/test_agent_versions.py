"""Exports, responses and what may leave a tenant."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from hypothesis import given

from backend.models import AgentContract, AgentExport, PortableContract
from backend.tests.models.contracts import CONTRACTS, OWNER, TENANT, contract, refusals


@given(CONTRACTS)
def test_a_portable_contract_loses_only_its_owner(made: AgentContract) -> None:
    text = PortableContract.of(made).model_dump_json()
    assert str(TENANT) not in text
    assert str(OWNER) not in text
    assert str(made.id) not in text
    again = PortableContract.model_validate_json(text).to_contract(agent_id=made.id, tenant_id=TENANT, owner_id=OWNER)
    assert again == made


def portable(version: str) -> dict[str, Any]:
    return PortableContract.of(contract(version=version)).model_dump(mode="json")


def entry(version: str, inside: str | None = None) -> dict[str, Any]:
    return {"version": version, "created_at": "2026-11-01T09:00:00Z", "contract": portable(inside or version)}


def test_an_export_is_one_consistent_history() -> None:
    whole = {"format": "numen.agent/1", "contract": portable("1.1.0"), "versions": [entry("1.0.0"), entry("1.1.0")]}
    assert refusals(AgentExport, whole) == {}
    assert refusals(AgentExport, {"contract": portable("1.0.0")}) == {}
    assert list(refusals(AgentExport, whole | {"versions": [entry("1.0.0")]})) == ["/versions"]
    assert "twice" in refusals(AgentExport, whole | {"versions": [entry("1.1.0")] * 2})["/versions/1/version"]
    assert "/versions/0/contract/version" in refusals(AgentExport, whole | {"versions": [entry("1.1.0", "2.0.0")]})
    assert list(refusals(AgentExport, whole | {"format": "numen.agent/2"})) == ["/format"]


def test_a_file_cannot_bring_an_owner_along() -> None:
    smuggled = portable("1.0.0") | {"metadata": {"tenant_id": str(uuid4()), "owner_id": str(uuid4())}}
    assert list(refusals(AgentExport, {"contract": smuggled})) == ["/contract/metadata"]
