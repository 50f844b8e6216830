"""A deadline for receiving a request, which uvicorn does not have: slow senders are hung up on."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_DETAIL = b'{"type":"/problems/request-timeout","title":"The request came too slowly","status":408,'
_BODY = _DETAIL + b'"code":"request-timeout","detail":"Send the whole request without pauses."}'
_TIMED_OUT = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/problem+json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)


class _DeadlineProtocol(HttpToolsProtocol):
    """Hangs up when headers or body take too long. The timer never restarts when bytes come: one byte a second is the attack."""

    header_seconds: float
    body_seconds: float
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._arm(self.header_seconds)

    def on_message_begin(self) -> None:
        if self._deadline is None:  # a later request on the same connection
            self._arm(self.header_seconds)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._arm(self.body_seconds)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._disarm()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(seconds, self._hang_up)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _hang_up(self) -> None:
        if self.cycle is not None and not self.cycle.response_started and not self.transport.is_closing():
            self.transport.write(_TIMED_OUT)
        self.transport.close()


def deadline_protocol(header_seconds: float, body_seconds: float) -> type[HttpToolsProtocol]:
    """The protocol class for `uvicorn.Config(http=...)`: seconds for the headers, and for the body after them."""
    limits = {"header_seconds": header_seconds, "body_seconds": body_seconds}
    return type("DeadlineProtocol", (_DeadlineProtocol,), limits)
