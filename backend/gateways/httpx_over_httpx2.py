"""The connections of httpx2 for SDKs that ask for a client of httpx.

The pool of httpx 0.28 (httpcore 1) loses the connection of a request that is called off while it begins or ends, until
it has none left; that of httpx2 does not. Answers of voices are called off all the time: a person breaks in.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager

import httpx
import httpx2


class OverHttpx2(httpx.AsyncBaseTransport):
    """A transport of httpx over a client of httpx2, which it closes."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.AsyncBaseTransport`. Errors: those of httpx."""
        with _errors_of_httpx():
            answer = await self._client.send(_translated(request), stream=True, follow_redirects=False)
        return httpx.Response(
            answer.status_code,
            headers=answer.headers.raw,
            stream=_Answered(answer),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        """Give back connections."""
        await self._client.aclose()


class _Asked(httpx2.AsyncByteStream):
    def __init__(self, body: httpx.AsyncByteStream) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._body:
            yield piece


class _Answered(httpx.AsyncByteStream):
    def __init__(self, answer: httpx2.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _errors_of_httpx():
            async for piece in self._answer.aiter_raw():
                yield piece

    async def aclose(self) -> None:
        await self._answer.aclose()


def _translated(request: httpx.Request) -> httpx2.Request:
    body = request.stream
    assert isinstance(body, httpx.AsyncByteStream)  # noqa: S101 — as httpx's own transport does
    url, headers = str(request.url), request.headers.raw
    return httpx2.Request(request.method, url, headers=headers, stream=_Asked(body), extensions=request.extensions)


@contextmanager
def _errors_of_httpx() -> Generator[None]:
    """The errors of both have the same names."""
    try:
        yield
    except httpx2.InvalidURL as error:
        raise httpx.InvalidURL(str(error)) from error
    except httpx2.RequestError as error:
        kind = getattr(httpx, type(error).__name__, httpx.TransportError)
        raise kind(str(error)) from error
