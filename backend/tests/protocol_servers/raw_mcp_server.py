"""A server that speaks just enough MCP to do it wrong: each method answers what a test says, to the last byte.

It lives in the event loop of the test. Where nothing else is said it shakes hands as servers before 2026 did, offers no
tools, and keeps no session unless it is given the id of one.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, cast

Params = Mapping[str, Any]
Answer = bytes | Callable[[Params], Any] | Callable[[asyncio.StreamWriter], Awaitable[None]]
"""An HTTP answer as it is; or what makes a result of the parameters; or what writes, and hangs up when it returns."""

HELLO: dict[str, Any] = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "raw", "version": "1"},
}


class RpcError(Exception):
    """What a method raises to answer with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


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


def saying(result: Any) -> Callable[[Params], Any]:
    """The same result, whatever is asked."""
    return lambda _: result


async def hang(_: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.Event().wait()


def then_hang(beginning: bytes) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    """Answer this much, and no more."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(beginning)
        await hang(writer)

    return write


def then_hang_up(beginning: bytes) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    """Answer this much, and close the connection."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(beginning)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

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

    def __init__(self, answers: Mapping[str, Answer] | None = None, session_id: str = "") -> None:
        self.answers: dict[str, Answer] = {
            "server/discover": http(status="400 Bad Request", kind="text/plain"),
            "initialize": saying(HELLO),
            "notifications/initialized": http(status="202 Accepted"),
            "tools/list": saying({"tools": []}),
            "DELETE": http(),
            "GET": http(status="405 Method Not Allowed"),
            **(answers or {}),
        }
        self._session_id = session_id
        self.asked: list[str] = []
        """The methods in the order in which they came."""
        self.heads: list[str] = []
        self.connections: set[asyncio.Task[None]] = set()
        """Those that are open."""
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    @property
    def private_host(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer what comes on this connection, until the other side has gone."""
        task = asyncio.current_task()
        assert task is not None
        self.connections.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while await self._exchange(reader, writer):
                    await writer.drain()
        finally:
            writer.transport.abort()
            self.connections.discard(task)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.heads.append(head)
        lines = head.lower().split("\r\n")
        length = next((int(line.partition(":")[2]) for line in lines if line.startswith("content-length:")), 0)
        body: dict[str, Any] = json.loads(await reader.readexactly(length)) if length else {}
        method = str(body.get("method") or head.partition(" ")[0])
        self.asked.append(method)
        answering = asyncio.create_task(self._answer(method, body, writer))
        # Nobody sends the next request before the answer, so what can be read meanwhile is the end.
        leaving = asyncio.create_task(reader.read(1))
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        gone = leaving.done()
        for one in (answering, leaving):
            one.cancel()
        await asyncio.gather(answering, leaving, return_exceptions=True)
        return not gone

    async def _answer(self, method: str, body: Mapping[str, Any], writer: asyncio.StreamWriter) -> None:
        # Answers of the client to questions have no method.
        answer = self.answers.get(method, http(status="202 Accepted"))
        if isinstance(answer, bytes):
            writer.write(answer)
        elif inspect.iscoroutinefunction(answer):
            await answer(writer)
            writer.transport.abort()
        else:
            message = {"jsonrpc": "2.0", "id": body.get("id")}
            try:
                message["result"] = cast("Callable[[Params], Any]", answer)(body.get("params") or {})
            except RpcError as error:
                message["error"] = {"code": error.code, "message": error.args[0]}
            session = method == "initialize" and self._session_id
            more = f"mcp-session-id: {session}\r\n" if session else ""
            writer.write(http(json.dumps(message).encode(), more=more))


@contextlib.asynccontextmanager
async def raw_mcp_server(
    answers: Mapping[str, Answer] | None = None, session_id: str = ""
) -> AsyncGenerator[RawMcpServer]:
    """A server for as long as the block goes on; on the way out nobody may be connected any more."""
    server = RawMcpServer(answers, session_id)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        if server.connections:
            _, still_open = await asyncio.wait(server.connections, timeout=5)
            assert not still_open, "somebody did not hang up"
