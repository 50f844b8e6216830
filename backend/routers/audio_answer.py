"""Audio as an answer: PCM16 with a WAV header before it, whole, in part, or as it comes; MP3 as it comes."""

from __future__ import annotations

import re
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from backend.errors import NumenError
from backend.ports.speech import SAMPLE_BYTES, SAMPLE_RATE
from backend.routers.accepted_audio import MP3, WAV
from backend.routers.http_errors import RangeNotSatisfiable
from backend.telemetry import get_logger

_log = get_logger(__name__)
HEADER_BYTES = 44
_UNKNOWN = 0xFFFFFFFF
_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})", re.IGNORECASE)

_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
AUDIO_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "WAV: PCM16, mono, 16,000 samples a second; without Content-Length it is still being spoken, "
        "and the header says the largest length there is. MP3: mono, 16,000 samples a second, 64 kbit/s, always as it "
        "comes. An answer that is cut has failed.",
        "content": {WAV: _BINARY, MP3: _BINARY},
        "headers": {
            "Numen-Voice-Provider": {"description": "Who speaks.", "schema": {"type": "string"}},
            "Numen-Voice-Note": {"description": "Why it is not who was asked for.", "schema": {"type": "string"}},
        },
    }
}
"""How such an answer is described in the OpenAPI document."""


def wav_header(data_bytes: int | None) -> bytes:
    """The header of so much PCM16 at our rate; of None for a length that is not known yet."""
    size = _UNKNOWN if data_bytes is None else min(data_bytes, _UNKNOWN - HEADER_BYTES)
    whole = _UNKNOWN if data_bytes is None else size + HEADER_BYTES - 8
    rate = SAMPLE_RATE * SAMPLE_BYTES
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF", whole, b"WAVE", b"fmt ", 16, 1, 1, SAMPLE_RATE, rate, SAMPLE_BYTES, 8 * SAMPLE_BYTES, b"data", size,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a file, from `begin` up to and without `end`."""

    begin: int
    end: int


def asked_range(header: str | None) -> re.Match[str] | None:
    """The one range of bytes that is asked for; what cannot be understood is no range."""
    found = _RANGE.fullmatch(header.strip()) if header else None
    return found if found and (found[1] or found[2]) else None


def is_everything(asked: re.Match[str]) -> bool:
    """Whether the range is the whole file, as players begin."""
    return not asked[2] and asked[1].strip("0") == "" and asked[1] != ""


def span_of(asked: re.Match[str], length: int) -> Span | None:
    """The bytes that are meant, None for a range that makes no sense. Errors: `RangeNotSatisfiable`."""
    first, last = asked[1], asked[2]
    if not first:
        begin, end = max(0, length - int(last)), length
    else:
        begin, end = int(first), min(int(last) + 1, length) if last else length
        if last and int(last) < begin:
            return None
    if begin >= length:
        raise RangeNotSatisfiable(f"The file has {length} bytes.", length=length)
    return Span(begin, end)


class AudioAnswer(StreamingResponse):
    """Sends `first`, then pieces as they come; one that fails cuts the answer, so that nobody takes it for whole.

    `close` is called in the end, also when nothing was ever sent. With a `content-length` in `headers` it is kept.
    """

    def __init__(
        self,
        first: bytes,
        pieces: AsyncIterator[bytes],
        close: Callable[[], Awaitable[None]],
        headers: Mapping[str, str],
        status: int = 200,
        kind: str = WAV,
    ) -> None:
        Response.__init__(self, None, status, headers, kind)
        if "content-length" not in headers:
            del self.headers["content-length"]
        self._first = first
        self._pieces = pieces
        self._close = close

    async def stream_response(self, send: Send) -> None:
        """See Starlette."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self._first, "more_body": True})
        try:
            async for piece in self._pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except NumenError as error:
            _log.warning("audio cut", code=error.code, reason=error.detail)
            return  # without its end the server closes the connection
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._close()
