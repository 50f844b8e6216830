"""What comes of it when the gateway meets a server that answers as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from backend.gateways.address_policy import AddressPolicy
from backend.gateways.mcp_tools import McpTools
from backend.models.capabilities import McpServer
from backend.tests.protocol_servers.raw_mcp_server import Answer, RawMcpServer, raw_mcp_server

Doing = Callable[[McpTools, McpServer], Awaitable[Any]]
SECRET = "/mcp?token=hunter2hunter2"


async def listing(gateway: McpTools, server: McpServer) -> Any:
    return await gateway.tools(server)


async def calling(gateway: McpTools, server: McpServer) -> Any:
    return await gateway.call(server, "add", {"a": 1}, uuid4())


def grant(server: RawMcpServer, seconds: float = 20) -> McpServer:
    url = server.url.replace("/mcp", SECRET)
    return McpServer(kind="mcp", name="desk", url=url, timeout_seconds=seconds)


async def met_with(answers: dict[str, Answer], doing: Doing, seconds: float = 20) -> Any:
    """What comes of doing this with such a server. Nothing may be left of it, whatever it was."""
    before = asyncio.all_tasks()
    try:
        async with raw_mcp_server(answers) as server:
            gateway = McpTools(AddressPolicy(private_hosts=[server.private_host]))
            try:
                return await doing(gateway, grant(server, seconds))
            finally:
                await gateway.close()
    finally:
        left = asyncio.all_tasks() - before
        if left:  # the loop closes generators that were left in the middle; nothing else may be there for long
            _, left = await asyncio.wait(left, timeout=1)
        assert not left, left
