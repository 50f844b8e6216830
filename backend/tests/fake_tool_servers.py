"""Servers of tools as a test wants them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from backend.errors import ToolError, ToolUnavailable
from backend.models.capabilities import McpServer
from backend.ports import ServerTool, ToolOutcome


class FixedToolServers:
    """`ToolServers` that offer these tools by the name of the grant; a server it was not told of is unavailable.

    What a tool gives is what `answers` says for its name, or its arguments. `refused` are the addresses that no
    contract may name; while `hangs` is set, a server never says what it offers.
    """

    def __init__(self, offered: Mapping[str, Sequence[ServerTool]] | None = None, refused: Sequence[str] = ()) -> None:
        self.offered = dict(offered or {})
        self.refused = set(refused)
        self.answers: dict[str, ToolOutcome | ToolError] = {}
        self.called: list[tuple[str, str, dict[str, Any], UUID]] = []
        self.at_once = 0
        self.most_at_once = 0
        self.hangs: set[str] = set()

    async def tools(self, server: McpServer) -> Sequence[ServerTool]:
        """What it was told of."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            if server.name in self.hangs:
                await asyncio.Event().wait()
        finally:
            self.at_once -= 1
        if server.name not in self.offered:
            raise ToolUnavailable(f"{server.url} does not answer")
        return self.offered[server.name]

    async def call(self, server: McpServer, tool: str, arguments: Mapping[str, Any], key: UUID) -> ToolOutcome:
        """The answer that was set, or the arguments as text."""
        self.called.append((server.name, tool, dict(arguments), key))
        answer = self.answers.get(tool, ToolOutcome(str(dict(arguments))))
        if isinstance(answer, ToolError):
            raise answer
        return answer

    def refusal(self, url: str) -> str | None:
        """A reason for those that are refused."""
        return "may not be reached from here" if url in self.refused else None

    async def close(self) -> None:
        """Holds nothing."""
