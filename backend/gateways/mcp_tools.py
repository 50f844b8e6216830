"""MCP servers as the platform uses them: over HTTP only, through the guarded way out, each call on its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from backend.errors import ToolError
from backend.gateways.address_policy import AddressPolicy
from backend.gateways.name_resolver import Resolver, SystemResolver
from backend.models.capabilities import McpServer
from backend.ports.tools import ServerTool, ToolOutcome

if TYPE_CHECKING:
    from backend.gateways.guarded_transport import Dial
    from backend.gateways.mcp_exchange import McpExchange

LISTING_SECONDS = 60.0
_MOST_LISTINGS = 500


@dataclass(slots=True)
class _Listing:
    """What a server offered. A failure is told to those who waited for it, and to nobody later."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    tools: tuple[ServerTool, ...] | None = None
    until: float = 0.0
    failure: ToolError | None = None
    failures: int = 0


class McpTools:
    """Implements `ToolServers`. Loading the SDK takes a second, which the first use spends in a thread."""

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        resolver: Resolver | None = None,
        dial: Dial | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._threads = SystemResolver()
        self._resolver = resolver or self._threads
        self._dial = dial
        self._now = now
        self._listings: dict[McpServer, _Listing] = {}
        self._loaded: McpExchange | None = None

    async def tools(self, server: McpServer) -> Sequence[ServerTool]:
        """See `ToolServers`. A list is good for a minute; who asks for the same one meanwhile waits for the first."""
        listing = self._listing(server)
        seen = listing.failures
        async with listing.lock:
            if listing.tools is not None and self._now() < listing.until:
                return listing.tools
            if listing.failure is not None and listing.failures > seen:
                raise type(listing.failure)(listing.failure.detail)
            try:
                listing.tools = await (await self._exchange()).tools(server)
            except ToolError as failure:
                listing.failure, listing.failures = failure, listing.failures + 1
                raise
            listing.until = self._now() + LISTING_SECONDS
            return listing.tools

    async def call(self, server: McpServer, tool: str, arguments: Mapping[str, Any], key: UUID) -> ToolOutcome:
        """See `ToolServers`."""
        return await (await self._exchange()).call(server, tool, arguments, key)

    def refusal(self, url: str) -> str | None:
        """See `ToolServers`."""
        return self._policy.refusal(url)

    async def close(self) -> None:
        """Forget what was listed. Conversations that still go on end with those who began them."""
        self._listings.clear()
        self._threads.close()

    def _listing(self, server: McpServer) -> _Listing:
        if (listing := self._listings.get(server)) is None:
            while len(self._listings) >= _MOST_LISTINGS:
                del self._listings[next(iter(self._listings))]
            listing = self._listings[server] = _Listing()
        return listing

    async def _exchange(self) -> McpExchange:
        if self._loaded is None:
            self._loaded = await asyncio.to_thread(_load, self._policy, self._resolver, self._dial)
        return self._loaded


def _load(policy: AddressPolicy, resolver: Resolver, dial: Dial | None) -> McpExchange:
    from backend.gateways.guarded_transport import dial as really  # noqa: PLC0415 — slow to import
    from backend.gateways.mcp_exchange import McpExchange  # noqa: PLC0415 — the SDK is slow to import
    from backend.gateways.mcp_session import Outside  # noqa: PLC0415 — the SDK is slow to import

    return McpExchange(Outside(policy, resolver, dial or really))
