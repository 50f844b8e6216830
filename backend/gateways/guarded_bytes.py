"""A response's bytes with an end to them: a largest size, and a moment after which nobody waits any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import httpx2

from backend.gateways.answer import BadAnswer

LARGEST_ANSWER_BYTES = 8 * 1024 * 1024


class DeadlinePassed(Exception):
    """The answer had begun, and was not complete in time."""


class GuardedBytes(httpx2.AsyncByteStream):
    """Wraps a response's stream. Errors while reading: `BadAnswer` (too large), `DeadlinePassed`."""

    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner
        self.until: float | None = None
        """The moment to give up, in the event loop's seconds; may be set and moved while reading."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = aiter(self._inner)
        taken = 0
        try:
            while (chunk := await self._next(chunks)) is not None:
                taken += len(chunk)
                if taken > LARGEST_ANSWER_BYTES:
                    raise BadAnswer(f"the answer is larger than {LARGEST_ANSWER_BYTES} bytes")
                yield chunk
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        if self.until is None:
            return await anext(chunks, None)
        # A server that always has bytes ready never lets the timer run, so the clock is asked as well.
        if asyncio.get_running_loop().time() >= self.until:
            raise DeadlinePassed
        timer = asyncio.timeout_at(self.until)
        try:
            async with timer:
                return await anext(chunks, None)
        except TimeoutError as exc:
            if timer.expired():
                raise DeadlinePassed from exc
            raise

    async def aclose(self) -> None:
        """Give the connection back."""
        await self._inner.aclose()


async def guard(response: httpx2.Response) -> None:
    """A response hook: puts the guard in place before anything reads the body. Errors: `BadAnswer`."""
    encoding = response.headers.get("content-encoding", "identity")
    if encoding != "identity":
        # A small compressed answer can hold gigabytes; we ask for none, so nobody sends one.
        raise BadAnswer(f"the answer is compressed ({encoding[:20]}) although that was not asked for")
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = GuardedBytes(response.stream)
