"""`numen agents apply`: files one after the other, and folders as a whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from backend.cli.agent_files import AgentFile
from backend.cli.agent_folder import UnusableFiles, read_agents
from backend.cli.agent_plan import Plan, carry_out, make_plan
from backend.cli.agent_references import referred, resolved
from backend.cli.api_client import ApiClient
from backend.cli.failures import CommandFailed, Refused, in_one_line
from backend.cli.folder_plan import FolderPlan, plan_folder
from backend.cli.known_agents import Agent, KnownAgents
from backend.cli.screen import somebody_is_there

_CHANGES = 2  # as diff says it: 0 for none, 1 for trouble was taken
_DONE = {"create": "created", "import": "imported", "update": "updated"}


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for. `prune_tags` limits `prune`; `tenant` names whose mirrored files are meant."""

    sources: Sequence[str]
    dry_run: bool = False
    check: bool = False
    prune: bool = False
    prune_tags: Sequence[str] = ()
    sure: bool = False
    tenant: str | None = None

    @property
    def whole(self) -> bool:
        """Whether everything is planned before anything is done."""
        return any(Path(one).is_dir() for one in self.sources)


def apply(api: ApiClient, order: Order) -> int:
    """Do it; the exit status. Errors: `CommandFailed`."""
    try:
        files = read_agents(order.sources)
        return _apply_whole(api, order, files) if order.whole else _apply_each(api, order, files)
    except UnusableFiles as error:
        *others, last = error.faults
        for fault in others:
            typer.echo(f"numen: {in_one_line(fault)}", err=True)
        if not others:
            raise CommandFailed(last) from error
        typer.echo(f"numen: {in_one_line(last)}", err=True)
        raise


def _apply_each(api: ApiClient, order: Order, files: Sequence[AgentFile]) -> int:
    changes = False
    for file in files:
        plan = make_plan(KnownAgents.read(api, [file.wanted.name]), file)
        changes = changes or plan.action != "nothing"
        typer.echo("\n".join(plan.lines()))
        if not (order.dry_run or order.check):
            _tell(plan, carry_out(api, plan))
    return _CHANGES if order.check and changes else 0


def _apply_whole(api: ApiClient, order: Order, files: Sequence[AgentFile]) -> int:
    files = _of_one_tenant(api, order, files)
    known = KnownAgents.read(api, [one.wanted.name for one in files], all_of_them=order.prune)
    plan = plan_folder(known, files, prune=order.prune, tags=order.prune_tags)
    typer.echo("\n".join(plan.lines()))
    if order.check or order.dry_run or not plan.changes:
        return _CHANGES if order.check and plan.changes else 0
    if not order.sure:
        _ask(plan)
    failed = _carry_out_all(api, plan)
    if failed:
        kept = " No agent was archived." if plan.leaving else ""
        raise CommandFailed(f"{failed} of {len(plan.plans)} files could not be applied.{kept}")
    for one in plan.leaving:
        api.delete(f"/agents/{one['id']}", if_match=one["version"])
        typer.echo(f"{one['name']}: archived ({one['id']})")
    return 0


def _of_one_tenant(api: ApiClient, order: Order, files: Sequence[AgentFile]) -> Sequence[AgentFile]:
    """A mirror's folder holds the agents of all tenants; those of others are not for this one."""
    tenants = {one.tenant_id for one in files if one.tenant_id is not None}
    wanted = order.tenant
    if wanted is None and len(tenants) > 1:
        wanted = str(api.get("/me")["tenant_id"])
    if wanted is None:
        return files
    if wanted not in tenants:
        raise CommandFailed(
            f"The files were mirrored from {len(tenants)} tenants; say whose agents you mean with --from-tenant: "
            f"{', '.join(sorted(tenants))}."
        )
    chosen = [one for one in files if one.tenant_id in (None, wanted)]
    if len(chosen) < len(files):
        typer.echo(f"{len(files) - len(chosen)} files of other tenants are passed over.", err=True)
    return chosen


def _ask(plan: FolderPlan) -> None:
    if somebody_is_there():
        typer.confirm("Apply this?", abort=True)
    elif plan.leaving:
        raise CommandFailed("Nothing was done: where nobody can be asked, agents are archived only with --yes.")


def _carry_out_all(api: ApiClient, whole: FolderPlan) -> int:
    """Do all that can be done; how many files could not be applied."""
    ids = dict(whole.ids)
    made: list[tuple[Plan, Agent]] = []
    failed: dict[str, str] = {}
    for planned in whole.plans:
        name = planned.file.wanted.name
        try:
            plan = _with_new_ids(whole, planned, ids, failed)
            if plan.action == "nothing":
                continue
            agent = carry_out(api, plan)
        except (Refused, _NamesWhatFailed) as error:
            failed[planned.file.agent_id or planned.file.source] = name
            typer.echo(f"numen: {name}: {in_one_line(error.detail)}", err=True)
            continue
        if plan.file.agent_id is not None:
            ids[plan.file.agent_id] = agent["id"]
        made.append((plan, agent))
        _tell(plan, agent)
    _close_circles(api, made, ids)
    return len(failed)


class _NamesWhatFailed(CommandFailed):
    """An agent that is named by this one could not be made."""


def _with_new_ids(whole: FolderPlan, plan: Plan, ids: dict[str, str], failed: dict[str, str]) -> Plan:
    """The plan with the ids of the agents that were made meanwhile."""
    if lacking := sorted(failed[one] for one in referred(plan.file) & failed.keys()):
        raise _NamesWhatFailed(f"not applied, because it names {', '.join(lacking)}.")
    file = resolved(plan.file, ids)
    if file is plan.file:
        return plan
    if plan.agent_id is None:
        return dataclasses.replace(plan, file=file)
    others = {one.agent_id for one in whole.plans if one.agent_id is not None} - {plan.agent_id}
    return make_plan(whole.known, file, others)


def _close_circles(api: ApiClient, made: Sequence[tuple[Plan, Agent]], ids: dict[str, str]) -> None:
    """Agents that name each other, or themselves, could be given the ids of the others only after all were made."""
    for plan, agent in made:
        file = resolved(plan.file, ids)
        if file is not plan.file and file.wanted.workflow is not None:
            workflow = file.wanted.workflow.model_dump(mode="json")
            api.patch(f"/agents/{agent['id']}", {"workflow": workflow}, if_match=agent["version"])


def _tell(plan: Plan, agent: Agent) -> None:
    if plan.action != "nothing":
        typer.echo(f"{agent['name']}: {_DONE[plan.action]}, {agent['version']} ({agent['id']})")
    for warning in agent["warnings"]:
        typer.echo(f"{agent['name']}: {warning}", err=True)
