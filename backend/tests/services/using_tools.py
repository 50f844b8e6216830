"""What tests of turns with tools begin with: a tool that counts, and a server that has two of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from backend.models.capabilities import Approval
from backend.models.run import Run
from backend.models.tenant import Caller
from backend.ports import GrantedTool, PromptMessage, ToolCall, ToolOutcome, ToolSpec
from backend.services.live_run import LiveRun
from backend.tests.fakes import ScriptedModel
from backend.tests.services.one_server import OneServer

if TYPE_CHECKING:
    pass

GRANTS = {
    "configuration": {"tools_enabled": True},
    "capabilities": {"tools": [{"kind": "builtin", "name": "current_time"}]},
}


class Counter:
    """A tool that counts: how often it was called, with what, and under which keys."""

    def __init__(self, name: str = "count", approval: Approval = "never", *, repeatable: bool = False) -> None:
        self.calls: list[tuple[UUID, Mapping[str, Any]]] = []
        self.gives: ToolOutcome | Exception = ToolOutcome("counted")
        self.meeting: asyncio.Barrier | None = None
        parameters = {
            "type": "object",
            "properties": {"number": {"type": "integer"}},
            "required": ["number"],
            "additionalProperties": False,
        }
        self.granted = GrantedTool(ToolSpec(name, "Counts.", parameters), approval, repeatable, self._call)

    async def _call(self, arguments: Mapping[str, Any], key: UUID) -> ToolOutcome:
        self.calls.append((key, arguments))
        if self.meeting is not None:
            async with asyncio.timeout(30):
                await self.meeting.wait()
        if isinstance(self.gives, Exception):
            raise self.gives
        return self.gives


def call(name: str = "count", arguments: str = '{"number": 1}') -> ToolCall:
    return ToolCall(f"call_{uuid4().hex[:6]}", name, arguments)


def told(model: ScriptedModel) -> list[PromptMessage]:
    """What the model was told of its calls at last."""
    return [message for message in model.requests[-1].messages if message.role == "tool"]


async def waiting(server: OneServer, caller: Caller, run: LiveRun) -> Run:
    assert await run.reply() is None
    return await server.runs.get(caller, run.run_id)


async def finished(server: OneServer, caller: Caller, run_id: UUID) -> Run:
    async with asyncio.timeout(30):
        while (found := await server.runs.get(caller, run_id)).status == "running":  # noqa: ASYNC110 — the row says so
            await asyncio.sleep(0.02)
    return found
