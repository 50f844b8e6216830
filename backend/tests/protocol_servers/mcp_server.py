"""A real MCP server, made with the SDK, that remembers who called it and what that did.

It lives in a thread of its own, so that it also answers tests which block their event loop, and other processes.

    add(a, b)          the sum; says of itself that it only reads
    note(text)         keeps the text, and does so again when it is called again
    note_once(text)    keeps the text once for each idempotency key; says of itself that it is idempotent
    fail()             answers with an error
    slow(seconds)      answers after a while
    big(characters)    answers with a long text
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, Self

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from starlette.types import ASGIApp, Message, Receive, Scope, Send

KEY = "numen/idempotency-key"
Era = Literal["modern", "handshake"]
"""`handshake`: a server of before 2026, which wants `initialize` and keeps a session."""


@dataclass(frozen=True, slots=True)
class McpCall:
    """One call as it came. `key`: the idempotency key, empty when there was none."""

    tool: str
    arguments: dict[str, Any]
    key: str


class McpToolServer:
    """Use as `with McpToolServer() as server`, or by the fixture `mcp_server`."""

    def __init__(self, *, era: Era = "modern") -> None:
        # With its protocol said, asyncio sends small answers at once; without, they wait 40 ms for an acknowledgement.
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._listener.bind(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        app = self._tools().streamable_http_app()
        config = uvicorn.Config(
            _Handshake(app) if era == "handshake" else app,
            log_config=None,
            access_log=False,
            ws="none",
            lifespan="on",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="mcp-server", daemon=True)
        self.calls: list[McpCall] = []
        self.notes: list[str] = []
        self.effects: Counter[str] = Counter()
        """How often each idempotency key had an effect, by `note` or `note_once`."""

    @property
    def url(self) -> str:
        """What a contract names."""
        return f"http://127.0.0.1:{self.port}/mcp"

    @property
    def private_host(self) -> str:
        """What the operator allows, in NUMEN_TOOL_PRIVATE_HOSTS."""
        return f"127.0.0.1:{self.port}"

    def called(self, tool: str) -> list[McpCall]:
        """The calls of one tool, in their order."""
        return [call for call in self.calls if call.tool == tool]

    def wait_for_calls(self, tool: str, count: int, seconds: float = 10.0) -> None:
        """Block until the tool was called so often. Errors: `TimeoutError`."""
        end = time.monotonic() + seconds
        while len(self.called(tool)) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{tool} was called {len(self.called(tool))} times, not {count}")
            time.sleep(0.005)

    def reset(self) -> None:
        """Forget the calls and what they did."""
        self.calls.clear()
        self.notes.clear()
        self.effects.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        end = time.monotonic() + 20
        while not self._server.started:
            if time.monotonic() > end or not self._thread.is_alive():
                raise RuntimeError("the MCP server does not start")
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        if self._thread.is_alive():
            raise RuntimeError("the MCP server does not stop")

    def _serve(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._listener]))

    def _record(self, context: Context[Any, Any], tool: str, **arguments: Any) -> str:
        meta: dict[str, Any] = dict(context.request_context.meta or {})
        key = str(meta.get(KEY, ""))
        self.calls.append(McpCall(tool, arguments, key))
        return key

    def _tools(self) -> MCPServer:
        server = MCPServer("numen-tests")

        async def add(a: int, b: int, context: Context[Any, Any]) -> str:
            """Add two numbers."""
            self._record(context, "add", a=a, b=b)
            return str(a + b)

        async def note(text: str, context: Context[Any, Any]) -> str:
            """Keep a text."""
            self.effects[self._record(context, "note", text=text)] += 1
            self.notes.append(text)
            return f"noted: {text}"

        async def note_once(text: str, context: Context[Any, Any]) -> str:
            """Keep a text, once for each key."""
            key = self._record(context, "note_once", text=text)
            if not self.effects[key]:
                self.effects[key] += 1
                self.notes.append(text)
            return f"noted: {text}"

        async def fail(context: Context[Any, Any]) -> str:
            """Fail."""
            self._record(context, "fail")
            raise ToolError("the printer is on fire")

        async def slow(seconds: float, context: Context[Any, Any]) -> str:
            """Take a while."""
            self._record(context, "slow", seconds=seconds)
            await asyncio.sleep(seconds)
            return f"waited {seconds:g} s"

        async def big(context: Context[Any, Any], characters: int = 300_000) -> str:
            """Answer at length."""
            self._record(context, "big", characters=characters)
            return "x" * characters

        server.tool(annotations=ToolAnnotations(read_only_hint=True))(add)
        server.tool(annotations=ToolAnnotations(idempotent_hint=True))(note_once)
        for tool in (note, fail, slow, big):
            server.tool()(tool)
        return server


class _Handshake:
    """Turns the clients of 2026 away, as older servers do."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (b"mcp-method", b"server/discover") not in scope["headers"]:
            await self._app(scope, receive, send)
            return
        answer: list[Message] = [
            {"type": "http.response.start", "status": 400, "headers": [(b"content-type", b"text/plain")]},
            {"type": "http.response.body", "body": b"missing session id"},
        ]
        for message in answer:
            await send(message)
