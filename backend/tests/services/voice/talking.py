"""A person at the other end of a conversation: what they are told, what they hear, and what they do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

from backend.models.tenant import Caller
from backend.models.voice_frames import (
    AudioStart,
    ClientFrame,
    Interrupt,
    Interrupted,
    Played,
    ServerFrame,
    Stop,
    Typed,
)
from backend.ports import HeardEvent, SpeechBegan, WordsHeard
from backend.ports.speech import SAMPLE_BYTES, SAMPLE_RATE
from backend.services.voice.voice_service import VoiceLimits, VoiceService
from backend.services.voice.voice_session import Limits
from backend.services.voice.voice_socket import SocketGone
from backend.stores.database import Database
from backend.tests.fake_speech import FakeEars, Studio
from backend.tests.services.one_server import OneServer

VOICE: dict[str, Any] = {"provider": "elevenlabs", "voice_id": "calm-female"}
TALKS: dict[str, Any] = {"type": "voice", "configuration": {"voice_enabled": True}, "voice": VOICE}
BYTES_A_MS = SAMPLE_RATE * SAMPLE_BYTES // 1000
QUICK = Limits(idle_seconds=30.0, session_seconds=60.0, doubt_seconds=0.15, reopen_seconds=0.05)
_PATIENCE = 30.0


class Person:
    """A `VoiceSocket` with a loudspeaker that plays in real time, and tells how much of it was played."""

    def __init__(self) -> None:
        self.told: list[ServerFrame] = []
        self.audio: list[tuple[int, bytes]] = []
        self.after_interrupt = 0
        self.broken_off_at: list[int] = []
        self.reports = True
        self._frames: asyncio.Queue[bytes | ClientFrame | None] = asyncio.Queue()
        self._news = asyncio.Condition()
        self._seen = 0
        self._turn = 0
        self._base = 0
        self._buffered = 0
        self._since = 0.0
        self._silent = False

    # --- the socket ---

    async def receive(self) -> bytes | ClientFrame:
        while True:
            try:
                async with asyncio.timeout(0.02):
                    frame = await self._frames.get()
            except TimeoutError:
                if not self.reports or not self._turn or self._silent:
                    await asyncio.sleep(0)
                    continue
                return Played(type="played", turn=self._turn, ms=self.played_ms)
            if frame is None:
                raise SocketGone
            return frame

    async def tell(self, frame: ServerFrame) -> None:
        self.told.append(frame)
        if isinstance(frame, AudioStart):
            self._turn, self._base, self._buffered, self._silent = frame.turn, frame.from_ms, 0, False
            self._since = time.monotonic()
        elif isinstance(frame, Interrupted):
            played = self.played_ms
            self.broken_off_at.append(played)
            self._base, self._buffered, self._silent = played, 0, True
            if self.reports:
                self._frames.put_nowait(Played(type="played", turn=frame.turn, ms=played))
        async with self._news:
            self._news.notify_all()

    async def play(self, pcm: bytes) -> None:
        if self._silent:
            self.after_interrupt += len(pcm)
        self.audio.append((self._turn, pcm))
        self._buffered += len(pcm)
        async with self._news:
            self._news.notify_all()

    # --- the person ---

    @property
    def played_ms(self) -> int:
        """How much of the present answer came out of the loudspeaker."""
        elapsed = round((time.monotonic() - self._since) * 1000)
        return self._base + min(elapsed, self._buffered // BYTES_A_MS)

    def types(self, message: str) -> None:
        self._frames.put_nowait(Typed(type="text", message=message))

    def interrupts(self) -> None:
        self._frames.put_nowait(Interrupt(type="interrupt"))

    def stops(self) -> None:
        self._frames.put_nowait(Stop(type="stop"))

    def sends(self, frame: bytes | ClientFrame) -> None:
        self._frames.put_nowait(frame)

    def goes(self) -> None:
        """Hang up."""
        self._frames.put_nowait(None)

    async def hears_ms(self, ms: int) -> None:
        """Wait until so much of the present answer was played."""
        async with asyncio.timeout(_PATIENCE):
            while self.played_ms < ms or self._silent:  # noqa: ASYNC110 — a loudspeaker tells nobody
                await asyncio.sleep(0.005)

    async def is_told(self, kind: str, when: Callable[[Any], bool] = lambda _: True) -> Any:
        """The next frame of this type. Errors: `AssertionError` when it does not come."""
        try:
            async with asyncio.timeout(_PATIENCE), self._news:
                while True:
                    for place in range(self._seen, len(self.told)):
                        if self.told[place].type == kind and when(self.told[place]):
                            self._seen = place + 1
                            return self.told[place]
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"waited in vain for {kind}; told were {self.kinds}") from None

    @property
    def kinds(self) -> list[str]:
        """The types of everything that was told."""
        return [one.type for one in self.told]

    def heard(self, turn: int) -> bytes:
        """All the audio of a turn."""
        return b"".join(pcm for number, pcm in self.audio if number == turn)


class Call:
    """A conversation that goes on: the person, the ears, and everything behind."""

    def __init__(self, server: OneServer, studio: Studio, caller: Caller, service: VoiceService) -> None:
        self.server = server
        self.studio = studio
        self.caller = caller
        self.service = service
        self.person = Person()
        self.going: asyncio.Task[None] | None = None

    @property
    def ears(self) -> FakeEars:
        return self.studio.ears

    async def says(self, text: str) -> None:
        """Say something and stop."""
        await self.ears.say(SpeechBegan(0.1), WordsHeard(text, final=True, ends_turn=True, seconds=0.5))

    async def hears(self, *events: HeardEvent) -> None:
        await self.ears.say(*events)

    async def over(self) -> None:
        """Wait for the end. Errors: those of the conversation."""
        assert self.going is not None
        await asyncio.wait_for(self.going, _PATIENCE)

    async def messages(self, thread_id: UUID | str | None = None) -> list[tuple[str, str, str]]:
        """(role, content, status) of the thread, by default the one that was begun last."""
        if thread_id is None:
            started = [one for one in self.person.told if one.type == "run.started"]
            thread_id = started[-1].data["thread_id"]  # type: ignore[union-attr]
        found = await self.server.messages(self.caller, UUID(str(thread_id)))
        return [(one.role, one.content, one.status) for one in found]


def voice_service(server: OneServer, studio: Studio, limits: Limits = QUICK, most: int = 5) -> VoiceService:
    """Conversations over these services."""
    each = VoiceLimits(limits, most)
    return VoiceService(
        server.interactions, server.threads, server.sessions, studio.speech, server.registry, server.metrics, each
    )


@asynccontextmanager
async def call(
    server: OneServer,
    database: Database,
    caller: Caller,
    *,
    agent: UUID | None = None,
    thread: UUID | None = None,
    session: UUID | None = None,
    limits: Limits = QUICK,
    studio: Studio | None = None,
    service: VoiceService | None = None,
) -> AsyncGenerator[Call]:
    """A conversation that has begun; it is hung up in the end."""
    studio = studio or Studio(database, None)
    made = Call(server, studio, caller, service or voice_service(server, studio, limits))
    agent = agent or await server.agent(caller, **TALKS)
    made.going = asyncio.create_task(made.service.converse(caller, agent, thread, made.person, session_id=session))
    try:
        await made.person.is_told("ready")
        yield made
    finally:
        made.person.goes()
        with suppress(SocketGone, Exception):
            await made.over()
