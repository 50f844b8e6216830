"""One turn of a spoken conversation: its run is followed, its answer is spoken, and what was heard of it is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from backend.errors import NumenError, SpeechError
from backend.models.events import Place, ServerEvent
from backend.models.voice_frames import Interrupted, TurnEvent, TurnMetrics, VoiceError
from backend.services.hearing import Hearing
from backend.services.live_run import LiveRun
from backend.services.speakers import ChosenVoice
from backend.services.speech_service import SpeechService
from backend.services.voice.spoken_answer import SpokenAnswer
from backend.services.voice.voice_socket import SocketGone, VoiceSocket
from backend.telemetry import Metrics

PLAYED_SECONDS = 0.25
"""How long a client may take to say what it had played when it was interrupted."""

_ENDS = ("message.completed", "run.failed", "run.waiting")
Begin = Callable[[Hearing], Awaitable[LiveRun]]
Reason = Literal["speech", "client", "text"]


@dataclass(frozen=True, slots=True)
class Heard:
    """When the person ended (None: they typed) and when that was understood, in seconds of `time.monotonic`."""

    ended_at: float | None
    understood_at: float


@dataclass(frozen=True, slots=True)
class Mouth:
    """What speaks to one client, and counts how fast."""

    speech: SpeechService
    tenant_id: UUID
    voice: ChosenVoice
    socket: VoiceSocket
    metrics: Metrics


class SpokenTurn:
    """Made for one message. `run` once; the other methods say what the person does meanwhile."""

    def __init__(self, number: int, mouth: Mouth, heard: Heard, begin: Begin) -> None:
        self.thread_id: UUID | None = None
        self.begun = False
        """Whether what the person said is stored, or refused: before that nobody may cancel it."""
        self._number = number
        self._mouth = mouth
        self._heard = heard
        self._begin = begin
        self._hearing = Hearing()
        self._answer = SpokenAnswer(mouth.speech, mouth.tenant_id, mouth.voice, number, mouth.socket, self._hearing)
        self._pushed = 0
        self._told_interrupt = False
        self._reported = asyncio.Event()
        self._first_token_at: float | None = None

    @property
    def audible(self) -> bool:
        """Whether the person hears the answer right now."""
        return self._answer.audible

    @property
    def cut(self) -> bool:
        """Whether the person has broken in."""
        return self._hearing.interrupted

    async def run(self) -> None:
        """From the message to the stored answer. What goes wrong is told to the client. Errors: `SocketGone`."""
        try:
            run = await self._begin(self._hearing)
            self.begun = True
        except NumenError as error:
            self.begun = True
            await self._mouth.socket.tell(_told(error, self._number))
            return
        speaking = asyncio.create_task(self._speak())
        whole = asyncio.create_task(self._whole(run))
        try:
            await self._follow(run)
            if run.hearing is not None and not self._hearing.written.is_set():
                self._answer.end_of_text()  # it failed, or waits for a person: what was said of it stands
            await asyncio.wait({speaking})
            speaking.result()
            await self._tell_metrics()
        finally:
            self._hearing.interrupt()
            for task in (speaking, whole):
                task.cancel()
            await asyncio.wait({speaking, whole})

    async def hold(self) -> None:
        """The person may have begun to speak: be silent until it is known what it was. Errors: `SocketGone`."""
        was_audible = self._answer.audible
        self._answer.hold()
        if was_audible:
            await self._tell_interrupt("speech")

    def resume(self) -> None:
        """It was nothing: go on from where the person heard the answer."""
        self._told_interrupt = False
        self._answer.resume()

    def played(self, ms: int) -> None:
        """The client says that so much of the audio was played."""
        self._answer.played(ms)
        if self._told_interrupt:
            self._reported.set()

    async def interrupt(self, reason: Reason) -> None:
        """The person does not listen any more: the answer ends with what was heard. Errors: `SocketGone`."""
        if self._hearing.settled:
            return
        was_audible = self._answer.audible
        self._answer.hold()
        if was_audible:
            await self._tell_interrupt(reason)
        if self._told_interrupt:
            await _within(PLAYED_SECONDS, self._reported.wait())
        self.leave()

    def leave(self) -> None:
        """The person is gone, or has heard enough."""
        self._answer.stop()
        self._hearing.heard(*self._answer.heard_to())
        self._hearing.interrupt()

    async def _follow(self, run: LiveRun) -> None:
        ended = False
        async for event in run.events(Place()):
            ended = event.type in _ENDS
            if event.type == "run.started":
                self.thread_id = UUID(event.data["thread_id"])
            elif event.type == "run.failed":
                self._answer.stop()
            elif event.type == "message.delta":
                self._feed(run)
            elif event.type == "tool.call":
                self._answer.pause_of_text()  # nothing may follow for as long as a tool takes
            await self._tell(event)
        if not ended:
            await self._tell_failure(run)

    async def _tell_failure(self, run: LiveRun) -> None:
        """A run that could not be stored ends without an event that says so."""
        try:
            await run.reply()
        except NumenError as error:
            self._answer.stop()
            await self._mouth.socket.tell(_told(error, self._number))

    async def _whole(self, run: LiveRun) -> None:
        await self._hearing.written.wait()
        try:
            self._feed(run)  # its last words may not have been told yet
        finally:
            self._answer.end_of_text()

    def _feed(self, run: LiveRun) -> None:
        if self._hearing.settled:
            return
        if self._first_token_at is None:
            self._first_token_at = time.monotonic()
        self._answer.push(run.text[self._pushed :])
        self._pushed = len(run.text)

    async def _speak(self) -> None:
        try:
            await self._answer.run()
        except SpeechError as error:
            self._hearing.finish()  # what cannot be spoken can be read
            await self._mouth.socket.tell(_told(error, self._number))
        except SocketGone:
            self.leave()
        else:
            self._hearing.heard(*self._answer.heard_to())
        finally:
            self._hearing.finish()  # whatever happened, the run does not wait for ever

    async def _tell(self, event: ServerEvent) -> None:
        frame = TurnEvent.model_construct(type=event.type, turn=self._number, data=event.data)  # type: ignore[arg-type]
        await self._mouth.socket.tell(frame)

    async def _tell_interrupt(self, reason: Reason) -> None:
        self._told_interrupt = True
        self._reported.clear()
        await self._mouth.socket.tell(Interrupted(turn=self._number, reason=reason))

    async def _tell_metrics(self) -> None:
        answer, heard, hearing = self._answer, self._heard, self._hearing
        told = TurnMetrics(
            turn=self._number,
            stt_ms=_ms(heard.ended_at, heard.understood_at),
            llm_first_token_ms=_ms(heard.understood_at, self._first_token_at),
            tts_first_byte_ms=_ms(answer.first_sentence_at, answer.first_byte_at),
            voice_to_voice_ms=_ms(heard.ended_at or heard.understood_at, answer.first_audio_at),
            played_ms=hearing.played_ms,
            interrupted=hearing.interrupted,
        )
        stages = {
            "stt": told.stt_ms,
            "llm_first_token": told.llm_first_token_ms,
            "tts_first_byte": told.tts_first_byte_ms,
            "voice_to_voice": told.voice_to_voice_ms,
        }
        self._mouth.metrics.spoken_turn(stages)
        await self._mouth.socket.tell(told)


def _told(error: NumenError, turn: int) -> VoiceError:
    return VoiceError(code=error.code, title=error.title, detail=error.detail, turn=turn)


def _ms(begin: float | None, end: float | None) -> int | None:
    return None if begin is None or end is None else max(0, round((end - begin) * 1000))


async def _within(seconds: float, event: Awaitable[object]) -> None:
    waiting = asyncio.ensure_future(event)
    await asyncio.wait({waiting}, timeout=seconds)
    waiting.cancel()
