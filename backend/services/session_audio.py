"""SessionAudio: a session's script as one recording, spoken part by part and kept while it is used."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import ParamSpec, TypeVar
from uuid import UUID

import orjson
from pydantic import ValidationError

from backend.errors import AgentNotFound, Invalid, NumenError, SessionNotFound, SessionState, ShuttingDown
from backend.models.fields import shown
from backend.models.session import Session, SpokenPart
from backend.models.tenant import Caller
from backend.models.voice import VoiceSettings
from backend.ports.audio_files import AudioFiles, AudioKey
from backend.ports.speech import SAMPLE_BYTES, SAMPLE_RATE
from backend.services.part_making import PIECE_BYTES, PartMaking, told_by_the_disk
from backend.services.script_writer import recorded_parts
from backend.services.speakers import ChosenVoice
from backend.services.speech_service import SpeechService, voice_of
from backend.services.spoken_segments import Silence, segments
from backend.stores.database import Database
from backend.telemetry import get_logger

UNUSED_SECONDS = 7 * 24 * 3600.0
_FORM = 1
"""To be raised when the same part becomes other audio: what was kept before is not found any more then."""
_log = get_logger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AudioPart:
    """One part of the recording, and by whom it is spoken."""

    key: AudioKey
    part: SpokenPart
    voice: ChosenVoice


@dataclass(frozen=True, slots=True)
class Recording:
    """A session's audio, in parts."""

    parts: Sequence[AudioPart]
    provider: str
    note: str


@dataclass(frozen=True, slots=True)
class KeptRecording:
    """A recording of which every part is kept: how many bytes it has, and a tag that other bytes do not have."""

    length: int
    tag: str


class SessionAudio:
    """Parts are derived from rows: kept as files, made again when they are gone, removed with their session.

    A part that is being spoken is spoken once, however many listen, and to its end, whoever goes away.
    """

    def __init__(self, database: Database, speech: SpeechService, files: AudioFiles) -> None:
        self._database = database
        self._speech = speech
        self._files = files
        self._making: dict[AudioKey, PartMaking] = {}
        self._closing = False
        self._gone: dict[UUID, set[UUID]] = {}

    async def recording(self, caller: Caller, session_id: UUID) -> Recording:
        """What there is to hear; nothing is spoken yet.

        Errors: `SessionNotFound`; `SessionState` before the script is complete; `Invalid` for an agent without a voice;
        those of `Speakers.choose`.
        """
        async with self._database.tenant(caller.tenant_id) as tx:
            stored = await tx.sessions.get(session_id, caller.sees_only)
            if stored is None:
                raise SessionNotFound("There is no session with this id.")
            session = stored.session
            if session.status != "completed" or session.therapy_run_id is None:
                raise SessionState(
                    f"There is nothing to hear before the script is complete; the session's status is {session.status}."
                )
            steps = await tx.run_steps.all(session.therapy_run_id)
            agent = await tx.agents.get(session.therapy_agent_id)
        if agent is None:
            raise AgentNotFound("The agent that has written this is gone.")
        voice = self._speech.chosen(_voice(session, voice_of(agent.contract())))
        parts = [
            AudioPart(AudioKey(caller.tenant_id, session_id, _digest(part, voice)), part, voice)
            for _, part in recorded_parts(steps)
        ]
        return Recording(parts, voice.provider, voice.note)

    async def kept(self, recording: Recording) -> KeptRecording | None:
        """The whole of it, None while not every part is kept."""
        digest, length = hashlib.sha256(), 0
        for one in recording.parts:
            found = await _on_disk(self._files.find, one.key)
            if found is None:
                return None
            length += found.size
            digest.update(f"{one.key.digest} {found.size} {found.made_at}\n".encode())
        return KeptRecording(length, digest.hexdigest()[:32])

    async def make(self, recording: Recording) -> KeptRecording:
        """Have every part spoken that is not kept. Errors: those of `pieces`."""
        for one in recording.parts:
            if await self._size(one) is None:
                await self._maker(one).whole()
        return await self.kept(recording) or await self.make(recording)

    async def pieces(self, recording: Recording, begin: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """The bytes from `begin` to `end` (its end), spoken while they are heard; the next part begins when the one
        before is heard to its end.

        Errors: `SpeechError`s, `Unavailable` when the disk refuses, `SessionNotFound` when it was removed meanwhile.
        """
        place = 0
        for one in recording.parts:
            size = await self._size(one)
            if size is None and place < begin:  # it was removed since it was measured
                await self._maker(one).whole()
                size = await self._size(one)
            if size is not None and place + size <= begin:
                place += size
                continue
            async with aclosing(self._part(one, max(0, begin - place))) as heard:
                place = max(place, begin)
                async for piece in heard:
                    left = len(piece) if end is None else min(len(piece), end - place)
                    yield piece[:left]
                    place += left
                    if place == end:
                        return

    async def forget(self, tenant_id: UUID, sessions: Collection[UUID]) -> None:
        """Remove everything of these sessions, whose rows are gone; what is being spoken of them is stopped."""
        gone = SessionNotFound("There is no session with this id.")
        await self._stop(gone, lambda key: key.tenant_id == tenant_id and key.session_id in sessions)
        await _on_disk(self._files.remove, tenant_id, sessions)

    async def count(self, tenant_id: UUID, sessions: Collection[UUID]) -> int:
        """How many files there are of these sessions."""
        return await _on_disk(self._files.count, tenant_id, sessions)

    async def sweep(self) -> None:
        """Remove what belonged to no session the last time either, and what nobody has listened to for a week."""
        found: dict[UUID, set[UUID]] = {}
        for tenant_id, session_id in await _on_disk(self._files.sessions):
            found.setdefault(tenant_id, set()).add(session_id)
        gone_before, self._gone = self._gone, {}
        for tenant_id, sessions in found.items():
            gone = sessions - await self._database.statements(tenant_id).sessions.existing(list(sessions))
            # Who erases a person counts first what there is, and removes it then: we wait for that until the next time.
            self._gone[tenant_id] = gone
            left_over = gone & gone_before.get(tenant_id, set())
            if left_over:
                await self.forget(tenant_id, left_over)
                _log.info("audio of sessions that are gone was removed", sessions=len(left_over))
        await _on_disk(self._files.sweep, UNUSED_SECONDS)

    async def close(self) -> None:
        """Stop what is being spoken; it is spoken anew when somebody asks."""
        self._closing = True
        await self._stop(ShuttingDown("The server is stopping; try again in a moment.", retry_after=2), lambda _: True)

    async def _part(self, one: AudioPart, offset: int) -> AsyncGenerator[bytes]:
        """A part from this place on, from its file or while it is made."""
        while (size := await self._size(one)) is None:
            async with aclosing(self._maker(one).listen(offset)) as heard:
                async for piece in heard:
                    offset += len(piece)
                    yield piece
        while offset < size:
            piece = await _on_disk(self._files.read, one.key, offset, min(PIECE_BYTES, size - offset))
            if not piece:
                raise SessionNotFound("The audio was removed while it was heard.")
            offset += len(piece)
            yield piece

    def _maker(self, one: AudioPart) -> PartMaking:
        if self._closing:
            raise ShuttingDown("The server is stopping; try again in a moment.", retry_after=2)
        making = self._making.get(one.key)
        if making is None or making.done:
            self._making = {key: other for key, other in self._making.items() if not other.done}
            making = PartMaking(self._files, one.key, self._spoken(one), self._is_there)
            self._making[one.key] = making
        return making

    async def _stop(self, reason: NumenError, which: Callable[[AudioKey], bool]) -> None:
        for making in [one for key, one in self._making.items() if which(key)]:
            await making.stop(reason)

    async def _is_there(self, key: AudioKey) -> bool:
        return bool(await self._database.statements(key.tenant_id).sessions.existing([key.session_id]))

    async def _size(self, one: AudioPart) -> int | None:
        found = await _on_disk(self._files.find, one.key)
        return found.size if found else None

    async def _spoken(self, one: AudioPart) -> AsyncGenerator[bytes]:
        for said in segments(one.part):
            if isinstance(said, Silence):
                for piece in _silence(said.seconds):
                    yield piece
                continue
            async with aclosing(self._speech.speak(one.key.tenant_id, one.voice, said)) as pieces:
                async for piece in pieces:
                    yield piece


async def _on_disk(do: Callable[P, T], *values: P.args, **named: P.kwargs) -> T:
    """Errors: `Unavailable` when the disk refuses."""
    with told_by_the_disk():
        return await asyncio.to_thread(do, *values, **named)


def _silence(seconds: float) -> Iterator[bytes]:
    left = round(seconds * SAMPLE_RATE) * SAMPLE_BYTES
    while left > 0:
        yield bytes(min(left, PIECE_BYTES))
        left -= PIECE_BYTES


def _voice(session: Session, voice: VoiceSettings) -> VoiceSettings:
    """The agent's voice, or the one that the person chose. Errors: `Invalid` for a choice that is no voice."""
    wanted = (session.plan or {}).get("voice_id")
    if not wanted:
        return voice
    try:
        return VoiceSettings.model_validate(voice.model_dump() | {"voice_id": wanted})
    except ValidationError as error:
        raise Invalid(f"The plan's voice_id {shown(wanted)} is no voice.") from error


def _digest(part: SpokenPart, voice: ChosenVoice) -> str:
    """What the audio of this part depends on, as the name of its file."""
    made_of = [
        _FORM, voice.provider, voice.settings.model_dump(), part.text, [one.model_dump() for one in part.pauses],
    ]  # fmt: skip
    return hashlib.sha256(orjson.dumps(made_of, option=orjson.OPT_SORT_KEYS)).hexdigest()
