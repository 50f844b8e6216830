"""A workflow's step that calls a tool."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

from backend.errors import NumenError, StepFailed, ToolUnavailable
from backend.graphs.journal import StepCall, StepResult
from backend.graphs.nodes.attempts import tried
from backend.graphs.nodes.tool_loop import call_tool
from backend.graphs.references import filled_arguments, texts_of
from backend.graphs.state import Work, WorkState
from backend.graphs.tool_arguments import ArgumentsRefused, read_arguments
from backend.models.tool_names import may_be_of
from backend.models.workflow import ToolStep


async def tool_step(step: ToolStep, state: WorkState, work: Work) -> str:
    """What the tool gives. A tool that its server does not have, and arguments that do not fit, are not tried again.

    Errors: those of `tried`.
    """
    texts = texts_of(work.input, state.get("outputs", {}))

    async def attempt(bench: Work, number: int) -> StepResult:
        arguments = filled_arguments(step.arguments, texts)
        bench = await _with_its_server(bench, step.tool)
        refusal = _refusal(bench, step.tool, arguments)
        if refusal is None:
            return await call_tool(bench, step.tool, arguments, step=step.id, attempt=number)
        return await _refused(bench, step, number, refusal)

    return (await tried(work, step.id, "tool", attempt)).text


async def _with_its_server(work: Work, name: str) -> Work:
    """A server that was away when the run began, or was taken over, may be back by now."""
    if work.tools.look_again is None or _away(work, name) is None:
        return work
    return replace(work, tools=await work.tools.look_again())


def _away(work: Work, name: str) -> str | None:
    """The server that would have the tool, and cannot be asked."""
    if name in work.tools.tools:
        return None
    return next((server for server in work.tools.away if may_be_of(name, server)), None)


def _refusal(work: Work, name: str, arguments: dict[str, Any]) -> NumenError | None:
    server = _away(work, name)
    if server is not None:
        return ToolUnavailable(f"The server {server} cannot be reached.")
    tool = work.tools.tools.get(name)
    if tool is None:
        return StepFailed(f"The agent has no tool {name}.")
    try:
        read_arguments(tool.spec, json.dumps(arguments, ensure_ascii=False))
    except ArgumentsRefused as error:
        return StepFailed(str(error))
    return None


async def _refused(work: Work, step: ToolStep, number: int, refusal: NumenError) -> StepResult:
    """In the journal like a call: a server that had this tool may have made it, and then that is what it gave."""

    async def refuse(_: UUID) -> StepResult:
        raise refusal

    return await work.journal.once(StepCall(step.id, "tool", {"tool": step.tool}, number), refuse)
