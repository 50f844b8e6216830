"""Ears of Deepgram for a conversation."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from backend.errors import SpeechError
from backend.gateways.answer import BadAnswer
from backend.gateways.deepgram_heard import Heard, heard
from backend.gateways.speech_fault import FOREIGN, SocketClosed, SocketRefused, SpeechFaults
from backend.models.voice import VoiceSettings
from backend.ports import HeardEvent, WordsHeard
from backend.ports.speech import SAMPLE_BYTES, SAMPLE_RATE

if TYPE_CHECKING:
    from deepgram.listen.v1.client import AsyncV1Client
    from deepgram.listen.v1.socket_client import AsyncV1SocketClient

ENDPOINTING_MS, UTTERANCE_END_MS = 300, 1000
"""So much quiet ends a turn; so much without a word ends it where no quiet was found, as in noise."""
MOST_WAITING = 1000
GOODBYE_SECONDS = 0.5

_SOCKET_FAULTS = (SocketRefused, SocketClosed, *FOREIGN)


@dataclass(frozen=True, slots=True)
class LivePatience:
    """Seconds. Ten of silence are too many for Deepgram, so it is told before that we are still there.

    Whoever asks for the end of a turn has it after `finalize_seconds`, also where nothing was left to write down:
    then Deepgram mostly says nothing.
    """

    keep_alive_seconds: float = 4.0
    finalize_seconds: float = 1.0


class DeepgramLive:
    """`Listening` over an open socket, while its `running` block lasts. Errors: as the port says."""

    def __init__(self, socket: AsyncV1SocketClient, faults: SpeechFaults, patience: LivePatience) -> None:
        self._socket = socket
        self._faults = faults
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._heard: deque[HeardEvent] = deque()
        self._news = asyncio.Event()
        self._sent_at = self._loop.time()
        self._given = 0  # bytes
        self._end_of_turn: asyncio.TimerHandle | None = None
        self._reading: asyncio.Task[SpeechError | None] | None = None

    async def hear(self, pcm: bytes) -> None:
        """Give it the next audio."""
        if pcm:  # an empty message would be the end of all audio
            self._given += len(pcm)
            await self._send(lambda: self._socket.send_media(pcm))

    async def finalize(self) -> None:
        """Have the turn written down. An end that was found before is none; the one that was asked for follows."""
        if self._end_of_turn is not None:
            self._end_of_turn.cancel()
        self._end_of_turn = self._loop.call_later(self._patience.finalize_seconds, self._nothing_more)
        await self._send(self._socket.send_finalize)

    async def events(self) -> AsyncIterator[HeardEvent]:
        """What is heard; the last of several guesses that nobody took."""
        while True:
            while self._heard:
                yield self._heard.popleft()
            if self._over():
                return
            self._news.clear()
            await self._news.wait()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[DeepgramLive]:
        """Read what comes and keep the socket awake; say goodbye at the end."""
        self._reading = asyncio.create_task(self._read())
        self._reading.add_done_callback(lambda _: self._news.set())
        try:
            yield self
        finally:
            if self._end_of_turn is not None:
                self._end_of_turn.cancel()
            self._reading.cancel()
            await asyncio.wait({self._reading})
            if self._reading.cancelled():
                await self._say_goodbye()

    async def _say_goodbye(self) -> None:
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._socket.send_close_stream()
        except _SOCKET_FAULTS:
            pass  # who is gone hears no goodbye, and the socket is closed next

    def _over(self) -> bool:
        """Whether nothing more comes. Errors: why not, where that was not in good order."""
        if self._reading is None or not self._reading.done():
            return False
        if not self._reading.cancelled() and (lost := self._reading.result()):
            raise lost.with_traceback(None) from None
        return True

    async def _send(self, send: Callable[[], Awaitable[None]]) -> None:
        if self._over():
            raise self._faults.fault(SocketClosed(1000, "")).error
        try:
            await send()
        except _SOCKET_FAULTS as exc:
            fault = self._faults.fault(exc, begun=True)
        else:
            self._sent_at = self._loop.time()
            return
        raise fault.error

    async def _read(self) -> SpeechError | None:
        """Take what comes until it ends; with what, where not in good order."""
        try:
            while True:
                if found := heard(await self._next()):
                    self._take(found)
                if len(self._heard) > MOST_WAITING:
                    raise BadAnswer(f"it tells more than {MOST_WAITING} things at once")
        except _SOCKET_FAULTS as exc:
            if isinstance(exc, SocketClosed) and exc.code == 1000:
                return None
            return self._faults.fault(exc, begun=True).error

    async def _next(self) -> Any:
        while True:
            try:
                async with asyncio.timeout_at(self._sent_at + self._patience.keep_alive_seconds):
                    return await self._socket.recv()
            except TimeoutError:
                if self._loop.time() - self._sent_at >= self._patience.keep_alive_seconds:
                    await self._socket.send_keep_alive()
                    self._sent_at = self._loop.time()

    def _take(self, found: Heard) -> None:
        event = found.event
        if isinstance(event, WordsHeard) and event.ends_turn:
            if found.asked and self._end_of_turn is not None:
                self._end_of_turn.cancel()
                self._end_of_turn = None
            elif found.asked and not event.text:
                return  # it comes too late: the end was told
            elif found.asked:
                event = replace(event, asked=True)  # too late as well, but what was said is a turn
            elif self._end_of_turn is not None:
                event = replace(event, ends_turn=False)  # a pause just before the person said that they had finished
                if not event.text:
                    return
        self._tell(event)

    def _nothing_more(self) -> None:
        self._end_of_turn = None
        seconds = self._given / (SAMPLE_RATE * SAMPLE_BYTES)
        self._tell(WordsHeard("", final=True, ends_turn=True, seconds=seconds))

    def _tell(self, event: HeardEvent) -> None:
        last = self._heard[-1] if self._heard else None
        if isinstance(event, WordsHeard) and isinstance(last, WordsHeard) and not last.final:
            self._heard.pop()  # a guess that nobody took is worth nothing once there is a later one
        self._heard.append(event)
        self._news.set()


async def opened(
    api: AsyncV1Client, voice: VoiceSettings, faults: SpeechFaults
) -> tuple[AsyncV1SocketClient, AsyncExitStack]:
    """An open socket, and what closes it. Errors: `SpeechFault`."""
    async with AsyncExitStack() as closing:
        try:
            socket = await closing.enter_async_context(
                api.connect(
                    model=voice.stt_model,
                    language=voice.stt_language,
                    encoding="linear16",
                    sample_rate=SAMPLE_RATE,
                    channels=1,
                    interim_results=True,
                    smart_format=True,
                    vad_events=True,
                    endpointing=ENDPOINTING_MS,
                    utterance_end_ms=UTTERANCE_END_MS,
                )
            )
            await socket.send_keep_alive()  # the first message opens it
            return socket, closing.pop_all()
        except _SOCKET_FAULTS as exc:
            fault = faults.fault(exc)
        raise fault
    raise AssertionError("it is left by a return or an error")
