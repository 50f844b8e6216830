"""Fixtures for everything that uses the tools of an MCP server."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from backend.tests.protocol_servers.mcp_server import McpToolServer


@pytest.fixture(scope="session")
def mcp_server_process() -> Generator[McpToolServer]:
    """The session's server; take `mcp_server` instead, which starts clean."""
    with McpToolServer() as server:
        yield server


@pytest.fixture
def mcp_server(mcp_server_process: McpToolServer) -> Generator[McpToolServer]:
    """A local MCP server that has not been called yet: `url`, `private_host`, `calls`, `notes`, `effects`."""
    mcp_server_process.reset()
    yield mcp_server_process
    mcp_server_process.reset()
