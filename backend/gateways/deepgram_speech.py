"""Ears of Deepgram, for whole recordings and for conversations."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from backend.gateways.answer import LARGEST_TEXT, BadAnswer, is_list
from backend.gateways.deepgram_live import DeepgramLive, LivePatience, opened
from backend.gateways.speech_client import LazySdk, LoadedSdk, Transport, checked_address, checked_key
from backend.gateways.speech_fault import FOREIGN, SpeechFault, SpeechFaults, twice
from backend.gateways.text_cleaner import clean
from backend.models.voice import VoiceSettings
from backend.ports import Clock, Transcript

if TYPE_CHECKING:
    from deepgram.listen.v1.client import AsyncV1Client

PROVIDER, NAME = "deepgram", "Deepgram"
OFFICIAL_URL = "https://api.deepgram.com"
LARGEST_NUMBER = 1e9
ANY_AUDIO = "application/octet-stream"

_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]{1,60}")


class DeepgramSpeech:
    """`SpeechToText` over one base URL and key.

    Seconds: `connect_seconds` for a connection, `total_seconds` for one recording, each with the second attempt if
    there is one; `live` are those of a conversation. Errors: as the port says; constructing raises `Misconfigured` for
    an unusable URL or key. Without a key it can be made, and everything it is asked for is `SpeechUnavailable`.
    """

    def __init__(
        self,
        *,
        api_key: str,
        clock: Clock,
        base_url: str = OFFICIAL_URL,
        connect_seconds: float = 5.0,
        total_seconds: float = 60.0,
        live: LivePatience | None = None,
        key_setting: str = "DEEPGRAM_API_KEY",
    ) -> None:
        self._key = checked_key(api_key, key_setting)
        self._base_url = checked_address(base_url, NAME)
        self._connect_seconds = connect_seconds
        self._total_seconds = total_seconds
        self._live = live or LivePatience()
        self._sdk = LazySdk(self._load, connect_seconds)
        self._faults = SpeechFaults(
            PROVIDER,
            NAME,
            key_setting=key_setting,
            secret=self._key,
            connect_seconds=connect_seconds,
            clock=clock,
        )

    @asynccontextmanager
    async def listen(self, voice: VoiceSettings) -> AsyncGenerator[DeepgramLive]:
        """Ears for one conversation; when the block is left, its socket is closed. Errors: as the port says."""
        try:
            if not self._key:
                raise self._faults.keyless()
            sdk = await self._sdk.get()
            until = asyncio.get_running_loop().time() + self._connect_seconds
            try:
                async with asyncio.timeout_at(until):
                    socket, closing = await twice(until, partial(opened, sdk.api, voice, self._faults))
            except TimeoutError:
                raise self._faults.too_slow("connect", self._connect_seconds) from None
        except SpeechFault as fault:
            raise fault.error from None
        async with closing, DeepgramLive(socket, self._faults, self._live).running() as ears:
            yield ears

    async def transcribe(self, audio: bytes, media_type: str, voice: VoiceSettings) -> Transcript:
        """What was said, with punctuation; empty where nobody spoke. Errors: as the port says."""
        try:
            if not self._key:
                raise self._faults.keyless()
            sdk = await self._sdk.get()
            until = asyncio.get_running_loop().time() + self._total_seconds
            try:
                async with asyncio.timeout_at(until):
                    return await twice(until, partial(self._heard, sdk, audio, media_type, voice))
            except TimeoutError:
                raise self._faults.too_slow("total", self._total_seconds) from None
        except SpeechFault as fault:
            # The foreign exception is left behind: it holds the request, and the request the key.
            raise fault.error from None

    async def close(self) -> None:
        """Give back connections."""
        await self._sdk.close()

    def _load(self, transport: Transport) -> LoadedSdk[AsyncV1Client]:
        # Heavy, and it reads the environment while it is imported: hence the key is always passed.
        from deepgram import AsyncDeepgramClient  # noqa: PLC0415
        from deepgram.core.api_error import ApiError  # noqa: PLC0415
        from deepgram.environment import DeepgramClientEnvironment  # noqa: PLC0415

        from backend.gateways.speech_socket import SpeechSocket  # noqa: PLC0415 — it imports what the SDK does

        base, socket = self._base_url, f"ws{self._base_url.removeprefix('http')}"
        addresses = DeepgramClientEnvironment(base=base, production=socket, agent=socket, agent_rest=base)
        client = AsyncDeepgramClient(
            api_key=self._key,
            environment=addresses,
            max_retries=0,
            httpx_client=transport,
            transport_factory=SpeechSocket,  # of the whole process, so always the same
            headers={},
        )
        return LoadedSdk(client.listen.v1, ApiError)

    async def _heard(
        self, sdk: LoadedSdk[AsyncV1Client], audio: bytes, media_type: str, voice: VoiceSettings
    ) -> Transcript:
        try:
            answer = await sdk.api.media.transcribe_file(
                request=audio,
                model=voice.stt_model,
                language=voice.stt_language,
                smart_format=True,
                request_options={"max_retries": 0, "additional_headers": {"content-type": _plain(media_type)}},
            )
            return _transcript(answer)
        except (sdk.refusal, *FOREIGN) as exc:
            fault = self._faults.fault(exc)
        raise fault


def _plain(media_type: str) -> str:
    """The media type without its parameters; the provider looks into the audio where it is not known."""
    kind = media_type.partition(";")[0].strip().lower()
    return kind if _MEDIA_TYPE.fullmatch(kind) else ANY_AUDIO


def _transcript(answer: Any) -> Transcript:
    """The best guess for the first channel. Nothing was checked by the SDK. Errors: `BadAnswer`."""
    channels: object = getattr(getattr(answer, "results", None), "channels", None)
    first: Any = channels[0] if is_list(channels) and channels else None
    alternatives: object = getattr(first, "alternatives", None)
    best: Any = alternatives[0] if is_list(alternatives) and alternatives else None
    text: object = getattr(best, "transcript", None)
    if not isinstance(text, str):
        raise BadAnswer("it holds no transcript")
    if len(text) > LARGEST_TEXT:
        raise BadAnswer(f"the transcript is longer than {LARGEST_TEXT} characters")
    seconds = _number(getattr(getattr(answer, "metadata", None), "duration", None))
    return Transcript(clean(text), min(1.0, _number(getattr(best, "confidence", None))), seconds)


def _number(value: object) -> float:
    """A number from zero on; zero for anything else."""
    return float(value) if isinstance(value, int | float) and 0 <= value < LARGEST_NUMBER else 0.0
