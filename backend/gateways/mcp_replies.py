"""An MCP connection on which the other side answers: its news is not heard, and few of its questions are."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCError, JSONRPCRequest, JSONRPCResponse

if TYPE_CHECKING:
    from contextvars import Context
    from types import TracebackType

    from mcp.client._transport import ReadStream, Transport, TransportStreams

MOST_QUESTIONS = 20


@asynccontextmanager
async def replies_of(transport: Transport) -> AsyncGenerator[TransportStreams]:
    """The same connection, except that a server cannot keep us busy: each thing it asks would be a task of ours."""
    async with transport as (read, write):
        yield _Replies(read), write


class _Replies:
    """What the SDK reads from. It calls each of these methods."""

    def __init__(self, inner: ReadStream[SessionMessage | Exception]) -> None:
        self._inner = inner
        self._questions_left = MOST_QUESTIONS

    @property
    def last_context(self) -> Context | None:
        """The context in which the latest message was sent; the SDK goes on in it."""
        return getattr(self._inner, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        while True:
            item = await self._inner.receive()
            if self._is_heard(item):
                return item

    async def aclose(self) -> None:
        await self._inner.aclose()

    def __aiter__(self) -> ReadStream[SessionMessage | Exception]:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        async for item in self._inner:
            if self._is_heard(item):
                return item
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> bool | None:
        return await self._inner.__aexit__(exc_type, exc_val, exc_tb)

    def _is_heard(self, item: SessionMessage | Exception) -> bool:
        if not isinstance(item, SessionMessage):
            return False  # rubbish that belongs to no request
        if isinstance(item.message, JSONRPCRequest):
            self._questions_left -= 1
            return self._questions_left >= 0
        return isinstance(item.message, JSONRPCResponse | JSONRPCError)
