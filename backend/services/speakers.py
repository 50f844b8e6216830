"""Speakers: which provider speaks for a contract, and with which of its voices."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.errors import FieldError, Invalid, SpeechError, SpeechUnavailable
from backend.models.speech import AbsentProvider, OfferedVoice, VoiceList
from backend.models.voice import VoiceSettings
from backend.models.voice_providers import SPEECH_PROVIDERS
from backend.ports import Clock, SpeechToText, TextToSpeech, Voice

LOCAL = "local"
ELEVENLABS = "elevenlabs"
KEYS: Mapping[str, str] = {ELEVENLABS: "ELEVENLABS_API_KEY", "deepgram": "DEEPGRAM_API_KEY"}
"""The variable that each provider's key is set by."""
_ELEVENLABS_VOICE = re.compile(r"[A-Za-z0-9]{20}")
_KEPT = timedelta(minutes=10)
_FAILURE_KEPT = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class ChosenVoice:
    """Who speaks, and how; `note` says why it is not who was asked for.

    `settings.voice_id` is the provider's own, but for the voice of this machine where it speaks for another.
    """

    provider: str
    speaker: TextToSpeech
    settings: VoiceSettings
    note: str = ""


class _Asked:
    """A provider's list of voices, for which it is asked once by all who want it meanwhile, whoever of them leaves."""

    def __init__(self, speaker: TextToSpeech, clock: Clock) -> None:
        self._speaker = speaker
        self._clock = clock
        self._until: datetime | None = None
        self._answer = asyncio.create_task(self._ask())

    @property
    def outdated(self) -> bool:
        """Whether there is an answer that is not to be believed any more."""
        return self._answer.done() and (self._until is None or self._clock.now() > self._until)

    async def answer(self) -> Sequence[Voice] | SpeechError:
        """What the provider says, or why it does not."""
        return await asyncio.shield(self._answer)

    async def close(self) -> None:
        """Wait no longer."""
        self._answer.cancel()
        await asyncio.wait([self._answer])

    async def _ask(self) -> Sequence[Voice] | SpeechError:
        try:
            found: Sequence[Voice] | SpeechError = await self._speaker.voices()
        except SpeechError as error:
            found = error
        self._until = self._clock.now() + (_FAILURE_KEPT if isinstance(found, SpeechError) else _KEPT)
        return found


class Speakers:
    """The voices and ears that this deployment has.

    `aliases` are friendly names of ElevenLabs' voices. With `stands_in` the voice of this machine speaks for a provider
    that has no key, and says so; one that has a key and fails is never replaced.
    """

    def __init__(
        self,
        voices: Mapping[str, TextToSpeech],
        ears: Mapping[str, SpeechToText],
        aliases: Mapping[str, str],
        clock: Clock,
        *,
        stands_in: bool,
    ) -> None:
        self._voices = voices
        self._ears = ears
        self._aliases = aliases
        self._clock = clock
        self._stands_in = stands_in
        self._asked: dict[str, _Asked] = {}

    def choose(self, voice: VoiceSettings) -> ChosenVoice:
        """Who speaks for a contract that says this.

        Errors: `SpeechUnavailable` naming the key that is missing; `Invalid` for a voice that nobody knows.
        """
        speaker = self._voices.get(voice.provider)
        if speaker is None and not self._stands_in:
            raise _no_key(voice.provider)
        if speaker is None:
            self._resolved(voice)  # a name that is wrong is wrong today, and not on the day that a key is set
            note = f"{KEYS[voice.provider]} is not set: this is the voice of this machine, not of {voice.provider}."
            return ChosenVoice(LOCAL, self._voices[LOCAL], voice, note)
        return ChosenVoice(voice.provider, speaker, self._resolved(voice))

    def ears(self, voice: VoiceSettings) -> SpeechToText:
        """Who listens for a contract that says this. Errors: `SpeechUnavailable` naming the key that is missing."""
        ears = self._ears.get(voice.stt_provider)
        if ears is None:
            raise _no_key(voice.stt_provider)
        return ears

    async def offered(self) -> VoiceList:
        """Every voice that contracts may name; what a provider said is believed for ten minutes, a failure for ten
        seconds."""
        voices: list[OfferedVoice] = []
        absent = [
            AbsentProvider(provider=one, reason=_no_key(one).detail)
            for one in SPEECH_PROVIDERS
            if one not in self._voices
        ]
        for provider in self._voices:
            found = await self._list(provider)
            if isinstance(found, SpeechError):
                absent.append(AbsentProvider(provider=provider, reason=found.detail))
            else:
                voices += [self._offer(one) for one in found]
        return VoiceList(voices=voices, absent=absent)

    async def close(self) -> None:
        """Give back what the providers hold."""
        for one in (*self._asked.values(), *self._voices.values(), *self._ears.values()):
            await one.close()

    def _resolved(self, voice: VoiceSettings) -> VoiceSettings:
        known = self._aliases.get(voice.voice_id)
        if voice.provider != ELEVENLABS:
            # The voice of this machine has none of these names, but knows what to do with those of other providers.
            return voice.model_copy(update={"provider": ELEVENLABS}) if known else voice
        if known is None and not _ELEVENLABS_VOICE.fullmatch(voice.voice_id):
            names = ", ".join(sorted(self._aliases))
            detail = f"is no id of an ElevenLabs voice and no alias; the aliases are {names} (NUMEN_VOICE_ALIASES), "
            detail += "and GET /api/v1/voices lists what there is"
            raise Invalid(f"The voice {voice.voice_id} {detail}.", [FieldError("/voice/voice_id", detail)])
        return voice.model_copy(update={"voice_id": known or voice.voice_id})

    async def _list(self, provider: str) -> Sequence[Voice] | SpeechError:
        asked = self._asked.get(provider)
        if asked is None or asked.outdated:
            asked = self._asked[provider] = _Asked(self._voices[provider], self._clock)
        return await asked.answer()

    def _offer(self, voice: Voice) -> OfferedVoice:
        named = voice.voice_id if voice.provider == ELEVENLABS else None
        return OfferedVoice(
            provider=voice.provider,
            voice_id=voice.voice_id,
            name=voice.name,
            language=voice.language,
            description=voice.description,
            preview_url=voice.preview_url,
            aliases=tuple(sorted(alias for alias, known in self._aliases.items() if known == named)),
        )


def _no_key(provider: str) -> SpeechUnavailable:
    key = KEYS.get(provider)
    detail = f"{provider} is not set up here: set {key}." if key else f"{provider} is not set up here."
    return SpeechUnavailable(detail, provider=provider)
