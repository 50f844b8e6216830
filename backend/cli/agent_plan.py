"""What applying a file to a server means: make the agent, bring it to the file, or nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from backend.cli.agent_files import AgentFile
from backend.cli.agent_lookup import named
from backend.cli.api_client import ApiClient
from backend.cli.failures import CommandFailed
from backend.models.agent import AgentContract
from backend.models.agent_requests import AgentResponse
from backend.models.agent_versions import FieldChange
from backend.models.contract_changes import diff, merge, next_version, summarize


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done to the agent of the file's name; `changes` are between it and the file."""

    file: AgentFile
    action: Literal["create", "import", "update", "nothing"]
    agent_id: str | None = None
    version: str | None = None
    becomes: str | None = None
    changes: Sequence[FieldChange] = ()

    def lines(self) -> list[str]:
        """The plan for people."""
        name = self.file.wanted.name
        match self.action:
            case "create":
                return [f"{name}: is new"]
            case "import":
                return [f"{name}: is new, with its history"]
            case "nothing":
                return [f"{name}: is as the file says ({self.version})"]
            case "update":
                return [f"{name}: {self.version} → {self.becomes}", *(f"  {summarize([one])}" for one in self.changes)]


def make_plan(api: ApiClient, file: AgentFile) -> Plan:
    """Compare the file with the agent of its name. Sections and values that it does not have go to their defaults.

    Errors: `CommandFailed` when several agents have the name.
    """
    found = named(api, file.wanted.name)
    if not found:
        return Plan(file, "create" if file.export is None else "import")
    if len(found) > 1:
        ids = ", ".join(one["id"] for one in found)
        raise CommandFailed(
            f"{len(found)} agents are named {file.wanted.name} ({ids}): archive or rename all but one of them."
        )
    current = _contract(found[0])
    changes = diff(current, merge(current, _everything(file)))
    action = "update" if changes else "nothing"
    return Plan(file, action, str(current.id), current.version, next_version(current.version, changes), changes)


def carry_out(api: ApiClient, plan: Plan) -> dict[str, Any]:
    """Do what the plan says; the agent as it is then. Errors: `CommandFailed`, also when it changed meanwhile."""
    match plan.action:
        case "nothing":
            return api.get(f"/agents/{plan.agent_id}")
        case "update":
            return api.patch(f"/agents/{plan.agent_id}", _everything(plan.file), if_match=str(plan.version))
        case "import":
            return api.post("/agents/import", plan.file.export)
        case "create":
            made = api.post("/agents", plan.file.wanted.model_dump(mode="json", exclude_none=True))
            if plan.file.status in (None, made["status"]):
                return made
            return api.patch(f"/agents/{made['id']}", {"status": plan.file.status}, if_match=made["version"])


def _everything(file: AgentFile) -> dict[str, Any]:
    """The whole contract as one change; null takes away what the file does not have."""
    parts = file.wanted.model_dump(mode="json", exclude={"name"})
    return parts if file.status is None else {**parts, "status": file.status}


def _contract(agent: dict[str, Any]) -> AgentContract:
    own = AgentResponse.model_fields.keys() - AgentContract.model_fields.keys()
    return AgentContract.model_validate_json(json.dumps({name: agent[name] for name in agent if name not in own}))
