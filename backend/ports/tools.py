"""What tools are to a run: what may be called, what a call gives, and the foreign servers that offer them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from backend.models.agent import AgentContract
from backend.models.capabilities import Approval, McpServer
from backend.ports.language_model import ToolSpec


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What a call gave: text, free of NUL and lone surrogates. `failed`: it says what went wrong."""

    text: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class ServerTool:
    """A tool as an MCP server offers it. `parameters` is a JSON Schema object.

    `repeatable`: the server says that a call has no effect, or the same one when it is made again.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    repeatable: bool = False


class ToolServers(Protocol):
    """MCP servers over HTTP, reached through the one guarded way out.

    Errors of `tools` and `call`: `ToolUnavailable` (no connection, an address that may not be reached, rubbish) and
    `ToolTimeout` (slower than the grant's `timeout_seconds`). A tool that answers with an error is a failed outcome.
    """

    async def tools(self, server: McpServer) -> Sequence[ServerTool]:
        """What the server offers, of which only `allowed_tools`, in the server's order."""
        ...

    async def call(self, server: McpServer, tool: str, arguments: Mapping[str, Any], key: UUID) -> ToolOutcome:
        """Call a tool once. `key` is the same for every try of the same call: the server may know by it what it did."""
        ...

    def refusal(self, url: str) -> str | None:
        """Why no contract may name this address here, for people; None when it may be tried."""
        ...

    async def close(self) -> None:
        """Give back connections."""
        ...


@dataclass(frozen=True, slots=True)
class GrantedTool:
    """A tool that a contract grants, ready to be called with arguments that fit `spec.parameters` and the call's key.

    `repeatable`: a call that was interrupted may be made again, because it then has its effect only once.
    """

    spec: ToolSpec
    approval: Approval
    repeatable: bool
    call: Callable[[Mapping[str, Any], UUID], Awaitable[ToolOutcome]]


@dataclass(frozen=True, slots=True)
class ToolSet:
    """The tools of one run by the name that the model uses.

    `away`: servers whose tools cannot be had right now; `look_again` asks once more, when there are any.
    """

    tools: Mapping[str, GrantedTool] = field(default_factory=dict[str, GrantedTool])
    away: Sequence[str] = ()
    look_again: Callable[[], Awaitable[ToolSet]] | None = None


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """Whose tools, for which run. `depth`: how many agents handed this on to one another; 0 for a person's turn."""

    tenant_id: UUID
    agent_id: UUID
    user_id: UUID
    thread_id: UUID
    run_id: UUID
    contract: AgentContract
    depth: int = 0


class Toolbox(Protocol):
    """Opens the tools that a contract grants."""

    async def open(self, request: ToolRequest) -> ToolSet:
        """The granted tools; none while `tools_enabled` is off. Never raises for a lost server: it is `away`."""
        ...
