"""WebSockets byte by byte: frames that no library would send, and everything that comes back."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
SECONDS = 20
HANDSHAKE: Mapping[str, str] = {
    "Host": "127.0.0.1",
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}
_SHORT, _LONG = 125, 65_535


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True, length: int | None = None
) -> bytes:
    """One frame; `length` is what it says of its payload. The mask is of zeros, which changes nothing."""
    size = len(payload) if length is None else length
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    mask = 0x80 if masked else 0
    if size <= _SHORT:
        head = struct.pack("!BB", first, mask | size)
    elif size <= _LONG:
        head = struct.pack("!BBH", first, mask | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask | 127, size)
    return head + (bytes(4) if masked else b"") + payload


def text(document: Any) -> bytes:
    """A text frame with this as JSON, or with these very bytes or this very text."""
    if isinstance(document, bytes):
        return frame(TEXT, document)
    return frame(TEXT, (document if isinstance(document, str) else json.dumps(document)).encode())


def closing(code: int, reason: bytes = b"") -> bytes:
    """A close frame."""
    return frame(CLOSE, struct.pack("!H", code) + reason)


def handshake(
    target: str | bytes,
    changes: Mapping[str, str | Sequence[str] | None] | None = None,
    *,
    method: str = "GET",
    version: str = "1.1",
) -> bytes:
    """The header of a handshake; a changed header may be None (left out) or several."""
    lines = [b"%b %b HTTP/%b" % (method.encode(), _bytes(target), version.encode())]
    for name, value in {**HANDSHAKE, **(changes or {})}.items():
        values = [] if value is None else [value] if isinstance(value, str) else value
        lines += [f"{name}: {one}".encode() for one in values]
    return b"\r\n".join([*lines, b"", b""])


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


@dataclass
class Ended:
    """How a connection went: the answer to the handshake, what came, and the server's close (None: none)."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    audio: int = 0
    pongs: int = 0
    code: int | None = None
    reason: str = ""

    def told(self, kind: str) -> list[dict[str, Any]]:
        """The events of this type."""
        return [event for event in self.events if event["type"] == kind]


class RawSocket:
    """One connection. `so_far` is what has come of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self.so_far = Ended()

    @classmethod
    async def connected(cls, port: int) -> Self:
        """A connection on which nothing was sent."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=2**20))

    @classmethod
    async def opened(cls, port: int, target: str, **headers: str) -> Self:
        """A connection whose handshake was answered well. Errors: `AssertionError`."""
        socket = await cls.connected(port)
        socket.send(handshake(target, headers))
        await socket.read_head()
        assert socket.so_far.status == 101, socket.so_far
        return socket

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def send(self, *parts: bytes) -> None:
        """Send these bytes."""
        self.writer.write(b"".join(parts))

    def abort(self) -> None:
        """Hang up without a word."""
        self.writer.transport.abort()

    async def read_head(self) -> None:
        """Read the answer to the handshake, with its body where it is no 101."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        ended = self.so_far
        ended.status = int(first.split(" ", 2)[1])
        ended.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if ended.status != 101:
            ended.body = await self._reader.readexactly(int(ended.headers.get("content-length", "0")))

    async def read_frame(self) -> bool:
        """Take in the next frame; False when there is none any more."""
        try:
            first, second = await self._reader.readexactly(2)
            size = second & 0x7F
            if size > _SHORT:
                size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8))
            payload = await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        assert not second & 0x80, "the server masks a frame"
        self._take_in(first & 0xF, payload)
        return True

    def _take_in(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            self.so_far.events.append(json.loads(payload))
        elif opcode == BINARY:
            self.so_far.audio += len(payload)
        elif opcode == PONG:
            self.so_far.pongs += 1
        elif opcode == CLOSE:
            self.so_far.code = int.from_bytes(payload[:2]) if payload else 1005
            self.so_far.reason = payload[2:].decode()
            with suppress(ConnectionError):
                self.send(frame(CLOSE, payload))

    async def rest(self) -> bytes:
        """What still comes, unread and unanswered."""
        return await self._reader.read()

    async def until(self, kind: str) -> dict[str, Any]:
        """The next event of this type. Errors: `AssertionError` when the socket is closed before."""
        seen = len(self.so_far.events)
        while not (found := [one for one in self.so_far.events[seen:] if one["type"] == kind]):
            assert await self.read_frame(), self.so_far
        return found[0]

    async def ended(self) -> Ended:
        """Read to the end."""
        while await self.read_frame():
            pass
        return self.so_far
