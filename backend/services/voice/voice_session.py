"""One conversation: what a client sends and what is heard of it become turns, one after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from backend.errors import ConversationIdle, ConversationOver, ShuttingDown, SpeechError, SpeechUnavailable
from backend.models.voice import VoiceSettings
from backend.models.voice_frames import (
    HeardBy,
    Interrupt,
    Played,
    Ready,
    SpokenBy,
    Stop,
    Transcribed,
    Typed,
    VoiceError,
)
from backend.ports import HeardEvent, SpeechToText, WordsHeard
from backend.ports.speech import SAMPLE_RATE
from backend.services.hearing import Hearing
from backend.services.live_run import LiveRun
from backend.services.voice.bad_frame import BadFrame
from backend.services.voice.ears import REOPEN_SECONDS, Ears
from backend.services.voice.spoken_turn import Heard, Mouth, Reason, SpokenTurn
from backend.services.voice.turn_taking import Said, Sound, TurnTaking, Understood, only_listens

_NO_MORE = WordsHeard("", final=True, ends_turn=True, seconds=0.0)
"""What is known of a turn when the ears are lost: that nothing follows."""
_NOT_NOW = " does not listen right now; it is asked again while you speak, and meanwhile you can type."
_FOR_GOOD = " In this conversation nobody listens any more: type, or begin another one."
_TURN_ENDS_SECONDS = 10.0
_MOST_WAITING = 500

Say = Callable[[str, UUID | None, Hearing], Awaitable[LiveRun]]
"""Begin a turn: what the person says, the thread (None: a new one), and how the answer is heard."""


@dataclass(frozen=True, slots=True)
class Limits:
    """In seconds: how long nothing may come from a client, how long a conversation lasts, how long a sound may turn out
    to be words before the agent goes on, and how long ears that were lost are let be before they are opened again.
    """

    idle_seconds: float = 60.0
    session_seconds: float = 1_800.0
    doubt_seconds: float = 2.0
    reopen_seconds: float = REOPEN_SECONDS


@dataclass(frozen=True, slots=True)
class Talk:
    """Who talks with whom, and by what. Without `ears` nobody listens, `deaf` says why, and the person types."""

    agent_id: UUID
    name: str
    thread_id: UUID | None
    voice: VoiceSettings
    mouth: Mouth
    ears: SpeechToText | None
    deaf: str
    say: Say
    limits: Limits


@dataclass(frozen=True, slots=True)
class _NoWords:
    """No words have come of a sound."""


_Incoming: TypeAlias = HeardEvent | Interrupt | Typed | Stop | _NoWords


class VoiceSession:
    """Made for one socket. What comes in is worked on in order, by one task; audio and `played` overtake it."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._socket = talk.mouth.socket
        self._taking = TurnTaking(push_to_talk=not talk.voice.vad_enabled)
        self._ears = None if talk.ears is None else self._made_ears(talk.ears)
        self._incoming: asyncio.Queue[_Incoming] = asyncio.Queue(_MOST_WAITING)
        self._closing = asyncio.Event()
        self._thread_id = talk.thread_id
        self._turns = 0
        self._turn: SpokenTurn | None = None
        self._turning: asyncio.Task[None] | None = None
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._doubt_ends: asyncio.TimerHandle | None = None
        self._held = False
        self._told_deaf = False
        self._next: tuple[str, Heard] | None = None
        self._unstored: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """The server stops: the conversation ends now, and what was heard of an answer is kept."""
        self._closing.set()

    async def run(self) -> None:
        """Until the client goes.

        Errors: `SocketGone`, `BadFrame`; `ConversationIdle`, `ConversationOver`, `ShuttingDown`.
        """
        tasks = [
            asyncio.create_task(self._receive()),
            asyncio.create_task(self._converse()),
            asyncio.create_task(self._close()),
            asyncio.create_task(self._fail()),
        ]
        try:
            done, _ = await asyncio.wait(
                tasks, timeout=self._talk.limits.session_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
            if not done:
                minutes = self._talk.limits.session_seconds / 60
                raise ConversationOver(f"A conversation lasts {minutes:g} minutes at most; begin another one.")
        finally:
            await self._end(tasks)

    async def _close(self) -> None:
        await self._closing.wait()
        raise ShuttingDown("The server is stopping; come back in a moment.", retry_after=2)

    async def _fail(self) -> None:
        await self._failed

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        if self._turn is not None:
            self._turn.leave()  # nothing more is said while all the others end
        for task in tasks:
            task.cancel()
        async with AsyncExitStack() as ending:  # whoever calls this off as well must not leave ears that listen on
            ending.push_async_callback(self._end_turns)
            if self._ears is not None:
                ending.push_async_callback(self._ears.close)
            ending.callback(self._doubt_is_over)
            await asyncio.wait(tasks)

    async def _end_turns(self) -> None:
        try:
            await self._end_turn()
        finally:
            if self._next is not None:  # it was understood, so it is stored
                self._take_turn()
                await self._end_turn()
        if self._unstored:
            await asyncio.wait(self._unstored)

    # --- what comes in ---

    def _made_ears(self, provider: SpeechToText) -> Ears:
        reopen = self._talk.limits.reopen_seconds
        return Ears(provider, self._talk.voice, self._hear, self._deafened, reopen_seconds=reopen)

    async def _receive(self) -> None:
        with suppress(SpeechError):  # told when something is to be said
            await self._talk.mouth.voice.speaker.prepare()
        opened = await self._ears.open() if self._ears is not None else False
        await self._socket.tell(self._ready(hears=opened))
        while True:
            try:
                async with asyncio.timeout(self._talk.limits.idle_seconds):
                    frame = await self._socket.receive()
            except TimeoutError:
                seconds = self._talk.limits.idle_seconds
                raise ConversationIdle(f"Nothing was heard of you for {seconds:g} seconds.") from None
            if isinstance(frame, bytes):
                await self._listen(frame)
            elif isinstance(frame, Played):
                if self._turn is not None and frame.turn == self._turns:
                    self._turn.played(frame.ms)
            elif isinstance(frame, Interrupt | Typed | Stop):
                await self._incoming.put(frame)
            else:
                raise BadFrame(1008, "already-started", "The conversation has begun already: `start` comes once.")

    async def _listen(self, pcm: bytes) -> None:
        if self._ears is not None:
            await self._ears.hear(pcm)
        elif not self._told_deaf:
            self._told_deaf = True
            await self._tell(SpeechUnavailable(self._talk.deaf))

    async def _hear(self, event: HeardEvent) -> None:
        await self._incoming.put(event)

    async def _deafened(self, error: SpeechError, for_good: bool) -> None:
        await self._tell(error, _FOR_GOOD if for_good else "")
        await self._incoming.put(_NO_MORE)

    async def _tell(self, error: SpeechError, more: str = "") -> None:
        await self._socket.tell(VoiceError(code=error.code, title=error.title, detail=f"{error.detail}{more}"))

    # --- what it means ---

    async def _converse(self) -> None:
        while True:
            incoming = await self._incoming.get()
            if isinstance(incoming, Interrupt):
                await self._break_in("client")
            elif isinstance(incoming, Typed):
                await self._begin_turn(incoming.message, Heard(None, time.monotonic()), "text")
            elif isinstance(incoming, Stop):
                await self._stop()
            elif isinstance(incoming, _NoWords):
                self._go_on()
            else:
                await self._understand(incoming)

    async def _stop(self) -> None:
        self._taking.stop()
        if self._ears is None:
            await self._tell(SpeechUnavailable(self._talk.deaf))
        elif not await self._ears.finalize():
            await self._understand(_NO_MORE)

    async def _understand(self, event: HeardEvent) -> None:
        for meaning in self._taking.hear(event):
            if isinstance(meaning, Sound):
                await self._doubt()
            elif isinstance(meaning, Understood):
                await self._socket.tell(Transcribed(type="transcript.partial", text=meaning.text))
                if not only_listens(meaning.text):
                    await self._break_in("speech")
            elif isinstance(meaning, Said):
                await self._said(meaning)
            else:
                self._go_on()

    async def _said(self, said: Said) -> None:
        if only_listens(said.text) and self._answering:
            self._go_on()  # they listen, and want to hear more
            return
        ended = self._ears.clock.at(said.ended) if self._ears is not None else None
        await self._socket.tell(Transcribed(type="transcript.final", text=said.text))
        await self._begin_turn(said.text, Heard(ended, time.monotonic()), "speech")

    @property
    def _answering(self) -> bool:
        return self._turning is not None and not self._turning.done()

    # --- breaking in ---

    async def _doubt(self) -> None:
        """Somebody may have begun to speak: the agent is silent until it is known."""
        if self._turn is None or not self._answering or self._turn.cut or self._held:
            return
        self._held = True
        self._doubt_ends = asyncio.get_running_loop().call_later(self._talk.limits.doubt_seconds, self._no_words)
        await self._turn.hold()

    def _no_words(self) -> None:
        with suppress(asyncio.QueueFull):  # then there are words enough
            self._incoming.put_nowait(_NoWords())

    def _go_on(self) -> None:
        if self._held and self._turn is not None and not self._turn.cut:
            self._turn.resume()
        self._doubt_is_over()

    def _doubt_is_over(self) -> None:
        self._held = False
        if self._doubt_ends is not None:
            self._doubt_ends.cancel()
            self._doubt_ends = None

    async def _break_in(self, reason: Reason) -> None:
        self._doubt_is_over()
        if self._turn is not None and self._answering:
            await self._turn.interrupt(reason)

    # --- turns ---

    async def _begin_turn(self, message: str, heard: Heard, reason: Reason) -> None:
        self._next = message, heard
        await self._break_in(reason)
        await self._end_turn()
        self._take_turn()

    def _take_turn(self) -> None:
        """The turn of what the person said last."""
        if self._next is None:
            return
        (message, heard), self._next = self._next, None
        self._turns += 1
        turn = SpokenTurn(
            self._turns, self._talk.mouth, heard, lambda hearing: self._talk.say(message, self._thread_id, hearing)
        )
        self._turn = turn
        self._turning = asyncio.create_task(turn.run())
        self._turning.add_done_callback(self._turn_over)

    def _turn_over(self, turning: asyncio.Task[None]) -> None:
        """What breaks a turn ends the conversation."""
        error = None if turning.cancelled() else turning.exception()
        if error is not None and not self._failed.done():
            self._failed.set_exception(error)
            self._failed.exception()  # it may be over already, and then nobody waits for it

    async def _end_turn(self) -> None:
        """The turn is broken off, if it goes on, and stored."""
        turn, turning = self._turn, self._turning
        if turn is None or turning is None:
            return
        turn.leave()
        await asyncio.wait({turning}, timeout=_TURN_ENDS_SECONDS)
        self._turn = self._turning = None
        self._thread_id = turn.thread_id or self._thread_id
        if not turn.begun:  # it waits for the thread, and ends by itself once what the person said is stored
            self._unstored.add(turning)
            turning.add_done_callback(self._unstored.discard)
            return
        turning.cancel()
        await asyncio.wait({turning})
        self._thread_id = turn.thread_id or self._thread_id

    def _ready(self, *, hears: bool) -> Ready:
        talk = self._talk
        speaker = talk.mouth.voice
        return Ready(
            agent_id=talk.agent_id,
            name=talk.name,
            thread_id=talk.thread_id,
            sample_rate=SAMPLE_RATE,
            push_to_talk=not talk.voice.vad_enabled,
            speaks=SpokenBy(provider=speaker.provider, voice_id=talk.voice.voice_id, note=speaker.note),
            listens=HeardBy(
                provider=talk.voice.stt_provider if talk.ears else None,
                note=talk.deaf if hears or not talk.ears else f"{talk.voice.stt_provider}{_NOT_NOW}",
            ),
            idle_seconds=talk.limits.idle_seconds,
            session_seconds=talk.limits.session_seconds,
        )
