"""What applying whole folders to a server means, known before anything is done."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from backend.cli.agent_files import AgentFile
from backend.cli.agent_folder import UnusableFiles
from backend.cli.agent_plan import Plan, make_plan
from backend.cli.agent_references import named_first, resolved
from backend.cli.failures import CommandFailed
from backend.cli.known_agents import Agent, KnownAgents


@dataclass(frozen=True, slots=True)
class FolderPlan:
    """What is done to the agent of each file, and the agents that are archived because no file is for them.

    `ids` holds, for files of the mirror, the agent they were written of → the one they mean here, where there is one.
    """

    known: KnownAgents
    plans: Sequence[Plan]
    leaving: Sequence[Agent]
    ids: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def changes(self) -> bool:
        """Whether anything is to be done."""
        return bool(self.leaving) or any(one.action != "nothing" for one in self.plans)

    def lines(self) -> list[str]:
        """Everything that changes, and the numbers."""
        told = [line for one in self.plans if one.action != "nothing" for line in one.lines()]
        told += [
            f"{one['name']}: no file is for it, {one['version']} is archived ({one['id']})" for one in self.leaving
        ]
        return [*told, self.summary()]

    def summary(self) -> str:
        """`2 to create, 1 to update, 5 unchanged`."""
        actions = [one.action for one in self.plans]
        update, unchanged = actions.count("update"), actions.count("nothing")
        told = f"{len(actions) - update - unchanged} to create, {update} to update, {unchanged} unchanged"
        return f"{told}, {len(self.leaving)} to archive" if self.leaving else told


def plan_folder(known: KnownAgents, files: Sequence[AgentFile], *, prune: bool, tags: Collection[str]) -> FolderPlan:
    """Compare all files with the server. With `prune`, agents without a file leave: all, or those of one of `tags`.

    Errors: `UnusableFiles` when it is not clear which agents are meant.
    """
    ids = _ids(_planned(known, files))
    plans = _planned(known, [resolved(one, ids) for one in files])
    if faults := _conflicts(plans):
        raise UnusableFiles(faults)
    wanted = {one.agent_id for one in plans}
    leaving = [one for one in known.in_service() if one["id"] not in wanted] if prune else []
    if tags:
        leaving = [one for one in leaving if not set(tags).isdisjoint(one["metadata"]["tags"])]
    by_file = {id(one.file): one for one in plans}
    ordered = [by_file[id(one)] for one in named_first([one.file for one in plans])]
    return FolderPlan(known, ordered, leaving, ids)


def _planned(known: KnownAgents, files: Sequence[AgentFile]) -> list[Plan]:
    plans: list[Plan] = []
    faults: list[str] = []
    taken: set[str] = set()
    for file in sorted(files, key=lambda one: one.status == "archived"):  # the living have the first choice
        try:
            plans.append(make_plan(known, file, taken))
        except CommandFailed as error:
            faults.append(f"{file.source}: {error.detail}")
        else:
            taken.add(plans[-1].agent_id or "")
    if faults:
        raise UnusableFiles(faults)
    return plans


def _ids(plans: Sequence[Plan]) -> dict[str, str]:
    return {one.file.agent_id: one.agent_id for one in plans if one.file.agent_id and one.agent_id}


def _conflicts(plans: Sequence[Plan]) -> list[str]:
    """Files that mean the same agent, or would make two of one name."""
    first: dict[str, Plan] = {}
    faults: list[str] = []
    for plan in plans:
        name = plan.file.wanted.name
        if plan.agent_id is None and plan.file.status == "archived":
            continue
        other = first.setdefault(plan.agent_id or f"a new {name}", plan)
        if other is not plan:
            faults.append(f"{plan.file.source} and {other.file.source} both mean {name}.")
    return faults
