"""Voices of ElevenLabs: text to PCM16 as it is made, and the list of voices of the key's account."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from backend.errors import UnknownVoice
from backend.gateways.aligned_words import AlignedWords
from backend.gateways.answer import BadAnswer, is_list, is_object
from backend.gateways.provider_words import LONGEST_MESSAGE, presentable
from backend.gateways.speech_client import LazySdk, LoadedSdk, Transport, checked_address, checked_key
from backend.gateways.speech_fault import FOREIGN, SpeechFault, SpeechFaults, twice
from backend.gateways.text_cleaner import clean
from backend.models.voice import VoiceSettings
from backend.ports import Clock, Voice
from backend.ports.speech import OnSaid

if TYPE_CHECKING:
    from elevenlabs.text_to_speech.client import AsyncTextToSpeechClient
    from elevenlabs.types.voice import Voice as TheirVoice
    from elevenlabs.voices.client import AsyncVoicesClient

PROVIDER, NAME = "elevenlabs", "ElevenLabs"
OFFICIAL_URL = "https://api.elevenlabs.io"
MODEL, OUTPUT_FORMAT = "eleven_flash_v2_5", "pcm_16000"
AS_IT_COMES: dict[str, Any] = {"chunk_size": None}
"""The SDK would collect pieces of a fixed size: later first audio, and four times the work for long texts."""
LONGEST_CONTEXT = 1000
"""Characters of what was said before, and of what will be: the melody needs no more."""
VOICES_PER_PAGE, MOST_PAGES = 25, 40
"""Small pages: the SDK takes a quarter of a second to build a hundred voices, and nothing else runs meanwhile."""
LIST_HINT = "GET /api/v1/voices lists the voices there are"
UNKNOWN_VOICE = {"voice_not_found": LIST_HINT, "invalid_uid": LIST_HINT}
OTHER_CODES = {"nb": "no", "nn": "no", "cmn": "zh"}
"""Languages that the provider knows by another code than their tag's."""
NO_AUDIO = (
    "text/html",
    "text/plain",
    "text/xml",
    "application/json",
    "application/xml",
    "audio/mpeg",
    "application/problem+json",
)
NO_LINES = ("text/html", "text/xml", "application/xml", "audio/mpeg")

_VOICE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class _Api:
    speech: AsyncTextToSpeechClient
    voices: AsyncVoicesClient


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked for, once or twice; `words` are told of one answer, where somebody wants to know them."""

    voice_id: str
    request: dict[str, Any]
    words: Callable[[], AlignedWords] | None


@dataclass(frozen=True, slots=True)
class _Speaking:
    """An answer that has begun: its first audio is here."""

    first: bytes
    rest: AsyncGenerator[bytes]
    held: AsyncExitStack
    spent: float
    """Seconds that were waited for the provider so far."""

    async def aclose(self) -> None:
        await self.held.aclose()


class ElevenLabsVoice:
    """`TextToSpeech` over one base URL and key.

    Seconds: `connect_seconds` for a connection, `first_byte_seconds` until audio comes, with the second attempt if
    there is one, `total_seconds` for all the waiting for one text, or for the list of voices; the time that the
    listener takes does not count. Errors: as the port says; constructing raises `Misconfigured` for an unusable URL
    or key. Without a key it can be made, and everything it is asked for is `SpeechUnavailable`.
    """

    def __init__(
        self,
        *,
        api_key: str,
        clock: Clock,
        base_url: str = OFFICIAL_URL,
        model: str = MODEL,
        connect_seconds: float = 5.0,
        first_byte_seconds: float = 10.0,
        total_seconds: float = 60.0,
        key_setting: str = "ELEVENLABS_API_KEY",
    ) -> None:
        self._key = checked_key(api_key, key_setting)
        self._base_url = checked_address(base_url, NAME)
        self._model = model
        self._first_byte_seconds = first_byte_seconds
        self._total_seconds = total_seconds
        self._sdk = LazySdk(self._load, connect_seconds)
        self._faults = SpeechFaults(
            PROVIDER,
            NAME,
            key_setting=key_setting,
            secret=self._key,
            connect_seconds=connect_seconds,
            clock=clock,
            unknown_voice=UNKNOWN_VOICE,
        )

    async def speak(
        self,
        text: str,
        voice: VoiceSettings,
        *,
        before: str = "",
        after: str = "",
        on_said: OnSaid | None = None,
    ) -> AsyncGenerator[bytes]:
        """PCM16 as it comes; nothing for a text without a word. Errors: as the port says.

        With `on_said` audio comes as JSON, which takes a third more bytes, and at most three minutes of it.
        """
        if not text.strip():
            return
        words = partial(AlignedWords, text, on_said) if on_said else None
        asked = _Asked(voice.voice_id, _request(self._model, text, voice, before, after), words)
        try:
            speaking = await self._begun(asked)
            async with aclosing(speaking), aclosing(self._pieces(speaking)) as pieces:
                async for piece in pieces:
                    yield piece
        except SpeechFault as fault:
            # The foreign exception is left behind: it holds the request, and the request the key.
            raise fault.error from None

    async def prepare(self) -> None:
        """Import the SDK."""
        if self._key:
            await self._sdk.get()

    async def voices(self) -> Sequence[Voice]:
        """The account's voices, at most a thousand. Errors: as the port says."""
        until = asyncio.get_running_loop().time() + self._total_seconds
        try:
            sdk = await self._ready()
            try:
                async with asyncio.timeout_at(until):
                    return await self._all_pages(sdk, until)
            except TimeoutError:
                raise self._faults.too_slow("total", self._total_seconds) from None
        except SpeechFault as fault:
            raise fault.error from None

    async def close(self) -> None:
        """Give back connections."""
        await self._sdk.close()

    def _load(self, transport: Transport) -> LoadedSdk[_Api]:
        # Heavy, and it reads the environment while it is imported: hence the key is always passed.
        from elevenlabs.client import AsyncElevenLabs  # noqa: PLC0415
        from elevenlabs.core.api_error import ApiError  # noqa: PLC0415

        client = AsyncElevenLabs(api_key=self._key, base_url=self._base_url, timeout=None, httpx_client=transport)
        return LoadedSdk(_Api(client.text_to_speech, client.voices), ApiError)

    async def _ready(self) -> LoadedSdk[_Api]:
        if not self._key:
            raise self._faults.keyless()
        return await self._sdk.get()

    async def _begun(self, asked: _Asked) -> _Speaking:
        """An answer with its first audio. Errors: `SpeechFault`."""
        if not _VOICE_ID.fullmatch(asked.voice_id):  # it becomes a part of the address, and nobody escapes it
            detail = (
                f"{presentable(asked.voice_id, self._key)!r} is no voice of {NAME}: 1 to 64 letters, digits, - or _"
            )
            raise SpeechFault(UnknownVoice(f"{detail}; {LIST_HINT}", provider=PROVIDER))
        sdk = await self._ready()
        seconds = min(self._first_byte_seconds, self._total_seconds)
        until = asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(until):
                return await twice(until, partial(self._first, sdk, asked))
        except TimeoutError:
            raise self._faults.too_slow("first_byte", seconds) from None

    async def _first(self, sdk: LoadedSdk[_Api], asked: _Asked) -> _Speaking:
        begun_at = asyncio.get_running_loop().time()
        try:
            async with AsyncExitStack() as stack:
                rest = await (_timed(sdk, asked, asked.words(), stack) if asked.words else _bare(sdk, asked, stack))
                await stack.enter_async_context(aclosing(rest))
                first = await anext(rest, b"")
                if not first:
                    raise BadAnswer("it holds no audio")
                return _Speaking(first, rest, stack.pop_all(), asyncio.get_running_loop().time() - begun_at)
        except (sdk.refusal, *FOREIGN) as exc:
            fault = self._faults.fault(exc)
        raise fault

    async def _pieces(self, speaking: _Speaking) -> AsyncGenerator[bytes]:
        """The audio in whole samples. Errors: `SpeechFault`."""
        left = self._total_seconds - speaking.spent
        piece, half = speaking.first, b""
        while piece:
            data = half + piece
            whole = len(data) - len(data) % 2
            half = data[whole:]
            if whole:
                yield data[:whole]
            asked_at = asyncio.get_running_loop().time()
            piece = await self._next(speaking, left)
            left -= asyncio.get_running_loop().time() - asked_at
        # Half a sample that stays over is no sound.

    async def _next(self, speaking: _Speaking, left: float) -> bytes:
        try:
            async with asyncio.timeout(left):
                return await self._translated_next(speaking)
        except TimeoutError:
            raise self._faults.too_slow("total", self._total_seconds) from None

    async def _translated_next(self, speaking: _Speaking) -> bytes:
        try:
            return await anext(speaking.rest, b"")
        except FOREIGN as exc:
            fault = self._faults.fault(exc, begun=True)
        raise fault

    async def _all_pages(self, sdk: LoadedSdk[_Api], until: float) -> Sequence[Voice]:
        found: dict[str, Voice] = {}
        token: str | None = None
        for _ in range(MOST_PAGES):
            voices, following = await twice(until, partial(self._page, sdk, token))
            found.update({voice.voice_id: voice for voice in voices})
            if not following or following == token:
                break
            token = following
        return tuple(found.values())

    async def _page(self, sdk: LoadedSdk[_Api], token: str | None) -> tuple[list[Voice], str | None]:
        try:
            answer = await sdk.api.voices.search(
                next_page_token=token,
                page_size=VOICES_PER_PAGE,
                include_total_count=False,
                request_options={"max_retries": 0},
            )
            # Nothing of this was checked by the SDK: every field may hold anything.
            rows: object = answer.voices
            if not is_list(rows):
                raise BadAnswer("it holds no list of voices")
            voices = [voice for row in answer.voices if (voice := _voice(row)) is not None]
            following = answer.next_page_token if answer.has_more is True else None
            return voices, _words(following) or None
        except (sdk.refusal, *FOREIGN) as exc:
            fault = self._faults.fault(exc)
        raise fault


async def _bare(sdk: LoadedSdk[_Api], asked: _Asked, held: AsyncExitStack) -> AsyncGenerator[bytes]:
    """The audio of an answer that is nothing else."""
    stream = sdk.api.speech.with_raw_response.stream
    answer = await held.enter_async_context(stream(asked.voice_id, output_format=OUTPUT_FORMAT, **asked.request))
    _check_kind(answer.headers, NO_AUDIO, "PCM audio")
    # It is typed as an iterator and is a generator, which wants to be closed.
    return cast("AsyncGenerator[bytes]", answer.data)


async def _timed(
    sdk: LoadedSdk[_Api], asked: _Asked, words: AlignedWords, held: AsyncExitStack
) -> AsyncGenerator[bytes]:
    """The audio of an answer that also says when each character is spoken."""
    stream = sdk.api.speech.with_raw_response.stream_with_timestamps
    answer = await held.enter_async_context(stream(asked.voice_id, output_format=OUTPUT_FORMAT, **asked.request))
    _check_kind(answer.headers, NO_LINES, "JSON")
    chunks = cast("AsyncGenerator[object]", answer.data)
    await held.enter_async_context(aclosing(chunks))
    return _told(chunks, words)


async def _told(chunks: AsyncGenerator[object], words: AlignedWords) -> AsyncGenerator[bytes]:
    """The audio of these chunks; before each the ends of words are told that came until then."""
    async for chunk in chunks:
        words.take(getattr(chunk, "alignment", None))
        audio = _decoded(getattr(chunk, "audio_base_64", None))
        if audio:
            words.tell()
            yield audio
    words.tell()


def _decoded(audio: object) -> bytes:
    """Errors: `BadAnswer`."""
    if audio is None:
        return b""
    try:
        return base64.b64decode(cast("str", audio), validate=True)
    except (TypeError, ValueError):
        raise BadAnswer("its audio is no base64") from None


def _request(model: str, text: str, voice: VoiceSettings, before: str, after: str) -> dict[str, Any]:
    language = voice.language.split("-")[0].lower()
    request: dict[str, Any] = {
        "text": clean(text),
        "model_id": model,
        "language_code": OTHER_CODES.get(language, language),
        "voice_settings": {
            "stability": voice.stability,
            "similarity_boost": voice.similarity_boost,
            "speed": voice.speed,
        },
        "request_options": AS_IT_COMES,
    }
    if before.strip():
        request["previous_text"] = clean(before)[-LONGEST_CONTEXT:]
    if after.strip():
        request["next_text"] = clean(after)[:LONGEST_CONTEXT]
    return request


def _check_kind(headers: Mapping[str, str], wrong: Collection[str], due: str) -> None:
    """Errors: `BadAnswer` where what comes would be noise."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in wrong or kind.endswith("+json"):
        raise BadAnswer(f"it is {kind} where {due} is due")


def _voice(row: TheirVoice) -> Voice | None:
    voice_id = _words(row.voice_id)
    if not _VOICE_ID.fullmatch(voice_id):
        return None
    labels: object = row.labels
    told = {key: _words(value) for key, value in labels.items()} if is_object(labels) else {}
    language = told.pop("language", "")
    spoken: object = row.verified_languages
    if not language and is_list(spoken):
        language = next((code for one in spoken if (code := _words(getattr(one, "language", "")))), "")
    preview = _words(row.preview_url)
    return Voice(
        provider=PROVIDER,
        voice_id=voice_id,
        name=_words(row.name) or voice_id,
        language=language,
        description=_words(row.description) or ", ".join(value for value in told.values() if value),
        preview_url=preview if preview.startswith(("https://", "http://")) else "",
    )


def _words(value: object) -> str:
    return clean(value.strip())[: LONGEST_MESSAGE * 4] if isinstance(value, str) else ""
