"""The composition of voices and ears: whoever has a key, the voice of this machine, and the audio that is kept."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.gateways.audio_files import DiskAudioFiles
from backend.services.compressed_audio import CompressedAudio
from backend.services.session_audio import SessionAudio
from backend.services.speakers import Speakers
from backend.services.speech_service import SpeechService
from backend.services.voice.voice_service import VoiceLimits, VoiceService
from backend.services.voice.voice_session import Limits

if TYPE_CHECKING:
    from backend.ports import Clock, SpeechToText, TextToSpeech
    from backend.ports.speech import AudioEncoder
    from backend.services.agent_interaction_service import AgentInteractionService
    from backend.services.janitor import Job
    from backend.services.run_registry import RunRegistry
    from backend.services.session_service import SessionService
    from backend.services.thread_manager import ThreadManager
    from backend.settings import Settings
    from backend.stores.database import Database
    from backend.telemetry import Metrics

_SWEEP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class SpeechParts:
    """Who speaks and listens, and what sessions sound like."""

    speech: SpeechService
    recordings: SessionAudio
    compression: CompressedAudio
    metrics: Metrics

    def jobs(self) -> list[Job]:
        """What is to be done now and then."""
        return [(_SWEEP_SECONDS, self.recordings.sweep)]


def open_speech(
    stack: AsyncExitStack, settings: Settings, database: Database, clock: Clock, metrics: Metrics
) -> SpeechParts:
    """Voices, closed with the stack. Nothing of them is loaded or started before somebody speaks."""
    speakers = Speakers(
        _voices(settings, clock),
        _ears(settings, clock),
        settings.voice_aliases,
        clock,
        stands_in=settings.speaks_locally,
    )
    stack.push_async_callback(speakers.close)
    speech = SpeechService(database, speakers, metrics)
    recordings = SessionAudio(database, speech, DiskAudioFiles(settings.data_dir.resolve() / "audio"))
    stack.push_async_callback(recordings.close)
    return SpeechParts(speech, recordings, CompressedAudio(_mp3), metrics)


def build_voice(
    settings: Settings,
    parts: SpeechParts,
    interactions: AgentInteractionService,
    threads: ThreadManager,
    sessions: SessionService,
    registry: RunRegistry,
) -> VoiceService:
    """Conversations by voice, within the settings' limits."""
    each = Limits(settings.voice_idle_seconds, settings.voice_session_seconds)
    limits = VoiceLimits(each, settings.voice_sessions_per_tenant)
    return VoiceService(interactions, threads, sessions, parts.speech, registry, parts.metrics, limits)


def _mp3() -> AudioEncoder:
    from backend.gateways.mp3_encoder import Mp3Encoder  # noqa: PLC0415

    return Mp3Encoder()


def _voices(settings: Settings, clock: Clock) -> dict[str, TextToSpeech]:
    from backend.gateways.local_voice import LocalVoice  # noqa: PLC0415

    voices: dict[str, TextToSpeech] = {"local": LocalVoice()}
    key = settings.elevenlabs_api_key
    if key is not None:
        from backend.gateways.elevenlabs_voice import ElevenLabsVoice  # noqa: PLC0415

        voices["elevenlabs"] = ElevenLabsVoice(
            base_url=settings.elevenlabs_base_url, api_key=key.get_secret_value(), clock=clock
        )
    return voices


def _ears(settings: Settings, clock: Clock) -> dict[str, SpeechToText]:
    key = settings.deepgram_api_key
    if key is None:
        return {}
    from backend.gateways.deepgram_speech import DeepgramSpeech  # noqa: PLC0415

    return {
        "deepgram": DeepgramSpeech(base_url=settings.deepgram_base_url, api_key=key.get_secret_value(), clock=clock)
    }
