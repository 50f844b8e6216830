"""What stands where the network would be: remembers what would have been dialled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx2

Answering = Callable[[httpx2.Request], httpx2.Response]


class RecordedWays:
    """Its method `dial` goes where the gateways' own `dial` would. `answer` answers, with "ok" unless it is set."""

    def __init__(self, answer: Answering | None = None) -> None:
        self.requests: list[httpx2.Request] = []
        self.ways = 0
        self.closed = 0
        self.closing = asyncio.Event()
        """Somebody has begun to close one of them, which waits for `may_close`."""
        self.may_close = asyncio.Event()
        self.may_close.set()
        self._answer: Answering = answer or (lambda _: httpx2.Response(200, text="ok"))

    @property
    def dialled(self) -> list[str]:
        return [request.url.host for request in self.requests]

    def dial(self) -> httpx2.AsyncBaseTransport:
        self.ways += 1
        return _Way(self)

    def take(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return self._answer(request)


class _Way(httpx2.AsyncBaseTransport):
    def __init__(self, ways: RecordedWays) -> None:
        self._ways = ways

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._ways.take(request)

    async def aclose(self) -> None:
        self._ways.closing.set()
        await self._ways.may_close.wait()
        self._ways.closed += 1
