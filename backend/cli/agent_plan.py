"""What applying a file to a server means: make the agent, bring it to the file, or nothing."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from backend.cli.agent_files import AgentFile
from backend.cli.api_client import ApiClient
from backend.cli.change_lines import change_lines
from backend.cli.failures import CommandFailed
from backend.cli.known_agents import Agent, KnownAgents
from backend.models.agent import AgentContract
from backend.models.agent_requests import AgentResponse
from backend.models.agent_versions import FieldChange
from backend.models.contract_changes import diff, merge, next_version

Action = Literal["create", "import", "update", "nothing"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done to the agent of the file's name; `changes` are between it and the file."""

    file: AgentFile
    action: Action
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
                changed = [f"  {line}" for change in self.changes for line in change_lines(change)]
                return [f"{name}: {self.version} → {self.becomes}", *changed]


def make_plan(known: KnownAgents, file: AgentFile, taken: Collection[str] = ()) -> Plan:
    """Compare the file with the agent that it means. Sections and values that it does not have go to their defaults.

    The agents of the ids `taken` are what other files mean. Errors: `CommandFailed` when several may be meant.
    """
    found = _meant(known, file, taken)
    if not found:
        return Plan(file, "create" if file.export is None else "import")
    plans = [_compared(file, one) for one in found]
    same = [one for one in plans if one.action == "nothing"]
    if len(plans) > 1 and not (same and found[0]["status"] == "archived"):
        ids = ", ".join(one["id"] for one in found)
        raise CommandFailed(
            f"{len(found)} agents are named {file.wanted.name} ({ids}): archive or rename all but one of them."
        )
    return (same or plans)[0]


def _meant(known: KnownAgents, file: AgentFile, taken: Collection[str]) -> list[Agent]:
    """A file means the agent of its name. If it was mirrored from one of that name, it means this very one.

    Archived agents do not count, unless the file itself is of an archived one.
    """
    name, ended = file.wanted.name, file.status == "archived"
    in_service = known.in_service(name)
    itself = known.identified(name, file.agent_id)
    if itself is not None and (itself["status"] != "archived" or ended or not in_service):
        return [itself]
    if not ended:
        return in_service
    free = [[one for one in some if one["id"] not in taken] for some in (in_service, known.archived(name))]
    return free[0] or free[1]


def _compared(file: AgentFile, agent: Agent) -> Plan:
    current = _contract(agent)
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


def _contract(agent: Agent) -> AgentContract:
    own = AgentResponse.model_fields.keys() - AgentContract.model_fields.keys()
    return AgentContract.model_validate_json(json.dumps({name: agent[name] for name in agent if name not in own}))
