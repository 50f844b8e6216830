"""A real HTTP server that speaks the API of ElevenLabs: speech with and without times, and the list of voices.

What it says is a hum as long as the text, each character as long as the others; what it should do wrong is said with
`fault`, and of the times of characters with `bend`. A key is asked for where
`key` is set, and only the `known` voices speak.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from backend.ports.speech import SAMPLE_BYTES, SAMPLE_RATE
from backend.tests.protocol_servers.openai_faults import Exchange
from backend.tests.protocol_servers.speech_audio import hummed
from backend.tests.protocol_servers.speech_server import SpeechRequest, SpeechServer

PIECE_BYTES = 4096
SPEAK, TIMED, VOICES = "/v1/text-to-speech/", "/with-timestamps", "/v2/voices"
SARAH: dict[str, Any] = {
    "voice_id": "EXAVITQu4vr4xnSDxMaL",
    "name": "Sarah",
    "category": "premade",
    "labels": {"accent": "american", "age": "young", "gender": "female", "language": "en"},
    "description": "A calm voice.",
    "preview_url": "https://voices.example/sarah.mp3",
}


class ElevenLabsServer(SpeechServer):
    """Use as `with ElevenLabsServer() as server`, or by the fixture `elevenlabs_server`."""

    def set_defaults(self) -> None:
        super().set_defaults()
        self.key: str | None = None
        self.known: set[str] | None = None
        """The voices that speak; all of them while it is None."""
        self.voices: list[Any] = [SARAH]
        self.piece_sizes: Sequence[int] = ()
        """Sizes of the first pieces of every answer, in bytes."""
        self.content_type = "audio/pcm"
        self.bend: Callable[[int, Any], Any] = lambda _, alignment: alignment
        """Makes something else of the times that come with the piece of this number."""

    @property
    def spoken(self) -> list[SpeechRequest]:
        """The requests that asked for speech."""
        return [request for request in self.requests if request.path.startswith(SPEAK)]

    async def respond(self, request: SpeechRequest, exchange: Exchange) -> None:
        voice_id = request.path.removeprefix(SPEAK).removesuffix(TIMED).removesuffix("/stream")
        if self.key is not None and request.headers.get("xi-api-key") != self.key:
            await unauthorized(exchange)
        elif request.method == "GET" and request.path == VOICES:
            await exchange.json(200, self._page(request.query))
        elif not request.path.startswith(SPEAK) or request.method != "POST":
            await exchange.json(404, {"detail": "Not Found"})
        elif self.known is not None and voice_id not in self.known:
            await voice_not_found(exchange, voice_id=voice_id)
        elif problems := _problems(request):
            await exchange.json(422, {"detail": problems})
        else:
            await self._speak(request, exchange)

    async def _speak(self, request: SpeechRequest, exchange: Exchange) -> None:
        text = request.body["text"]
        pcm = hummed(text, request.body.get("voice_settings", {}).get("speed", 1.0))
        timed = request.path.endswith(TIMED)
        await exchange.begin_stream("text/event-stream" if timed else self.content_type)
        for number, (begin, end) in enumerate(self._cuts(len(pcm))):
            alignment = self.bend(number, _alignment(text, len(pcm), begin, end)) if timed else None
            await _sound(exchange, pcm[begin:end], alignment)
            if number < len(self.piece_sizes):
                await asyncio.sleep(0.01)  # so that it goes out alone
        await exchange.end()

    def _cuts(self, length: int) -> Iterator[tuple[int, int]]:
        begin = 0
        for size in self.piece_sizes:
            yield begin, begin + size
            begin += size
        for place in range(begin, length, PIECE_BYTES):
            yield place, min(place + PIECE_BYTES, length)

    def _page(self, query: dict[str, str]) -> dict[str, Any]:
        start, size = int(query.get("next_page_token", "0")), min(int(query.get("page_size", "10")), 100)
        more = start + size < len(self.voices)
        page: dict[str, Any] = {"voices": self.voices[start : start + size], "has_more": more, "total_count": 0}
        return {**page, "next_page_token": str(start + size) if more else None}


def _problems(request: SpeechRequest) -> list[dict[str, Any]]:
    if not isinstance(request.body.get("text"), str):
        return [{"loc": ["body", "text"], "msg": "field required", "type": "value_error.missing"}]
    if request.query.get("output_format") != f"pcm_{SAMPLE_RATE}":
        return [{"loc": ["query", "output_format"], "msg": "this server speaks pcm_16000 only", "type": "value_error"}]
    return []


async def _sound(exchange: Exchange, pcm: bytes, alignment: Any = None) -> None:
    """A piece of audio, on whichever wire this is."""
    if not exchange.path.endswith(TIMED):
        await exchange.part(pcm)
        return
    line = {"audio_base64": base64.b64encode(pcm).decode(), "alignment": alignment, "normalized_alignment": alignment}
    await exchange.part(json.dumps(line).encode() + b"\n\n")


def _alignment(text: str, length: int, begin: int, end: int) -> Any:
    """The times of the characters that end in this part of the audio of the text; None where none does."""
    times = [length / SAMPLE_BYTES / SAMPLE_RATE * place / len(text) for place in range(len(text) + 1)]
    bounds = [time * SAMPLE_BYTES * SAMPLE_RATE for time in times[1:]]
    here = [place for place, bound in enumerate(bounds) if begin < round(bound) <= end]
    return (
        {
            "characters": [text[place] for place in here],
            "character_start_times_seconds": [round(times[place], 3) for place in here],
            "character_end_times_seconds": [round(times[place + 1], 3) for place in here],
        }
        if here
        else None
    )


async def refused(exchange: Exchange, status: int, code: str, message: str, **headers: str) -> None:
    """An error as ElevenLabs writes it."""
    await exchange.json(status, {"detail": {"status": code, "message": message}}, **headers)


async def unauthorized(exchange: Exchange, message: str = "Invalid API key") -> None:
    await refused(exchange, 401, "invalid_api_key", message)


async def voice_not_found(exchange: Exchange, voice_id: str = "nobody") -> None:
    await refused(exchange, 404, "voice_not_found", f"A voice with voice_id {voice_id} was not found.")


async def _quota(exchange: Exchange) -> None:
    await refused(exchange, 401, "quota_exceeded", "This request exceeds your quota of 10000.")


async def _limited(exchange: Exchange, **headers: str) -> None:
    await refused(exchange, 429, "too_many_concurrent_requests", "Too many concurrent requests.", **headers)


async def _unprocessable(exchange: Exchange) -> None:
    loc = ["body", "voice_settings", "speed"]
    await exchange.json(422, {"detail": [{"loc": loc, "msg": "ensure this is at most 1.2", "type": "value_error"}]})


async def _status(exchange: Exchange, status: int = 500, **headers: str) -> None:
    await refused(exchange, status, "internal_error", "Something broke.", **headers)


async def _other_page(exchange: Exchange) -> None:
    await exchange.json(200, {"voices": [5, {"name": "nobody"}, None], "has_more": True})


async def _slow_first_byte(exchange: Exchange) -> None:
    await exchange.begin_stream("audio/pcm")
    await exchange.never()


async def _cut_before_audio(exchange: Exchange) -> None:
    await exchange.begin_stream("audio/pcm")
    exchange.keep_alive = False


async def _half(exchange: Exchange) -> None:
    await exchange.begin_stream("audio/pcm")
    await _sound(exchange, hummed("Half of it.")[:PIECE_BYTES])
    await asyncio.sleep(0.05)  # let it arrive: a reset takes back what lies unread


async def _cut(exchange: Exchange) -> None:
    await _half(exchange)
    exchange.keep_alive = False


async def _cut_by_reset(exchange: Exchange) -> None:
    await _half(exchange)
    exchange.abort()


async def _stalled(exchange: Exchange) -> None:
    await _half(exchange)
    await exchange.never()


async def _endless(exchange: Exchange) -> None:
    await exchange.begin_stream("audio/pcm")
    while True:
        await _sound(exchange, b"\x00\x01" * 64)  # small: what is too large is another matter
        await asyncio.sleep(0)  # the others have their turn


async def _gigantic(exchange: Exchange) -> None:
    await exchange.begin_stream("audio/pcm")
    while True:
        await _sound(exchange, b"\x00\x01" * 2**20)


async def _dripping(exchange: Exchange) -> None:
    await exchange.begin_stream("audio/pcm")
    while True:
        await _sound(exchange, b"\x00\x01" * 512)
        await asyncio.sleep(0.02)


async def _no_audio(exchange: Exchange) -> None:
    await exchange.begin_stream("audio/pcm")
    await exchange.end()


async def _bad_base64(exchange: Exchange) -> None:
    await exchange.begin_stream("text/event-stream")
    await exchange.part(b'{"audio_base64": "no base64!", "alignment": null}\n')
    await exchange.end()


async def _odd_lines(exchange: Exchange) -> None:
    await exchange.begin_stream("text/event-stream")
    for line in (b"{", b"5", b"null", b"[]", b'{"alignment": 7}', b'{"audio_base64": null}', b'{"audio_base64": 7}'):
        await exchange.part(line + b"\n")
    await exchange.end()


async def _mp3(exchange: Exchange) -> None:
    await exchange.whole(200, b"ID3" + b"\x00" * 2000, "audio/mpeg")


async def _plain_error(exchange: Exchange) -> None:
    await exchange.whole(500, b"upstream fell over", "text/plain")


ElevenLabsServer.wrongs = {
    "unauthorized": unauthorized,
    "voice_not_found": voice_not_found,
    "quota": _quota,
    "rate_limited": _limited,
    "unprocessable": _unprocessable,
    "status": _status,
    "other_page": _other_page,
    "slow_first_byte": _slow_first_byte,
    "cut_before_audio": _cut_before_audio,
    "cut": _cut,
    "cut_by_reset": _cut_by_reset,
    "stalled": _stalled,
    "endless": _endless,
    "gigantic": _gigantic,
    "dripping": _dripping,
    "no_audio": _no_audio,
    "bad_base64": _bad_base64,
    "odd_lines": _odd_lines,
    "mp3": _mp3,
    "plain_error": _plain_error,
}
