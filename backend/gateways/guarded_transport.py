"""The one way out to addresses that tenants give: an httpx2 transport that cannot be talked into calling inside.

A name is looked up once, every answer is judged, and the connection goes to a judged address, so a second answer of
the name server is never used. Redirects are requests like others: each goes through here. What comes back has an end.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack
from functools import cache

import httpx2

from backend.gateways.address_policy import PORTS, AddressPolicy
from backend.gateways.name_resolver import Resolver

Dial = Callable[[], httpx2.AsyncBaseTransport]
"""Makes what connects; it is given numeric addresses only."""

LARGEST_ANSWERS_BYTES = 4 * 1024 * 1024
MOST_LINES = 20_000
MOST_REQUESTS = 50
_MOST_ADDRESSES = 4


class Blocked(httpx2.RequestError):
    """The guard refused; nothing was dialled. Its text is for people."""


class TooMuch(httpx2.RequestError):
    """The other side sends more than we take. Its text is for people."""


@cache
def _trusted() -> ssl.SSLContext:
    """The certificates we trust, read once: that takes longer than all the rest of making a client."""
    return httpx2.create_ssl_context()


def dial() -> httpx2.AsyncBaseTransport:
    """Real connections. No proxy is taken from the environment: it would look names up by itself, unjudged."""
    return httpx2.AsyncHTTPTransport(verify=_trusted(), trust_env=False, retries=0)


class GuardedTransport(httpx2.AsyncBaseTransport):
    """One conversation's way out; make one for each. All answers together may have `largest_answers` bytes, and those
    that are streams of events `MOST_LINES` lines: the smallest events cost the most.

    Errors of requests, besides those of httpx2: `Blocked`, `TooMuch`; the first is kept in `refused`, because the
    libraries on top swallow some. Each host has connections of its own: a kept one was proven to be that host's.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        resolver: Resolver,
        *,
        dial: Dial = dial,
        largest_answers: int = LARGEST_ANSWERS_BYTES,
        most_requests: int = MOST_REQUESTS,
    ) -> None:
        self._policy = policy
        self._resolver = resolver
        self._dial = dial
        self._largest = self._bytes_left = largest_answers
        self._lines_left = MOST_LINES
        self._requests_left = most_requests
        self._ways: dict[str, httpx2.AsyncBaseTransport] = {}
        self.refused: Blocked | TooMuch | None = None
        self.last_status: int | None = None
        """The status of the latest answer."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Judge, look up, judge what was found, dial. Errors: see the class."""
        self._requests_left -= 1
        if self._requests_left < 0:
            raise self._refuse(TooMuch("it makes us ask again and again"))
        addresses = await self._judged(request.url)
        way = self._ways.get(request.url.host)
        if way is None:
            way = self._ways[request.url.host] = self._dial()
        response = await _first_that_answers(way, request, addresses)
        self.last_status = response.status_code
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            # A small compressed answer can hold gigabytes; we ask for none, so nobody sends one.
            await response.aclose()
            raise self._refuse(TooMuch("its answer is compressed although that was not asked for"))
        if isinstance(response.stream, httpx2.AsyncByteStream):
            of_events = response.headers.get("content-type", "").lower().startswith("text/event-stream")
            response.stream = _CountedStream(response.stream, self._count_events if of_events else self._count)
        return response

    async def aclose(self) -> None:
        """Close every connection, also when we are cancelled meanwhile: nobody else knows of the others."""
        ways, self._ways = list(self._ways.values()), {}
        await asyncio.shield(_closed(ways))

    async def _judged(self, url: httpx2.URL) -> list[str]:
        host = url.raw_host.decode("ascii")
        if url.userinfo or not host:
            raise self._refuse(Blocked("the address carries a user name, or no host"))
        if (fault := self._policy.fault(url.scheme, host, url.port)) is not None:
            raise self._refuse(Blocked(fault))
        port = url.port or PORTS[url.scheme]
        try:
            addresses = await self._resolver(host, port)
        except (OSError, UnicodeError):
            addresses = []
        # One sentence for both, or a tenant could ask which names exist inside.
        if not addresses or not all(self._policy.may_dial(host, port, address) for address in addresses):
            raise self._refuse(Blocked("its name does not lead to a public address"))
        return addresses[:_MOST_ADDRESSES]

    def _count(self, received: bytes) -> None:
        self._bytes_left -= len(received)
        if self._bytes_left < 0:
            raise self._refuse(TooMuch(f"it sends more than {self._largest:,} bytes"))

    def _count_events(self, received: bytes) -> None:
        self._count(received)
        self._lines_left -= received.count(b"\n") + received.count(b"\r")
        if self._lines_left < 0:
            raise self._refuse(TooMuch(f"it sends more than {MOST_LINES:,} lines of events"))

    def _refuse(self, reason: Blocked | TooMuch) -> Blocked | TooMuch:
        self.refused = self.refused or reason
        return reason


async def _closed(ways: list[httpx2.AsyncBaseTransport]) -> None:
    async with AsyncExitStack() as closing:  # all of them, also when one fails
        for way in ways:
            closing.push_async_callback(way.aclose)


async def _first_that_answers(
    way: httpx2.AsyncBaseTransport, request: httpx2.Request, addresses: list[str]
) -> httpx2.Response:
    for address in addresses[:-1]:
        try:
            return await way.handle_async_request(_directed(request, address))
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            continue  # nothing was sent yet
    return await way.handle_async_request(_directed(request, addresses[-1]))


def _directed(request: httpx2.Request, address: str) -> httpx2.Request:
    """The same request to a numeric address. Host, SNI and the certificate's name stay those of the URL."""
    headers = request.headers.copy()
    headers["host"] = request.url.netloc.decode("ascii")
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.raw_host.decode("ascii")},
    )


class _CountedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, count: Callable[[bytes], None]) -> None:
        self._inner = inner
        self._count = count

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = aiter(self._inner)
        try:
            async for chunk in chunks:
                self._count(chunk)
                yield chunk
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    async def aclose(self) -> None:
        await self._inner.aclose()
