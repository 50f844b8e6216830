"""The composition of tools: the way to MCP servers, and what comes along."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from backend.gateways.address_policy import AddressPolicy
from backend.gateways.mcp_tools import McpTools
from backend.services.tools.current_time import CurrentTime
from backend.services.tools.hand_off import HandOffTool
from backend.services.tools.recall import Recall
from backend.services.tools.remember import Remember
from backend.services.tools.toolbox import AgentToolbox

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from backend.ports import Memory, ToolOutcome, ToolServers
    from backend.services.memory.engine import MemoryEngine
    from backend.services.tools.hand_off import HandOff
    from backend.settings import Settings


def open_tool_servers(stack: AsyncExitStack, settings: Settings) -> ToolServers:
    """The one way to MCP servers, closed with the stack."""
    servers = McpTools(AddressPolicy(settings.tool_hosts, settings.tool_private_hosts))
    stack.push_async_callback(servers.close)
    return servers


def build_toolbox(
    servers: ToolServers, engine: MemoryEngine, memory: Memory, ask: Callable[[HandOff], Awaitable[ToolOutcome]]
) -> AgentToolbox:
    """The tools of every agent; `ask` lets another agent answer."""
    builtins = (CurrentTime(engine.clock), Remember(engine), Recall(memory), HandOffTool(engine.database, ask))
    return AgentToolbox(servers, builtins, engine.metrics)
