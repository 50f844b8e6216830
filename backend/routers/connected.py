"""The client's end of a voice conversation over a WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from backend.models.voice_frames import ClientFrame, ServerFrame, VoiceError
from backend.routers.voice_frames import read_frame
from backend.services.voice.voice_socket import SocketGone

SEND_SECONDS = 10.0
"""How long a client may not read, while something waits to be sent, before it is given up."""
_LONGEST_REASON = 123


class Connected:
    """One accepted WebSocket, as `VoiceSocket` describes it. Once the socket is closed, everything is `SocketGone`."""

    def __init__(self, socket: WebSocket, *, send_seconds: float = SEND_SECONDS) -> None:
        self._socket = socket
        self._send_seconds = send_seconds
        self._sending = asyncio.Lock()
        self._gone = False

    async def accept(self, subprotocol: str | None) -> None:
        """Answer the handshake. Errors: `SocketGone`."""
        try:
            await self._socket.accept(subprotocol)
        except WebSocketDisconnect:
            raise self._lost() from None

    async def receive(self) -> bytes | ClientFrame:
        """The next frame. Errors: `BadFrame`, `SocketGone`."""
        if self._gone:
            raise SocketGone
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise self._lost()
        return read_frame(message)

    async def tell(self, frame: ServerFrame) -> None:
        """Send an event. Errors: `SocketGone`."""
        await self._send({"type": "websocket.send", "text": frame.model_dump_json()})

    async def play(self, pcm: bytes) -> None:
        """Send audio. Errors: `SocketGone`."""
        await self._send({"type": "websocket.send", "bytes": pcm})

    async def close(self, code: int, error: VoiceError | None = None) -> None:
        """Close, and say before why. Nothing happens when the client has gone already."""
        reason = "" if error is None else error.detail.encode()[:_LONGEST_REASON].decode(errors="ignore")
        with suppress(SocketGone):
            if error is not None:
                await self.tell(error)
            await self._send({"type": "websocket.close", "code": code, "reason": reason})
        self._gone = True

    async def _send(self, message: Message) -> None:
        async with self._sending:
            if self._gone:
                raise SocketGone
            try:
                async with asyncio.timeout(self._send_seconds):
                    await self._socket.send(message)
            except TimeoutError:
                self._abort()
                raise self._lost() from None
            except WebSocketDisconnect:
                raise self._lost() from None

    def _abort(self) -> None:
        abort = cast("Callable[[], None] | None", self._socket.scope["state"].get("abort"))
        if abort is not None:
            abort()

    def _lost(self) -> SocketGone:
        self._gone = True
        return SocketGone()
