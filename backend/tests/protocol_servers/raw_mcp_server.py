"""A server that speaks just enough MCP to do it wrong: each method answers what a test says, to the last byte.

It lives in the event loop of the test. Where nothing else is said it shakes hands as servers before 2026 did, offers no
tools, and keeps no session.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

Params = Mapping[str, Any]
Answer = bytes | Callable[[Params], Any] | Callable[[asyncio.StreamWriter], Awaitable[None]]
"""An HTTP answer as it is; or what makes a result of the parameters (see `result`); or what writes (see `writing`)."""

HELLO: dict[str, Any] = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "raw", "version": "1"}}


def http(body: bytes = b"", *, status: str = "200 OK", kind: str = "application/json", more: str = "") -> bytes:
    """An HTTP answer. `more`: headers, each with its line end."""
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def stream(*pieces: bytes) -> bytes:
    """The beginning of an event stream that has no end yet."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + b"".join(pieces)


def event(message: Any) -> bytes:
    """A JSON-RPC message as an event of a stream."""
    return f"event: message\r\ndata: {json.dumps(message)}\r\n\r\n".encode()


async def hang(_: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.Event().wait()


def then_hang(beginning: bytes) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    """Answer this much, and no more."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(beginning)
        await hang(writer)

    return write


def for_ever(beginning: bytes, piece: bytes) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    """Answer, and go on as long as somebody listens."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(beginning)
        while True:
            writer.write(piece)
            await writer.drain()

    return write


class RawMcpServer:
    """Get one by `raw_mcp_server`. `answers` is by JSON-RPC method, or by HTTP method for requests without a body."""

    def __init__(self, answers: Mapping[str, Any] | None = None) -> None:
        self.answers: dict[str, Any] = {
            "server/discover": http(status="400 Bad Request", kind="text/plain"),
            "initialize": lambda _: HELLO,  # pyright: ignore[reportUnknownLambdaType]
            "notifications/initialized": http(status="202 Accepted"),
            "tools/list": lambda _: {"tools": []},  # pyright: ignore[reportUnknownLambdaType]
            "DELETE": http(),
            "GET": http(status="405 Method Not Allowed"),
            **(answers or {}),
        }
        self.asked: list[str] = []
        """The methods in the order in which they came."""
        self.heads: list[str] = []
        self.connections: set[asyncio.Task[None]] = set()
        """Those that are open."""
        self.sent = 0
        """Bytes that the other side took."""
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    @property
    def private_host(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections.add(task)
        answering = asyncio.create_task(self._requests(reader, writer))
        try:
            # A hanging answer ends when the client has gone.
            watching = asyncio.create_task(self._until_gone(writer))
            await asyncio.wait({answering, watching}, return_when=asyncio.FIRST_COMPLETED)
            for one in (answering, watching):
                one.cancel()
            await asyncio.gather(answering, watching, return_exceptions=True)
        finally:
            writer.transport.abort()
            self.connections.discard(task)

    async def _until_gone(self, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                self.heads.append(head)
                lines = head.lower().split("\r\n")
                length = next((int(line.partition(":")[2]) for line in lines if line.startswith("content-length:")), 0)
                body: dict[str, Any] = json.loads(await reader.readexactly(length)) if length else {}
                method = str(body.get("method") or head.partition(" ")[0])
                self.asked.append(method)
                await self._answer(method, body, writer)
                await writer.drain()

    async def _answer(self, method: str, body: Mapping[str, Any], writer: asyncio.StreamWriter) -> None:
        answer = self.answers[method]
        if inspect.iscoroutinefunction(answer):
            await answer(writer)
            writer.transport.abort()
        elif callable(answer):
            result = answer(body.get("params") or {})
            writer.write(http(json.dumps({"jsonrpc": "2.0", "id": body.get("id"), "result": result}).encode()))
        else:
            writer.write(answer)


@contextlib.asynccontextmanager
async def raw_mcp_server(answers: Mapping[str, Any] | None = None) -> AsyncGenerator[RawMcpServer]:
    """A server for as long as the block goes on; on the way out nobody may be connected any more."""
    server = RawMcpServer(answers)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
        if server.connections:
            _, still_open = await asyncio.wait(server.connections, timeout=5)
            assert not still_open, "somebody did not hang up"
    finally:
        listener.close()
        for connection in list(server.connections):
            connection.cancel()
        await asyncio.gather(*server.connections, return_exceptions=True)
