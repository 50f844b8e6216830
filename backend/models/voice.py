"""How the agent speaks and listens."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import StrictBool, model_validator

from backend.models.base import FrozenModel, Problem, example, refusal
from backend.models.fields import Between, LanguageTag, Matching, Share, Slug, Text, shown
from backend.models.voice_providers import SPEECH_PROVIDERS, TRANSCRIPTION_PROVIDERS

VoiceId = Annotated[str, Matching(r"[A-Za-z0-9_-]{1,64}", "1 to 64 letters, digits, - or _")]


class VoiceSettings(FrozenModel):
    """Voice (`provider`, `voice_id` or one of the deployment's aliases) and ears (`stt_*`).

    A value which the provider cannot honour is refused with the provider's range.
    """

    model_config = example(
        provider="elevenlabs",
        voice_id="calm-female",
        language="en-US",
        speed=1.0,
        pitch=1.0,
        stability=0.75,
        similarity_boost=0.75,
        stt_provider="deepgram",
        stt_model="nova-2",
        stt_language="en",
        vad_enabled=True,
    )

    provider: Slug = "elevenlabs"
    voice_id: VoiceId
    language: LanguageTag = "en-US"
    speed: Annotated[float, Between(0.5, 2.0)] = 1.0
    pitch: Annotated[float, Between(0.5, 2.0)] = 1.0
    stability: Share = 0.75
    similarity_boost: Share = 0.75
    stt_provider: Slug = "deepgram"
    stt_model: Annotated[str, Text(100, visible=True, line=True)] = "nova-2"
    stt_language: LanguageTag = "en"
    vad_enabled: StrictBool = True

    @model_validator(mode="after")
    def _honoured_by_the_provider(self) -> Self:
        problems = check_voice(self)
        if problems:
            raise refusal(type(self), problems)
        return self


def check_voice(voice: VoiceSettings) -> list[Problem]:
    """What the chosen providers cannot do of what `voice` asks; empty when all of it can be honoured."""
    problems: list[Problem] = []
    if voice.provider not in SPEECH_PROVIDERS:
        known = ", ".join(SPEECH_PROVIDERS)
        problems.append((("provider",), f"unknown voice provider {shown(voice.provider)}; known are {known}"))
    if voice.stt_provider not in TRANSCRIPTION_PROVIDERS:
        known = ", ".join(TRANSCRIPTION_PROVIDERS)
        problems.append(
            (("stt_provider",), f"unknown speech-to-text provider {shown(voice.stt_provider)}; known: {known}")
        )
    for control, allowed in SPEECH_PROVIDERS.get(voice.provider, {}).items():
        value: float = getattr(voice, control)
        if allowed.low <= value <= allowed.high:
            continue
        reason = (
            f"{voice.provider} has no {control}, so it stays at {allowed.low:g}; {value:g} cannot be honoured"
            if allowed.fixed
            else f"{voice.provider} takes a {control} from {allowed.low:g} to {allowed.high:g}, not {value:g}"
        )
        problems.append(((control,), reason))
    return problems
