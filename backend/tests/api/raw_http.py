"""HTTP byte by byte: requests that no library would send, and ten times the requests in the same time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

SECONDS = 20


class Dropped(AssertionError):
    """The server hung up without an answer, or with half of one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; header names in lower case, the last of several counts."""

    status_code: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class RawConnection:
    """One connection, opened when needed and again after the server closed it in good order."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            writer = self._streams[1]
            self._streams = None
            writer.transport.abort()

    async def ask(self, head: bytes, body: bytes = b"") -> Answer:
        """Send these bytes as they are and read the answer. Errors: `Dropped`, `TimeoutError`."""
        async with asyncio.timeout(SECONDS):
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._streams
            try:
                writer.write(head + body)
                answer = await _read(reader, no_body=head.startswith(b"HEAD "))
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                await self.close()
                raise Dropped(f"no answer to {head[:300]!r} with {len(body)} bytes") from error
            if answer.headers.get("connection") == "close":
                await self.close()
            return answer

    async def request(
        self, method: str, target: str | bytes, headers: Mapping[str, str | bytes], body: bytes | None = None
    ) -> Answer:
        """Send a request with a Host and, when it has a body, its Content-Length."""
        return await self.ask(head_of(method, target, headers, body), body or b"")


def head_of(method: str, target: str | bytes, headers: Mapping[str, str | bytes], body: bytes | None) -> bytes:
    """The header section of a request; text is sent as UTF-8."""
    sent: dict[str, str | bytes] = {"host": "127.0.0.1", **headers}
    if body is not None:
        sent.setdefault("content-length", str(len(body)))
    lines = [b"%b %b HTTP/1.1" % (method.encode(), _bytes(target))]
    lines += [b"%b: %b" % (name.encode(), _bytes(value)) for name, value in sent.items()]
    return b"\r\n".join([*lines, b"", b""])


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")


async def _read(reader: asyncio.StreamReader, *, no_body: bool) -> Answer:
    first = "HTTP/1.1 100"
    lines: list[str] = []
    while " 100" in first:  # the answer to Expect: 100-continue
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    status = int(first.split(" ", 2)[1])
    if no_body or status in (204, 304):
        body = b""
    elif headers.get("transfer-encoding") == "chunked":
        body = await _chunks(reader)
    elif "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    else:
        body = await reader.read()
    return Answer(status, headers, body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(parts)
