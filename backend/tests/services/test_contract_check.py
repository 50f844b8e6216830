"""What a contract may ask of a deployment."""

from __future__ import annotations

from typing import Any

import pytest

from backend.errors import InvalidContract
from backend.models.agent_record import AgentRecord
from backend.services.contract_check import ContractCheck
from backend.services.model_catalog import ModelCatalog
from backend.tests.fake_tool_servers import FixedToolServers
from backend.tests.fakes import FrozenClock
from backend.tests.models.contracts import STEP, contract

INSIDE = "http://10.0.0.5/mcp"
CHECK = ContractCheck(ModelCatalog("gpt-6-luna", FrozenClock()), ["openai"], FixedToolServers(refused=[INSIDE]))


def refused(**parts: Any) -> dict[str, str]:
    with pytest.raises(InvalidContract) as found:
        CHECK.refuse(contract(**parts))
    return {error.pointer: error.detail for error in found.value.errors}


def server(name: str, url: str) -> dict[str, Any]:
    return {"kind": "mcp", "name": name, "url": url}


@pytest.mark.parametrize("enabled", [True, False])
def test_tools_that_come_along_and_servers_outside_may_be_granted(enabled: bool) -> None:
    grants = [{"kind": "builtin", "name": name} for name in ("current_time", "remember", "recall", "hand_off")]
    CHECK.refuse(
        contract(
            capabilities={"tools": [*grants, server("calendar", "https://tools.example.com/mcp")]},
            configuration={"tools_enabled": enabled},
        )
    )
    CHECK.refuse(contract())


@pytest.mark.parametrize("enabled", [True, False])
def test_a_server_that_may_not_be_reached_is_refused_also_while_tools_are_off(enabled: bool) -> None:
    grants = [server("calendar", "https://tools.example.com/mcp"), server("inside", INSIDE)]
    assert refused(capabilities={"tools": grants}, configuration={"tools_enabled": enabled}) == {
        "/capabilities/tools/1/url": "may not be reached from here"
    }


def test_everything_that_is_refused_is_named_at_once() -> None:
    found = refused(
        capabilities={"tools": [server("a", INSIDE), server("b", INSIDE)]}, configuration={"llm_provider": "nowhere"}
    )
    assert list(found) == ["/configuration/llm_provider", "/capabilities/tools/0/url", "/capabilities/tools/1/url"]
    assert "known: openai" in found["/configuration/llm_provider"]


def test_agents_that_work_are_warned_of_their_model_and_of_nothing_else() -> None:
    made = contract(type="workflow", workflow={"steps": [STEP]}, configuration={"llm_model": "gpt-4"})
    assert CHECK.warnings(AgentRecord.of(made)) == ["gpt-4 ended on 2026-10-23; turns run on gpt-6-luna"]
    assert CHECK.warnings(AgentRecord.of(contract(configuration={"llm_model": "gpt-6-luna"}))) == []
