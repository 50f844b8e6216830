"""A client's end of a conversation that writes down what it is sent, can be slow, and can be gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from backend.models.voice_frames import ClientFrame, ServerFrame
from backend.services.voice.voice_socket import SocketGone

_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Sent:
    """What came, and when (`time.monotonic`)."""

    what: bytes | ServerFrame
    at: float


class FakeVoiceSocket:
    """A `VoiceSocket`. Audio takes `slow` seconds a frame; `on_sent` is told what comes, when it came."""

    def __init__(self, on_sent: Callable[[bytes | ServerFrame], None] | None = None) -> None:
        self.sent: list[Sent] = []
        self.slow = 0.0
        self.gone = False
        self._on_sent = on_sent
        self._incoming: asyncio.Queue[bytes | ClientFrame | None] = asyncio.Queue()
        self._sending = asyncio.Lock()
        self._news = asyncio.Condition()

    @property
    def audio(self) -> bytes:
        """All the audio that came."""
        return b"".join(one.what for one in self.sent if isinstance(one.what, bytes))

    @property
    def frames(self) -> list[Sent]:
        """The audio that came, frame by frame."""
        return [one for one in self.sent if isinstance(one.what, bytes)]

    @property
    def told(self) -> list[ServerFrame]:
        """The events that came."""
        return [one.what for one in self.sent if not isinstance(one.what, bytes)]

    async def receive(self) -> bytes | ClientFrame:
        frame = None if self.gone else await self._incoming.get()
        if frame is None:
            raise SocketGone
        return frame

    async def tell(self, frame: ServerFrame) -> None:
        async with self._sending:
            await self._write_down(frame)

    async def play(self, pcm: bytes) -> None:
        async with self._sending:
            if self.slow:
                await asyncio.sleep(self.slow)
            await self._write_down(pcm)

    def say(self, frame: bytes | ClientFrame) -> None:
        """The client sends this."""
        self._incoming.put_nowait(frame)

    def break_down(self) -> None:
        """The client is gone."""
        self.gone = True
        self._incoming.put_nowait(None)

    async def until(self, reached: Callable[[], object]) -> None:
        """Wait until this is so; it is looked at after everything that comes. Errors: `TimeoutError` after 30 s."""
        async with asyncio.timeout(_PATIENCE), self._news:
            await self._news.wait_for(lambda: bool(reached()))

    async def _write_down(self, what: bytes | ServerFrame) -> None:
        if self.gone:
            raise SocketGone
        self.sent.append(Sent(what, time.monotonic()))
        if self._on_sent:
            self._on_sent(what)
        async with self._news:
            self._news.notify_all()
