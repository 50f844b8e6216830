"""A deadline for receiving a request, which uvicorn does not have, and problem documents where no app can answer yet.

What is no HTTP, or too slow, or has an endless header, is refused on the connection itself.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any, cast
from uuid import uuid4

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from backend.errors import NumenError
from backend.routers.http_errors import HeaderTooLarge, MalformedRequest, RequestTimeout
from backend.routers.problems import PROBLEM_MEDIA_TYPE, instance_of, problem_body, status_of
from backend.telemetry import get_logger

HEADER_LIMIT_BYTES = 65_536
_LINGER_SECONDS = 0.5
# What the parser of WebSockets' handshakes takes, with room for what stands around name and value.
_MOST_LINES, _LONGEST_LINE = 128, 8_100
_BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding"})
# Java's client offers HTTP/2 with its first request, and httptools drops the body of a request that offers an upgrade.
_OFFER = b"\r\nUpgrade: h2c"

_log = get_logger(__name__)


class _Phase(Enum):
    """What of a request the sender owes us."""

    NOTHING = "nothing"  # nothing has begun, or all of it is here
    HEADER = "header"
    BODY = "body"


class _DeadlineProtocol(HttpToolsProtocol):
    """Times the sender of each header and each body. A request that arrives in one piece never touches a timer.

    The time does not start anew when bytes arrive (one byte a second is the attack). It does not count while we are
    the slow ones: while reading is paused, or while the answer before is still being made.

    Who is refused gets the answer and its end at once. What they still send is thrown away for a moment: a connection
    that is closed under a sender breaks before the answer is read.
    """

    header_seconds: float
    body_seconds: float

    _phase = _Phase.NOTHING
    _deadline: asyncio.TimerHandle | None = None
    _timed: _Phase | None = None
    _header_bytes = 0
    _paused_at: float | None = None
    _excused = 0.0
    _refused = False
    _upgraded = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._arm(_Phase.HEADER)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._paused_at is not None:
            self._excuse_pause()
        if _OFFER in data and self._phase is _Phase.NOTHING:
            data = _without_offer(data)
        super().data_received(data)
        if self._upgraded:
            self._disarm()
            return
        if self.flow.read_paused:
            self._paused_at = self.loop.time()
        if self.transport.is_closing() or self._refused:
            self._disarm()
        else:
            self._watch(len(data))

    def _watch(self, received: int) -> None:
        """See to it that the deadline of what is still owed runs."""
        if self._phase is _Phase.BODY:
            if self._timed is not _Phase.BODY:
                self._arm(_Phase.BODY)
        elif self._phase is _Phase.HEADER:
            self._header_bytes += received
            if self._header_bytes > HEADER_LIMIT_BYTES:
                self._refuse(HeaderTooLarge(f"The header may have at most {HEADER_LIMIT_BYTES} bytes."))
            elif self._deadline is None:
                self._arm(_Phase.HEADER)
        elif self._deadline is None and not self._answering():
            self._arm(_Phase.HEADER)  # bare line breaks between requests: they ended uvicorn's keep-alive timer

    def on_message_begin(self) -> None:
        self._phase = _Phase.HEADER
        self._header_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._phase = _Phase.BODY
        super().on_headers_complete()
        if self.parser is not None and not self.parser.should_upgrade():
            self.headers = []  # what follows the body must not join the header, which the app has already checked

    def on_message_complete(self) -> None:
        self._phase = _Phase.NOTHING
        self._disarm()
        super().on_message_complete()

    def _should_upgrade(self) -> bool:
        # Another method's, or an older version's, is an offer that need not be taken: the request is answered as it is.
        parser = cast("Any", self.parser)
        return parser.get_method() == b"GET" and parser.get_http_version() == "1.1" and super()._should_upgrade()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to WebSockets, unless their parser could not answer."""
        lines = [self.url, *(name + value for name, value in self.headers)]
        body = any(name in _BODY_HEADERS and value != b"0" for name, value in self.headers)
        if self._answering() or self.pipeline:
            self._refuse(MalformedRequest("Wait for the answer to the request before, then send the handshake."))
        elif len(lines) > _MOST_LINES or len(max(lines, key=len)) > _LONGEST_LINE:
            self._refuse(HeaderTooLarge(f"A handshake has {_MOST_LINES} lines of {_LONGEST_LINE} bytes at most."))
        elif body:
            self._refuse(MalformedRequest("A handshake has no body."))
        else:
            super().handle_websocket_upgrade()
            self._upgraded = True

    def send_400_response(self, msg: str) -> None:
        self._refuse(MalformedRequest(f"{msg} The connection is closed."))

    def _arm(self, phase: _Phase, seconds: float | None = None) -> None:
        self._disarm()
        if seconds is None:
            seconds = self.body_seconds if phase is _Phase.BODY else self.header_seconds
        self._timed = phase
        self._deadline = self.loop.call_later(seconds, self._too_late)

    def _disarm(self) -> None:
        self._excused = 0.0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = self._timed = None

    def _excuse_pause(self) -> None:
        now = self.loop.time()
        self._excused += now - (self._paused_at or now)
        self._paused_at = now if self.flow.read_paused else None

    def _too_late(self) -> None:
        if self.transport.is_closing():
            return
        timed = self._timed or _Phase.HEADER
        self._excuse_pause()
        # In the phase BODY the newest cycle is the sender's own; before that, it is one that came earlier.
        if self.pipeline or (self._phase is not _Phase.BODY and self._answering()):
            self._arm(timed)
        elif self._excused > 0:
            self._arm(timed, self._excused)
        else:
            self._give_up()

    def _give_up(self) -> None:
        _log.info("sender too slow", owed=self._phase.value, client=self.client and self.client[0])
        if self._phase is _Phase.NOTHING:
            self.transport.close()  # not one byte of a request: nobody to answer
        else:
            self._refuse(RequestTimeout(f"The {self._phase.value} of the request did not arrive in time."))

    def _cycle(self) -> RequestResponseCycle | None:
        return cast("RequestResponseCycle | None", self.cycle)  # uvicorn declares it without the None it begins with

    def _answering(self) -> bool:
        cycle = self._cycle()
        return cycle is not None and not cycle.response_complete

    def _refuse(self, error: NumenError) -> None:
        """Answer where no answer has begun, and close."""
        cycle = self._cycle()
        begun = cycle is not None and cycle.response_started and (self._phase is _Phase.BODY or self._answering())
        self._refused = True
        self._disarm()
        if begun or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write(self._problem(error))
        self.transport.write_eof()
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True  # it cannot answer any more
            cycle.message_event.set()

    def _problem(self, error: NumenError) -> bytes:
        scope = cast("dict[str, Any]", self.scope) if self._phase is _Phase.BODY else {}
        request_id: str = scope.get("state", {}).get("request_id") or uuid4().hex
        instance = instance_of(scope) if "path" in scope else None
        body = orjson.dumps(problem_body(error, instance=instance, request_id=request_id))
        headers = [
            *self.server_state.default_headers,
            (b"content-type", PROBLEM_MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", request_id.encode()),
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        return STATUS_LINE[status_of(error)] + lines + b"\r\n" + body


def _without_offer(data: bytes) -> bytes:
    header, end, body = data.partition(b"\r\n\r\n")
    return header.replace(_OFFER, b"\r\nx-offer: h2c") + end + body


def deadline_protocol(header_seconds: float, body_seconds: float) -> type[HttpToolsProtocol]:
    """The protocol class for `uvicorn.Config(http=...)`: seconds for the header, and for the body after it."""
    limits = {"header_seconds": header_seconds, "body_seconds": body_seconds}
    return type("DeadlineProtocol", (_DeadlineProtocol,), limits)
