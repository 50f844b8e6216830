"""What tools are opened and called with."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from backend.ports import ServerTool, ToolRequest
from backend.tests.models.contracts import contract

NOTHING: dict[str, Any] = {"type": "object"}


def builtin(name: str, approval: str = "never") -> dict[str, Any]:
    """The grant of a tool that comes along."""
    return {"kind": "builtin", "name": name, "approval": approval}


def server(name: str, **more: Any) -> dict[str, Any]:
    """The grant of a server's tools."""
    return {"kind": "mcp", "name": name, "url": f"https://{name.lower()}.example.com/mcp"} | more


def tool(name: str, description: str = "", parameters: Any = None, *, repeatable: bool = False) -> ServerTool:
    """A tool as a server offers it."""
    return ServerTool(name, description, NOTHING if parameters is None else parameters, repeatable)


def request(
    *grants: dict[str, Any],
    tenant_id: UUID | None = None,
    agent_id: UUID | None = None,
    user_id: UUID | None = None,
    thread_id: UUID | None = None,
    depth: int = 0,
    **configuration: Any,
) -> ToolRequest:
    """A run of an agent with these grants."""
    made = contract(
        capabilities={"tools": list(grants)},
        configuration={"tools_enabled": True} | configuration,
    )
    return ToolRequest(
        tenant_id=tenant_id or uuid4(),
        agent_id=agent_id or made.id,
        user_id=user_id or uuid4(),
        thread_id=thread_id or uuid4(),
        run_id=uuid4(),
        contract=made,
        depth=depth,
    )
