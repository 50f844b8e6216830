"""The wire of Deepgram's conversations: a WebSocket over a connection that began as HTTP, and what it can do wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from websockets.frames import Opcode
from websockets.protocol import Protocol, Side, State
from websockets.utils import accept_key

from backend.tests.protocol_servers.deepgram_ears import DeepgramEars, Utterance
from backend.tests.protocol_servers.openai_faults import Exchange
from backend.tests.protocol_servers.speech_server import SpeechRequest

READ_BYTES = 65_536
IDLE_REASON = "Deepgram did not receive audio data or a text message within the timeout window."

SocketFaultKind = Literal["close", "abort", "send", "silent", "deaf"]


@dataclass(frozen=True, slots=True)
class SocketFault:
    """What goes wrong once so many bytes of audio came.

    `close` with `code` and `reason`; `abort` resets the connection; `send` sends each of `messages` as it is; `silent`
    says nothing any more, not even goodbye; `deaf` reads nothing for so many `seconds`.
    """

    kind: SocketFaultKind
    after_bytes: int = 0
    code: int = 1011
    reason: str = "Something broke."
    messages: tuple[str | bytes, ...] = ()
    seconds: float = 1.0


@dataclass(slots=True)
class Conversation:
    """What came over one socket. `audio` is kept where the server is told to. `closed` is how the client closed it."""

    query: dict[str, str]
    headers: dict[str, str]
    controls: list[str] = field(default_factory=list[str])
    sizes: list[int] = field(default_factory=list[int])
    bytes_of_audio: int = 0
    audio: bytearray = field(default_factory=bytearray)
    sent: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    closed: int | None = None
    open: bool = True

    def said(self, kind: str) -> list[dict[str, Any]]:
        """The messages of this type that were sent."""
        return [message for message in self.sent if message["type"] == kind]


class DeepgramSocket:
    """Serves one conversation, from the handshake to the end of its connection."""

    def __init__(
        self,
        request: SpeechRequest,
        exchange: Exchange,
        next_utterance: Callable[[], Utterance],
        *,
        idle_seconds: float,
        keep_audio: bool,
        answers_finalize: bool,
        fault: SocketFault | None,
    ) -> None:
        self.conversation = Conversation(request.query, request.headers)
        self._exchange = exchange
        self._key = request.headers.get("sec-websocket-key", "")
        self._wire = Protocol(Side.SERVER)
        self._ears = DeepgramEars(request.query, self._tell, next_utterance)
        self._loop = asyncio.get_running_loop()
        self._idle_seconds = idle_seconds
        self._keep_audio = keep_audio
        self._answers_finalize = answers_finalize
        self._fault = fault
        self._silent = False
        self._heard_at = self._loop.time()
        self._watching: asyncio.TimerHandle | None = None

    async def serve(self) -> None:
        """Until the connection is over."""
        self._exchange.keep_alive = False
        upgrade = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        head = [*upgrade, f"Sec-WebSocket-Accept: {accept_key(self._key)}", "dg-request-id: r", "", ""]
        await self._exchange.raw("\r\n".join(head).encode())
        self._watch()
        try:
            await self._go_wrong()
            while data := await self._exchange.reader.read(READ_BYTES):
                self._wire.receive_data(data)
                for event in self._wire.events_received():
                    self._receive(event)
                await self._go_wrong()
                await self._write()
        finally:
            if self._watching is not None:
                self._watching.cancel()
            self.conversation.open = False

    def send(self, message: str | bytes) -> None:
        """Send this as it is, and now."""
        if self._wire.state is not State.OPEN:
            return
        if isinstance(message, bytes):
            self._wire.send_binary(message)
        else:
            self._wire.send_text(message.encode("utf-8", "surrogatepass"))
        self._write_soon()

    def close(self, code: int, reason: str) -> None:
        """Close it, and now."""
        if self._wire.state is State.OPEN:
            self._wire.send_close(code, reason)
            self._write_soon()

    def abort(self) -> None:
        """Reset the connection, now."""
        self._exchange.abort()

    def _watch(self) -> None:
        left = self._heard_at + self._idle_seconds - self._loop.time()
        if left <= 0:
            self.close(1011, IDLE_REASON)
        else:
            self._watching = self._loop.call_later(left, self._watch)

    def _receive(self, event: Any) -> None:
        if event.opcode is Opcode.CLOSE:
            close = self._wire.close_rcvd
            self.conversation.closed = close.code if close else None
        elif event.opcode is Opcode.BINARY:
            self._heard_at = self._loop.time()
            self._hear(event.data)
        elif event.opcode is Opcode.TEXT:
            self._heard_at = self._loop.time()
            self._obey(event.data)

    def _hear(self, pcm: bytes) -> None:
        if not pcm:  # the old way to say that this was all
            self._finish()
            return
        self.conversation.bytes_of_audio += len(pcm)
        self.conversation.sizes.append(len(pcm))
        if self._keep_audio:
            self.conversation.audio += pcm
        self._ears.hear(pcm)

    def _obey(self, data: bytes) -> None:
        try:
            kind = json.loads(data)["type"]
        except (ValueError, TypeError, KeyError):
            kind = None
        self.conversation.controls.append(str(kind))
        if kind == "Finalize":
            if self._answers_finalize:
                self._ears.finalize()
        elif kind == "CloseStream":
            self._finish()
        elif kind != "KeepAlive":
            words = {
                "description": "Could not deserialize last text message",
                "message": data.decode("utf-8", "replace"),
            }
            self._tell({"type": "Error", "variant": "SchemaError", **words})

    def _finish(self) -> None:
        self._ears.flush()
        self._tell(self._ears.metadata())
        if not self._silent and self._wire.state is State.OPEN:
            self._wire.send_close(1000)

    def _tell(self, message: dict[str, Any]) -> None:
        if not self._silent and self._wire.state is State.OPEN:
            self.conversation.sent.append(message)
            self._wire.send_text(json.dumps(message).encode())

    async def _go_wrong(self) -> None:
        fault = self._fault
        if fault is None or self.conversation.bytes_of_audio < fault.after_bytes:
            return
        self._fault = None
        if fault.kind == "close":
            self._wire.send_close(fault.code, fault.reason)
        elif fault.kind == "abort":
            await self._write()
            self.abort()
        elif fault.kind == "send":
            for message in fault.messages:
                self.send(message)
        elif fault.kind == "silent":
            self._silent = True
        else:
            await asyncio.sleep(fault.seconds)
        await self._write()

    async def _write(self) -> None:
        self._write_soon()
        if not self._exchange.writer.is_closing():
            await self._exchange.writer.drain()

    def _write_soon(self) -> None:
        for data in self._wire.data_to_send():
            if self._silent or self._exchange.writer.is_closing():
                continue
            if data:
                self._exchange.writer.write(data)
            else:
                self._exchange.writer.close()
