"""Steps that name other agents by id: what they mean on a server where those agents have other ids."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any
from uuid import UUID

from backend.cli.agent_files import AgentFile
from backend.models.agent_requests import AgentCreateRequest
from backend.models.workflow import AgentStep, ToolStep, WorkflowStep


def referred(file: AgentFile) -> set[str]:
    """The ids of the agents that the file's steps name."""
    workflow = file.wanted.workflow
    steps = workflow.steps if workflow else ()
    return {named for step in steps if (named := _named_by(step)) is not None}


def resolved(file: AgentFile, ids: Mapping[str, str]) -> AgentFile:
    """The file with the ids that the agents it names have on the server; `ids` are from those of the files."""
    workflow = file.wanted.workflow
    if workflow is None or not referred(file) & {old for old, new in ids.items() if old != new}:
        return file
    steps = tuple(_renamed(step, ids) for step in workflow.steps)
    parts: dict[str, Any] = {**file.wanted.parts(), "workflow": workflow.model_copy(update={"steps": steps})}
    return dataclasses.replace(file, wanted=AgentCreateRequest(**parts, tags=file.wanted.tags))


def _named_by(step: WorkflowStep) -> str | None:
    if isinstance(step, AgentStep):
        return str(step.agent_id)
    if isinstance(step, ToolStep) and step.tool == "hand_off":
        return str(step.arguments.get("agent"))  # a name perhaps, which is no id of any file
    return None


def _renamed(step: WorkflowStep, ids: Mapping[str, str]) -> WorkflowStep:
    here = ids.get(_named_by(step) or "")
    if here is None:
        return step
    if isinstance(step, ToolStep):
        return step.model_copy(update={"arguments": {**step.arguments, "agent": here}})
    return step.model_copy(update={"agent_id": UUID(here)})


def named_first(files: Sequence[AgentFile]) -> list[AgentFile]:
    """The files in an order in which an agent comes after those it names; as they are where they name each other."""
    of = {file.agent_id: at for at, file in enumerate(files) if file.agent_id is not None}
    before = {at: {of[one] for one in referred(file) if one in of} - {at} for at, file in enumerate(files)}
    try:
        return [files[at] for at in TopologicalSorter(before).static_order()]
    except CycleError:
        return list(files)
