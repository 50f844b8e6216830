"""One conversation with an MCP server, from the first handshake to the goodbye, and what can go wrong in it.

Every question has a conversation of its own: nothing is kept between two, so nothing can be mixed up, and when it ends
its tasks and connections have ended too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import urlsplit

import anyio
import httpx2
from mcp import Client, ClientSession, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import Implementation

from backend.errors import ToolTimeout, ToolUnavailable
from backend.gateways.guarded_transport import LARGEST_ANSWERS_BYTES, Dial, GuardedTransport, dial
from backend.gateways.mcp_replies import replies_of

if TYPE_CHECKING:
    from backend.gateways.address_policy import AddressPolicy
    from backend.gateways.name_resolver import Resolver
    from backend.models.capabilities import McpServer

T = TypeVar("T")

CONNECT_SECONDS = 5.0
_GOODBYE_SECONDS = 1.0
_MOST_REDIRECTS = 3
_SESSION_ID = "mcp-session-id"
_US = Implementation(name="numen", version="1")

# The SDK logs what a server did wrong, with what it sent. Our errors say it, to those whom it concerns.
for _name in ("mcp", "client"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

# What the SDK lets through when a server is away, talks rubbish or hangs up.
_THEIR_FAULTS = (
    MCPError,
    httpx2.HTTPError,
    httpx2.InvalidURL,
    httpx2.StreamError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    OSError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Outside:
    """How foreign servers are reached: which may be, what their names mean, and what connects."""

    policy: AddressPolicy
    resolver: Resolver
    dial: Dial = dial


async def converse(server: McpServer, outside: Outside, doing: Callable[[ClientSession], Awaitable[T]]) -> T:
    """What `doing` makes of a session with the server; it has `timeout_seconds`, from the first look-up on.

    Errors: `ToolUnavailable`, `ToolTimeout`.
    """
    way = GuardedTransport(outside.policy, outside.resolver, dial=outside.dial)
    answers: list[T] = []
    trouble: Exception | None = None
    in_time = True
    called_off = _times_called_off()
    try:
        in_time = await _talk(server, way, doing, answers)
    except (ExceptionGroup, *_THEIR_FAULTS) as exc:
        trouble = exc
    if _times_called_off() > called_off:
        # What breaks in the SDK when it is called off would hide that it was.
        raise asyncio.CancelledError from trouble
    if answers:
        return answers[0]
    if trouble is not None:
        raise _told(server, way, trouble) from trouble
    raise _unavailable(server, "it hung up") if in_time else _too_slow(server)


def _times_called_off() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


async def _talk(
    server: McpServer, way: GuardedTransport, doing: Callable[[ClientSession], Awaitable[T]], answers: list[T]
) -> bool:
    """Put the answer into `answers`: it counts also when the goodbye fails. False when time ran out."""
    session_ids: list[str] = []

    async def notice(response: httpx2.Response) -> None:
        session_ids.extend(response.headers.get_list(_SESSION_ID)[:1])

    async with httpx2.AsyncClient(
        transport=way,
        trust_env=False,
        timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
        headers={"accept-encoding": "identity", "user-agent": "numen"},
        max_redirects=_MOST_REDIRECTS,
        event_hooks={"response": [notice]},
    ) as http:
        # An anyio scope, because the SDK's clean-up would wait for the server once more under asyncio's.
        with anyio.move_on_after(server.timeout_seconds) as limit:
            # The SDK's own goodbye has no limit.
            streams = streamable_http_client(
                server.url, http_client=http, terminate_on_close=False, max_sse_event_size=LARGEST_ANSWERS_BYTES
            )
            async with Client(replies_of(streams), cache=None, client_info=_US) as client:
                answers.append(await doing(client.session))
                limit.deadline = anyio.current_time() + _GOODBYE_SECONDS
                if session_ids:
                    await _say_goodbye(http, server.url, session_ids[0], client.protocol_version)
        return not limit.cancelled_caught


async def _say_goodbye(http: httpx2.AsyncClient, url: str, session_id: str, version: str) -> None:
    await http.delete(url, headers={_SESSION_ID: session_id, "mcp-protocol-version": version})


def _told(server: McpServer, way: GuardedTransport, error: Exception) -> Exception:
    """The fault in the platform's words; what is no server's fault stays what it is."""
    causes = list(_leaves(error))
    if any(not isinstance(cause, _THEIR_FAULTS) for cause in causes):
        return error
    return _unavailable(server, _why(way, causes))


def _why(way: GuardedTransport, causes: list[BaseException]) -> str:
    if way.refused is not None:
        return str(way.refused)
    if any(isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout) for cause in causes):
        return "no connection could be made"
    if way.last_status is not None and way.last_status >= 300:
        return f"it answered {_status(way.last_status)}"
    if any(isinstance(cause, httpx2.NetworkError | httpx2.RemoteProtocolError) for cause in causes):
        return "it hung up in the middle"
    return "what it answered is no proper MCP"


def _status(code: int) -> str:
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(one)
    else:
        yield error


def host_of(server: McpServer) -> str:
    """The server's host, for messages: the rest of its address may be a secret."""
    return urlsplit(server.url).hostname or "no host"


def _unavailable(server: McpServer, why: str) -> ToolUnavailable:
    return ToolUnavailable(f"The tools of {server.name} at {host_of(server)} cannot be used: {why}.")


def _too_slow(server: McpServer) -> ToolTimeout:
    seconds = f"{server.timeout_seconds:g} second{'' if server.timeout_seconds == 1 else 's'}"
    return ToolTimeout(f"The tools of {server.name} at {host_of(server)} did not answer within {seconds}.")
