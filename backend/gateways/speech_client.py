"""How voice providers are talked to: their SDK loaded late, over a transport with bounds and without redirects."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeVar

import httpx
import httpx2

from backend.errors import Misconfigured
from backend.gateways.answer import BadAnswer
from backend.gateways.httpx_over_httpx2 import OverHttpx2

CONNECTIONS = 256
KEEP_ALIVE_SECONDS = 60.0
"""Longer than people think before they answer: a new connection would be heard as a pause."""
LARGEST_ANSWER_BYTES = 8 * 1024 * 1024
LARGEST_AUDIO_BYTES = 128 * 1024 * 1024
"""More than an hour of PCM16 at 16 kHz."""

Transport = httpx.AsyncClient
"""What SDKs are given to talk over."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LoadedSdk(Generic[T]):
    """What is used of an SDK, and the class of the errors it raises when the provider refuses."""

    api: T
    refusal: type[Exception]


class LazySdk(Generic[T]):
    """An SDK that is imported when it is first used: that takes seconds, hence in a thread.

    `load` imports it and builds what is used of it over the transport it is given.
    """

    def __init__(self, load: Callable[[Transport], LoadedSdk[T]], connect_seconds: float) -> None:
        self._load = load
        self._connect_seconds = connect_seconds
        self._loading = asyncio.Lock()
        self._loaded: LoadedSdk[T] | None = None
        self._transport: Transport | None = None

    async def get(self) -> LoadedSdk[T]:
        """The SDK, ready to use."""
        async with self._loading:
            if self._loaded is None:
                self._transport, self._loaded = await asyncio.to_thread(self._made)
            return self._loaded

    async def close(self) -> None:
        """Give back connections."""
        if self._transport is not None:
            await self._transport.aclose()

    def _made(self) -> tuple[Transport, LoadedSdk[T]]:
        transport = _transport(self._connect_seconds)
        return transport, self._load(transport)


def checked_key(key: str, key_setting: str) -> str:
    """The key, without space around it; may be empty. Errors: `Misconfigured`."""
    key = key.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise Misconfigured(f"{key_setting} holds characters that no key has")
    return key


def checked_address(base_url: str, name: str) -> str:
    """The base URL without a slash at its end. Errors: `Misconfigured`."""
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as exc:
        raise Misconfigured(f"the base URL of {name} is no URL: {exc}") from exc
    if url.scheme not in {"http", "https"} or not url.host:
        raise Misconfigured(f"the base URL of {name} must begin with http:// or https://")
    return base_url.rstrip("/")


@cache
def trusted() -> ssl.SSLContext:
    """The certificates we trust, read once: that takes longer than all the rest of making a client."""
    return httpx.create_ssl_context()


def _transport(connect_seconds: float) -> Transport:
    connections = httpx2.AsyncClient(
        limits=httpx2.Limits(max_connections=CONNECTIONS, keepalive_expiry=KEEP_ALIVE_SECONDS), verify=trusted()
    )
    return httpx.AsyncClient(
        transport=OverHttpx2(connections),
        timeout=None,  # noqa: S113 — the SDKs send their own with each request, see `_only_connecting`
        follow_redirects=False,
        headers={"Accept-Encoding": "identity"},
        event_hooks={"request": [_only_connecting(connect_seconds)], "response": [_bounded]},
    )


def _only_connecting(seconds: float) -> Callable[[httpx.Request], Awaitable[None]]:
    """A request hook: the transport's `read` would count between two pieces; the gateways count whole answers."""

    async def hook(request: httpx.Request) -> None:
        request.extensions["timeout"] = {"connect": seconds, "pool": seconds, "read": None, "write": None}

    return hook


async def _bounded(response: httpx.Response) -> None:
    """A response hook: puts a bound in place before anything reads the body. Errors: `BadAnswer`."""
    encoding = response.headers.get("content-encoding", "identity")
    if encoding != "identity":
        # A small compressed answer can hold gigabytes; we ask for none, so nobody sends one.
        raise BadAnswer(f"the answer is compressed ({encoding[:20]}) although that was not asked for")
    if isinstance(response.stream, httpx.AsyncByteStream):
        audio = response.is_success and response.headers.get("content-type", "").startswith("audio/")
        response.stream = _BoundedBytes(response.stream, LARGEST_AUDIO_BYTES if audio else LARGEST_ANSWER_BYTES)


class _BoundedBytes(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream, most: int) -> None:
        self._inner = inner
        self._most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        taken = 0
        async for piece in self._inner:
            taken += len(piece)
            if taken > self._most:
                raise BadAnswer(f"the answer is larger than {self._most} bytes")
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()
