"""A real HTTP server that speaks Deepgram's API for whole recordings: what it hears is scripted.

What it should do wrong is said with `fault`. A key is asked for where `key` is set.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

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
        self._standing = DEFAULT_TRANSCRIPT
        self._queued: list[str] = []

    def hear(self, text: str) -> None:
        """From now on this is what is heard."""
        self._standing = text

    def hear_once(self, *texts: str) -> None:
        """These are heard next, one by one, and then what was heard before."""
        self._queued.extend(texts)

    async def respond(self, request: SpeechRequest, exchange: Exchange) -> None:
        if self.key is not None and request.headers.get("authorization") != f"Token {self.key}":
            await _unauthorized(exchange)
        elif request.path != LISTEN or request.method != "POST":
            await exchange.json(404, {"err_code": "Not Found", "err_msg": "No such path.", "request_id": "r"})
        elif request.query.get("model") not in MODELS:
            await refused(exchange, 400, "Bad Request", "Bad Request: No such model/language/tier combination found.")
        elif not request.raw:
            await refused(
                exchange, 400, "Bad Request", "Bad Request: failed to process audio: corrupt or unsupported data"
            )
        else:
            text = self._queued.pop(0) if self._queued else self._standing
            await exchange.json(200, self._transcribed(text, request.raw))

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
    "status": _status,
    "shape": _shape,
    "gigantic": _gigantic,
    "dripping": _dripping,
}
