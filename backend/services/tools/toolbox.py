"""AgentToolbox: the tools that a contract grants, ready to be called."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from backend.errors import ToolError
from backend.graphs.tool_schemas import tidy_schema
from backend.models.capabilities import BuiltinTool as BuiltinGrant
from backend.models.capabilities import McpServer
from backend.models.fields import UNSTORABLE
from backend.models.tool_names import BETWEEN, marked_name, tool_name
from backend.ports import GrantedTool, ServerTool, ToolOutcome, ToolRequest, ToolServers, ToolSet, ToolSpec
from backend.services.tools.builtin_tool import BuiltinTool
from backend.telemetry import Metrics, get_logger

LISTING_SECONDS = 10.0
MOST_TOOLS = 128
"""What model APIs take in one call."""
LONGEST_DESCRIPTION = 1024
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Listed:
    """What one server offers; None when that cannot be known right now."""

    server: McpServer
    tools: Sequence[ServerTool] | None


class AgentToolbox:
    """The `Toolbox` of every agent. `builtins` are granted by the name in their spec.

    A server that does not say what it offers within `listing_seconds` (or its grant's own patience) is away.
    """

    def __init__(
        self,
        servers: ToolServers,
        builtins: Iterable[BuiltinTool],
        metrics: Metrics,
        *,
        listing_seconds: float = LISTING_SECONDS,
    ) -> None:
        self._servers = servers
        self._builtins = {tool.spec.name: tool for tool in builtins}
        self._metrics = metrics
        self._listing_seconds = listing_seconds

    async def open(self, request: ToolRequest) -> ToolSet:
        """See the port. Of more than `MOST_TOOLS` tools the first are given, in the order of the grants."""
        capabilities = request.contract.capabilities
        if capabilities is None or not request.contract.configuration.tools_enabled:
            return ToolSet()
        servers = [grant for grant in capabilities.tools if isinstance(grant, McpServer)]
        listed = {one.server.name: one for one in await asyncio.gather(*(self._list(one, request) for one in servers))}
        offered: dict[str, GrantedTool] = {}
        for grant in capabilities.tools:
            if isinstance(grant, McpServer):
                offered.update(self._of_server(listed[grant.name], servers, offered))
            else:
                offered[grant.name] = self._of_platform(grant, request)
        if len(offered) > MOST_TOOLS:
            _log.warning("an agent is granted too many tools", agent_id=str(request.agent_id), tools=len(offered))
        away = [name for name, one in listed.items() if one.tools is None]
        return ToolSet(dict(list(offered.items())[:MOST_TOOLS]), away, partial(self.open, request) if away else None)

    async def _list(self, server: McpServer, request: ToolRequest) -> _Listed:
        try:
            async with asyncio.timeout(min(self._listing_seconds, server.timeout_seconds)):
                return _Listed(server, await self._servers.tools(server))
        except (ToolError, TimeoutError) as error:
            reason = error.detail if isinstance(error, ToolError) else "it took too long to say what it offers"
            _log.warning("a tool server is away", agent_id=str(request.agent_id), server=server.name, reason=reason)
            return _Listed(server, None)

    def _of_platform(self, grant: BuiltinGrant, request: ToolRequest) -> GrantedTool:
        tool = self._builtins[grant.name]

        async def call(arguments: Mapping[str, Any], key: UUID) -> ToolOutcome:
            return self._counted(grant.name, await tool.call(request, arguments, key))

        return GrantedTool(tool.spec, grant.approval, repeatable=True, call=call)

    def _of_server(
        self, listed: _Listed, servers: Sequence[McpServer], taken: Mapping[str, GrantedTool]
    ) -> Iterator[tuple[str, GrantedTool]]:
        server = listed.server
        allowed = None if server.allowed_tools is None else frozenset(server.allowed_tools)
        tools = {one.name: one for one in reversed(listed.tools or ()) if allowed is None or one.name in allowed}
        names = _names(server, [one.name for one in listed.tools or () if one.name in tools], servers)
        for tool, name in names.items():
            if name not in taken:
                yield name, self._of_tool(server, tools[tool], name)

    def _of_tool(self, server: McpServer, tool: ServerTool, name: str) -> GrantedTool:
        async def call(arguments: Mapping[str, Any], key: UUID) -> ToolOutcome:
            try:
                return self._counted("mcp", await self._servers.call(server, tool.name, arguments, key))
            except ToolError as error:
                self._metrics.tool_calls_total.labels("mcp", error.code).inc()
                raise

        description = UNSTORABLE.sub("\ufffd", tool.description).strip()[:LONGEST_DESCRIPTION]
        spec = ToolSpec(name, description, tidy_schema(tool.parameters))
        return GrantedTool(spec, server.approval, tool.repeatable, call)

    def _counted(self, tool: str, outcome: ToolOutcome) -> ToolOutcome:
        self._metrics.tool_calls_total.labels(tool, "failed" if outcome.failed else "completed").inc()
        return outcome


def _names(server: McpServer, tools: Sequence[str], servers: Sequence[McpServer]) -> dict[str, str]:
    """Tool to the name that a model uses, whatever order the tools come in and whichever other servers are away.

    Where two tools of a server would have one name, the one that is really called so keeps it, and the others are
    marked; so is a name that could be that of another grant's tool.
    """
    grant = server.name
    rivals = Counter(tool_name(grant, tool) for tool in dict.fromkeys(tools))
    others = [f"{one.name}{BETWEEN}" for one in servers if len(one.name) > len(grant)]
    names: dict[str, str] = {}
    for tool in dict.fromkeys(tools):
        name = tool_name(grant, tool)
        exact = name == f"{grant}{BETWEEN}{tool}"
        if (rivals[name] > 1 and not exact) or name.startswith(tuple(others)):
            name = marked_name(grant, tool)
        names[tool] = name
    return names
