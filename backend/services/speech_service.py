"""SpeechService: texts become speech in an agent's voice, and recordings become texts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from uuid import UUID

from backend.errors import AgentArchived, AgentInactive, AgentNotFound, Invalid, SpeechError, SpeechFailed
from backend.models.agent import AgentContract
from backend.models.speech import Heard, PreviewRequest, VoiceList
from backend.models.tenant import Caller
from backend.models.voice import VoiceSettings
from backend.models.voice_providers import SPEECH_PROVIDERS
from backend.ports import SpeechToText
from backend.ports.speech import SAMPLE_BYTES, SAMPLE_RATE, OnSaid
from backend.services.flowing_audio import FlowingAudio
from backend.services.speakers import ChosenVoice, Speakers
from backend.services.speech_places import TOO_MANY_RECORDINGS, SpeechPlaces
from backend.services.spoken_segments import Silence, Utterance, utterances
from backend.stores.database import Database, inside_transaction
from backend.telemetry import Metrics

_LONGEST_LETTER_SECONDS = 3.0
"""At the usual speed; a sign of a script that the voice does not know is read out by its name."""
_LEEWAY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Spoken:
    """PCM16 on its way, who speaks, and why it is somebody else than asked for (empty: it is not). Close `audio`."""

    audio: FlowingAudio
    provider: str
    note: str


class SpeechService:
    """Of a provider that is asked nothing is kept; what fails is told, and never spoken by another."""

    def __init__(
        self,
        database: Database,
        speakers: Speakers,
        metrics: Metrics,
        places: SpeechPlaces | None = None,
        transcribing: SpeechPlaces | None = None,
    ) -> None:
        self._database = database
        self._speakers = speakers
        self._metrics = metrics
        self._places = places or SpeechPlaces()
        self._transcribing = transcribing or SpeechPlaces(refusal=TOO_MANY_RECORDINGS)

    async def say(self, caller: Caller, agent_id: UUID, text: str) -> Spoken:
        """The text in the agent's voice; its first piece is there already.

        Errors: those of `voice` and of `Speakers.choose`; `SpeechError`s. Later ones come out of `audio`.
        """
        return await self._begin(caller, self._speakers.choose(await self.voice(caller, agent_id)), text)

    async def preview(self, caller: Caller, wanted: PreviewRequest) -> Spoken:
        """A sentence in any voice, as `say`. Errors: `Invalid`, those of `Speakers.choose`, `SpeechError`s."""
        if wanted.provider not in SPEECH_PROVIDERS:
            known = ", ".join(SPEECH_PROVIDERS)
            raise Invalid(f"There is no voice provider {wanted.provider}; known are {known}.")
        voice = VoiceSettings(provider=wanted.provider, voice_id=wanted.voice_id)
        return await self._begin(caller, self._speakers.choose(voice), wanted.text)

    async def voices(self) -> VoiceList:
        """What there is to choose from."""
        return await self._speakers.offered()

    async def voice(self, caller: Caller, agent_id: UUID) -> VoiceSettings:
        """How the agent speaks and listens.

        Errors: `AgentNotFound`, `AgentArchived`, `AgentInactive`; `Invalid` for an agent without a voice, or with
        `voice_enabled` off.
        """
        return voice_of(await self.contract(caller, agent_id))

    async def hear(self, caller: Caller, voice: VoiceSettings, audio: bytes, media_type: str) -> Heard:
        """What was said in a recording, in the language and by the model of these settings.

        Errors: `SpeechUnavailable` naming the key that is missing, and other `SpeechError`s.
        """
        ears = self._speakers.ears(voice)
        _outside_of_transactions()
        async with self._transcribing.one(caller.tenant_id):  # nobody who is spoken to waits for a long recording
            try:
                heard = await ears.transcribe(audio, media_type, voice)
            except SpeechError as error:
                self._count(voice.stt_provider, error.code)
                raise
        self._count(voice.stt_provider, "ok")
        return Heard(text=heard.text, confidence=heard.confidence, seconds=heard.seconds, provider=voice.stt_provider)

    def ears(self, voice: VoiceSettings) -> SpeechToText:
        """Who listens for these settings. Errors: `SpeechUnavailable` naming the key that is missing."""
        return self._speakers.ears(voice)

    def chosen(self, voice: VoiceSettings) -> ChosenVoice:
        """Who speaks for these settings. Errors: those of `Speakers.choose`."""
        return self._speakers.choose(voice)

    async def speak(
        self, tenant_id: UUID, voice: ChosenVoice, said: Utterance, *, on_said: OnSaid | None = None
    ) -> AsyncGenerator[bytes]:
        """PCM16 of one piece of text; close it when you stop early. Errors: `SpeechError`s.

        `on_said` is told where the words end, if the provider knows.
        """
        _outside_of_transactions()
        async with self._places.one(tenant_id):
            source = voice.speaker.speak(
                said.text, voice.settings, before=said.before, after=said.after, on_said=on_said
            )
            seconds = _LONGEST_LETTER_SECONDS * len(said.text) / voice.settings.speed + _LEEWAY_SECONDS
            room = round(seconds * SAMPLE_RATE) * SAMPLE_BYTES
            try:
                async with aclosing(source):
                    async for piece in source:
                        room -= len(piece)
                        if room < 0:
                            raise SpeechFailed(
                                f"{voice.provider} does not come to an end with a text of {len(said.text)} characters."
                            )
                        yield piece
            except SpeechError as error:
                self._count(voice.provider, error.code)
                raise
        self._count(voice.provider, "ok")

    async def close(self) -> None:
        """Give back what the providers hold."""
        await self._speakers.close()

    async def _begin(self, caller: Caller, voice: ChosenVoice, text: str) -> Spoken:
        source = self._all(caller.tenant_id, voice, utterances(text))
        return Spoken(await FlowingAudio.begun(source), voice.provider, voice.note)

    async def _all(
        self, tenant_id: UUID, voice: ChosenVoice, said: Sequence[Utterance | Silence]
    ) -> AsyncGenerator[bytes]:
        for one in said:
            if isinstance(one, Utterance):
                async with aclosing(self.speak(tenant_id, voice, one)) as pieces:
                    async for piece in pieces:
                        yield piece

    async def contract(self, caller: Caller, agent_id: UUID) -> AgentContract:
        """The contract of an agent that can be talked to. Errors: `AgentNotFound`, `AgentArchived`, `AgentInactive`."""
        record = await self._database.statements(caller.tenant_id).agents.get(agent_id)
        if record is None:
            raise AgentNotFound("There is no agent with this id.")
        contract = record.contract()
        if contract.metadata.status == "archived":
            raise AgentArchived("The agent is archived: it can be read, but no longer talked to.")
        if contract.metadata.status == "inactive":
            raise AgentInactive("The agent is switched off; set its status to active to talk to it.")
        return contract

    def _count(self, provider: str, outcome: str) -> None:
        self._metrics.speech_calls_total.labels(provider, outcome).inc()


def voice_of(contract: AgentContract) -> VoiceSettings:
    """The voice that a contract has. Errors: `Invalid` when it has none, or has it switched off."""
    if contract.voice is None:
        raise Invalid(f"The contract of {contract.name} has no `voice`: give it one, or ask another agent.")
    if contract.type != "voice" and not contract.configuration.voice_enabled:
        raise Invalid(
            f"{contract.name} is switched to text: set `configuration.voice_enabled` of its contract to true, or make "
            "it an agent of type `voice`."
        )
    return contract.voice


def _outside_of_transactions() -> None:
    if inside_transaction():
        raise RuntimeError("a voice must never be waited for inside a transaction")
