"""A real server that speaks Deepgram's API for recordings and conversations: what it hears is scripted.

What it should do wrong is said with `fault`, once a conversation is open with `socket_fault`. A key is asked for where
`key` is set. What came over the sockets is in `conversations`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import deque
from collections.abc import Callable
from typing import Any

from backend.tests.protocol_servers.deepgram_ears import Utterance
from backend.tests.protocol_servers.deepgram_socket import Conversation, DeepgramSocket, SocketFault, SocketFaultKind
from backend.tests.protocol_servers.openai_faults import Exchange
from backend.tests.protocol_servers.speech_audio import seconds_of_recording
from backend.tests.protocol_servers.speech_server import SpeechRequest, SpeechServer

LISTEN = "/v1/listen"
MODELS = ("nova-2", "nova-3")
DEFAULT_TRANSCRIPT = "Hello from the test ears."


class DeepgramServer(SpeechServer):
    """Use as `with DeepgramServer() as server`, or by the fixture `deepgram_server`."""

    def set_defaults(self) -> None:
        super().set_defaults()
        self.key: str | None = None
        self.confidence = 0.98
        self.idle_seconds = 10.0
        self.handshake_seconds = 0.0
        self.keep_audio = False
        self.answers_finalize = True
        self.conversations: list[Conversation] = []
        self._standing = Utterance((DEFAULT_TRANSCRIPT,))
        self._queued: deque[Utterance] = deque()
        self._socket_fault: SocketFault | None = None
        self._sockets: list[DeepgramSocket] = []

    @property
    def open_ears(self) -> int:
        """How many conversations are open now."""
        return len(self._sockets)

    def hear(self, text: str) -> None:
        """From now on this is what is heard; an empty text is noise."""
        self._standing = Utterance((text,))

    def hear_once(self, *texts: str) -> None:
        """These are heard next, one by one, and then what was heard before."""
        self._queued.extend(Utterance((text,)) for text in texts)

    def hear_in_pieces_once(self, *pieces: str, speech_final: bool = True) -> None:
        """This is heard next, written down piece by piece; without `speech_final` only `UtteranceEnd` ends it."""
        self._queued.append(Utterance(pieces, speech_final))

    def socket_fault(self, kind: SocketFaultKind, **options: Any) -> None:
        """Do this wrong in every conversation that begins from now on, until `reset()`: see `SocketFault`."""
        self._socket_fault = SocketFault(kind, **options)

    def tell(self, *messages: str | bytes | dict[str, Any]) -> None:
        """Send these now to all conversations, whatever they are."""
        for message in messages:
            raw = json.dumps(message) if isinstance(message, dict) else message
            self._everywhere(lambda socket, raw=raw: socket.send(raw))

    def hang_up(self, code: int, reason: str = "") -> None:
        """Close all conversations now."""
        self._everywhere(lambda socket: socket.close(code, reason))

    def abort(self) -> None:
        """Reset the connections of all conversations now."""
        self._everywhere(DeepgramSocket.abort)

    def wait_for_ears(self, count: int, seconds: float = 5.0) -> None:
        """Block until so many conversations are open. Errors: `TimeoutError`."""
        self._wait(lambda: len(self._sockets) == count, f"{count} conversations", seconds)

    def wait_for_control(self, kind: str, count: int = 1, seconds: float = 5.0) -> None:
        """Block until a message of this type came so often in the last conversation. Errors: `TimeoutError`."""
        self._wait(
            lambda: bool(self.conversations) and self.conversations[-1].controls.count(kind) >= count, kind, seconds
        )

    def wait_for_audio(self, size: int, seconds: float = 5.0) -> None:
        """Block until so many bytes of audio came in the last conversation. Errors: `TimeoutError`."""
        self._wait(lambda: bool(self.conversations) and self.conversations[-1].bytes_of_audio >= size, "audio", seconds)

    async def respond(self, request: SpeechRequest, exchange: Exchange) -> None:
        if self.key is not None and request.headers.get("authorization") != f"Token {self.key}":
            await _unauthorized(exchange)
        elif request.path != LISTEN or request.method not in ("GET", "POST"):
            await exchange.json(404, {"err_code": "Not Found", "err_msg": "No such path.", "request_id": "r"})
        elif request.query.get("model") not in MODELS:
            await refused(exchange, 400, "Bad Request", "Bad Request: No such model/language/tier combination found.")
        elif request.method == "GET":
            await self._converse(request, exchange)
        elif not request.raw:
            await refused(
                exchange, 400, "Bad Request", "Bad Request: failed to process audio: corrupt or unsupported data"
            )
        else:
            await exchange.json(200, self._transcribed(self._next_utterance().text, request.raw))

    async def _converse(self, request: SpeechRequest, exchange: Exchange) -> None:
        if request.headers.get("upgrade", "").lower() != "websocket":
            await refused(exchange, 400, "Bad Request", "Bad Request: this path opens a WebSocket.")
            return
        await asyncio.sleep(self.handshake_seconds)
        socket = DeepgramSocket(
            request,
            exchange,
            self._next_utterance,
            idle_seconds=self.idle_seconds,
            keep_audio=self.keep_audio,
            answers_finalize=self.answers_finalize,
            fault=self._socket_fault,
        )
        sockets = self._sockets
        sockets.append(socket)
        self.conversations.append(socket.conversation)
        try:
            await socket.serve()
        finally:
            sockets.remove(socket)

    def _everywhere(self, do: Callable[[DeepgramSocket], None]) -> None:
        async def all_of_them() -> None:
            for socket in list(self._sockets):
                do(socket)

        self._run(all_of_them())

    def _next_utterance(self) -> Utterance:
        return self._queued.popleft() if self._queued else self._standing

    def _transcribed(self, text: str, audio: bytes) -> dict[str, Any]:
        return transcribed(text, self.confidence if text else 0.0, audio)


def transcribed(text: str, confidence: float, audio: bytes) -> dict[str, Any]:
    """An answer as Deepgram writes it."""
    seconds = seconds_of_recording(audio)
    said = text.split()
    step = seconds / max(1, len(said))
    words = [
        {"word": word.lower(), "start": place * step, "end": (place + 1) * step, "confidence": confidence}
        for place, word in enumerate(said)
    ]
    model = "30089e05-99d1-4376-b32e-c263170674af"
    metadata = {
        "transaction_key": "deprecated",
        "request_id": "8ad4ca21-b35e-4a7c-8b4b-3b9c2e6f6b4e",
        "sha256": hashlib.sha256(audio).hexdigest(),
        "created": "2026-01-05T09:00:00.000Z",
        "duration": seconds,
        "channels": 1,
        "models": [model],
        "model_info": {model: {"name": "2-general-nova", "version": "2024-01-09.29447", "arch": "nova-2"}},
    }
    alternative = {"transcript": text, "confidence": confidence, "words": words}
    return {"metadata": metadata, "results": {"channels": [{"alternatives": [alternative]}]}}


async def refused(exchange: Exchange, status: int, code: str, message: str, **headers: str) -> None:
    """An error as Deepgram writes it."""
    body = {"err_code": code, "err_msg": message, "request_id": "8ad4ca21-b35e-4a7c-8b4b-3b9c2e6f6b4e"}
    await exchange.json(status, body, dg_error=code, **headers)


async def _unauthorized(exchange: Exchange, message: str = "Invalid credentials.") -> None:
    await refused(exchange, 401, "INVALID_AUTH", message)


async def _forbidden(exchange: Exchange) -> None:
    # The newer of the two shapes in which it refuses.
    body = {"category": "INSUFFICIENT_PERMISSIONS", "message": "No access to the requested model.", "details": "…"}
    await exchange.json(403, body)


async def _no_credits(exchange: Exchange) -> None:
    await refused(exchange, 402, "ASR_PAYMENT_REQUIRED", "Project does not have enough credits.")


async def _limited(exchange: Exchange, **headers: str) -> None:
    await refused(exchange, 429, "TOO_MANY_REQUESTS", "Too many requests.", **headers)


async def _unusable(exchange: Exchange) -> None:
    await refused(exchange, 400, "Bad Request", "Bad Request: failed to process audio: corrupt or unsupported data")


async def _bodiless(exchange: Exchange, dg_error: str = "Bad Request") -> None:
    await exchange.whole(400, b"", dg_error=dg_error)


async def _status(exchange: Exchange, status: int = 500, **headers: str) -> None:
    await refused(exchange, status, "INTERNAL_SERVER_ERROR", "Something broke.", **headers)


async def _shape(exchange: Exchange, body: object = None) -> None:
    await exchange.json(200, body)


async def _gigantic(exchange: Exchange) -> None:
    await exchange.begin_stream("application/json")
    while True:
        await exchange.part(b" " * 60_000)


async def _dripping(exchange: Exchange) -> None:
    await exchange.begin_stream("application/json")
    while True:
        await exchange.part(b" ")
        await asyncio.sleep(0.02)


DeepgramServer.wrongs = {
    "unauthorized": _unauthorized,
    "forbidden": _forbidden,
    "no_credits": _no_credits,
    "rate_limited": _limited,
    "unusable": _unusable,
    "bodiless": _bodiless,
    "status": _status,
    "shape": _shape,
    "gigantic": _gigantic,
    "dripping": _dripping,
}
