"""WebSockets as uvicorn speaks them, with an end for everything that could go on for ever.

Uvicorn closes politely and waits: for a client to read, to answer the close, to send the last fragment. A client that
does none of it would keep its socket, and what waits for it in memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, cast
from uuid import uuid4

import orjson
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from backend.errors import NumenError, ShuttingDown
from backend.models.voice_frames import FRAME_BYTES
from backend.routers.http_errors import MalformedRequest, UpgradeRequired
from backend.routers.problems import PROBLEM_MEDIA_TYPE, problem_body, status_of

MOST_FRAGMENTS = 256
"""Of one message: fragments may be empty, and then the limit of its bytes does not count them."""
_GOING_AWAY, _ABNORMAL, _NO_TEXT, _TOO_BIG = 1001, 1006, 1007, 1009
_CLOSING_SECONDS = 2.0
_ABORT_SECONDS = 3.0
_GOODBYE_SECONDS = 1.0
_VERSION = "13"


class SocketProtocol(WebSocketsSansIOProtocol):
    """For `uvicorn.Config(ws=...)`.

    - Whoever is refused in the middle of sending gets the close frame, the end of our side, and a moment to read them:
      a connection that is closed under a sender breaks before it reads.
    - Of the pings of whoever does not read the newest is answered; the others would wait in memory.
    - `scope["state"]["abort"]` ends the connection at once, for whoever gives a client up.
    - When the server stops, the app has a moment to say goodbye itself; then sockets are closed with 1001.
    """

    def __init__(self, *args: Any, **rest: Any) -> None:
        super().__init__(*args, **rest)
        # Uvicorn's own lines show the query of the address, and a traceback for each client's broken text.
        self.logger = logging.getLogger("uvicorn.sockets")
        self.conn.logger = self.logger
        self.close_timeout = _CLOSING_SECONDS
        self._owed: list[bytes] = []
        self._timers: list[asyncio.TimerHandle] = []

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in self._timers:
            timer.cancel()
        super().connection_lost(exc)

    # --- the handshake ---

    def handle_connect(self, event: Any) -> None:
        if self.conn.accept(event).status_code == 101:
            super().handle_connect(event)
            cast("dict[str, Any]", self.scope)["state"]["abort"] = self.transport.abort
            return
        self.handshake_initiated = True
        if event.headers.get_all("Sec-WebSocket-Version") == [_VERSION]:
            self._refuse(MalformedRequest("Sec-WebSocket-Key must be 16 bytes in Base64, and come once."))
        else:
            refusal = UpgradeRequired(f"The handshake must be of version {_VERSION} of the protocol.")
            self._refuse(refusal, {"Upgrade": "websocket", "Sec-WebSocket-Version": _VERSION})

    def _refuse(self, error: NumenError, headers: Mapping[str, str] | None = None) -> None:
        request_id = uuid4().hex
        body = orjson.dumps(problem_body(error, request_id=request_id))
        response = self.conn.reject(status_of(error), body.decode())
        del response.headers["Content-Type"]
        response.headers.update({"Content-Type": PROBLEM_MEDIA_TYPE, "X-Request-ID": request_id, **(headers or {})})
        self.conn.send_response(response)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.handshake_complete = self.close_sent = True
        self.transport.close()

    # --- what comes in ---

    def data_received(self, data: bytes) -> None:
        if not self.handshake_initiated or self.handshake_complete:
            super().data_received(data)
        elif not self.transport.is_closing():
            self._refuse(MalformedRequest("Wait for the answer to the handshake before you send something."))

    def handle_cont(self, event: Any) -> None:
        if len(self.frames) < MOST_FRAGMENTS:
            super().handle_cont(event)
        else:
            self._fail(_TOO_BIG, f"A message may have {MOST_FRAGMENTS} fragments.")

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self._fail(_NO_TEXT, "Text must be UTF-8.")
                return
        super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        pongs = self.conn.data_to_send()
        if not self.writable.is_set():
            self._owed = pongs[-1:] or self._owed  # RFC 6455, 5.5.3: the newest is enough
        elif not self.close_sent:
            self.transport.write(b"".join(pongs))

    # --- what goes out ---

    def resume_writing(self) -> None:
        super().resume_writing()
        owed, self._owed = self._owed, []
        if owed and not self.close_sent:
            self.transport.write(owed[0])

    async def send(self, message: Any) -> None:
        await self.writable.wait()
        if self.close_sent or self.transport.is_closing():
            raise ClientDisconnected  # closed by us, where the app could not know
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True  # else uvicorn complains that it was not

    async def run_asgi(self) -> None:
        await super().run_asgi()
        self._abort_later()

    # --- the end ---

    def shutdown(self) -> None:
        self.stop_keepalive()
        if not self.handshake_complete:
            self._refuse(ShuttingDown("The server is stopping; come back in a moment."))
        elif not self.close_sent:
            self._timers.append(self.loop.call_later(_GOODBYE_SECONDS, self._fail, _GOING_AWAY, "The server stops."))

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._abort_later()

    def _fail(self, code: int, reason: str) -> None:
        self.frames = []
        self.conn.fail(code, reason)
        self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        if self.close_sent or self.transport.is_closing():
            return  # what still comes is thrown away
        self.close_sent = True
        self.stop_keepalive()
        sent = self.conn.close_sent
        code, reason = (_ABNORMAL, "") if sent is None else (sent.code, sent.reason)
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.read_paused = False
        self.transport.resume_reading()
        self.close_timer = self.loop.call_later(_CLOSING_SECONDS, self.transport.abort)

    def _abort_later(self) -> None:
        """Closing may wait for a client that does not read; it does not wait for ever."""
        if not self.disconnected:
            self._timers.append(self.loop.call_later(_ABORT_SECONDS, self.transport.abort))


SOCKETS: Mapping[str, Any] = {
    "ws": SocketProtocol,
    "ws_max_size": FRAME_BYTES,
    "ws_per_message_deflate": False,  # audio does not get smaller, and each socket would keep windows for it
    "ws_ping_interval": 20.0,
    "ws_ping_timeout": 20.0,
}
"""For `uvicorn.Config(**SOCKETS)`. A client that does not answer a ping is gone."""
