"""A person on the phone: a microphone and a loudspeaker that run in real time on a voice's WebSocket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

FRAME_SECONDS = 0.02
FRAME = 640
PROTOCOL = "numen.voice.v1"
_REPORTS_EVERY = 5
_PATIENCE = 20.0


class VoiceCaller:
    """`events` are what the server told, each with `at`: when it came (`time.monotonic`)."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []
        self.speech_began_at = 0.0
        self.speech_ended_at = 0.0
        self.audio_at: list[float] = []
        self.played: dict[int, int] = {}
        self._saying = b""
        self._buffer = b""
        self._turn = 0
        self._played_bytes = 0
        self._news = asyncio.Condition()
        self._seen = 0

    # --- what a person does ---

    def say(self, pcm: bytes) -> None:
        """Begin to say this."""
        self._saying += pcm

    async def said(self) -> None:
        """Wait until everything is said; `speech_ended_at` is when that was."""
        await self._until(lambda: not self._saying or None, "the end of what is said")

    async def send(self, **frame: Any) -> None:
        """Send a control frame."""
        await self.socket.send(json.dumps(frame))

    async def interrupt(self) -> float:
        """Ask for silence; when that was."""
        asked = time.monotonic()
        await self.send(type="interrupt")
        return asked

    # --- what a person notices ---

    async def event(self, kind: str, when: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """The next event of this kind; those before it are passed over. Errors: `AssertionError` after 20 s."""
        return await self._until(lambda: self._next(kind, when), f"{kind}; told were {self._told()}")

    async def hears(self, after: float = 0.0) -> float:
        """Wait for audio that came after this moment; when it came."""
        return await self._until(lambda: next((at for at in self.audio_at if at > after), None), "audio")

    async def has_played(self, ms: int) -> None:
        """Wait until so much of the present turn came out of the loudspeaker."""
        await self._until(lambda: self.played.get(self._turn, 0) >= ms or None, f"{ms} ms of audio")

    @property
    def turn(self) -> int:
        """The turn whose audio came last."""
        return self._turn

    def _next(self, kind: str, when: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
        for place in range(self._seen, len(self.events)):
            if self.events[place]["type"] == kind and when(self.events[place]):
                self._seen = place + 1
                return self.events[place]
        return None

    def _told(self) -> list[str]:
        return [one["type"] for one in self.events]

    async def _until(self, found: Callable[[], Any], what: str) -> Any:
        try:
            async with asyncio.timeout(_PATIENCE), self._news:
                while (result := found()) is None:
                    await self._news.wait()
                return result
        except TimeoutError:
            raise AssertionError(f"waited in vain for {what}") from None

    # --- the devices ---

    async def listen(self) -> None:
        """Take in what the server sends, until it closes."""
        with suppress(ConnectionClosed):
            async for message in self.socket:
                now = time.monotonic()
                if isinstance(message, bytes):
                    self._buffer += message
                    self.audio_at.append(now)
                else:
                    event = json.loads(message)
                    self.events.append(event | {"at": now})
                    await self._obey(event)
                async with self._news:
                    self._news.notify_all()

    async def _obey(self, event: dict[str, Any]) -> None:
        if event["type"] == "audio.start":
            self._turn = event["turn"]
            self._played_bytes = event["from_ms"] * 32
            self._buffer = b""
        elif event["type"] == "interrupt":
            self._buffer = b""
            await self._report()

    async def run(self, *, microphone: bool) -> None:
        """Send and play a frame every 20 ms."""
        due, number = time.monotonic(), 0
        with suppress(ConnectionClosed):
            while True:
                was_saying = bool(self._saying)
                await self._speak(microphone)
                if was_saying and not self._saying:
                    async with self._news:
                        self._news.notify_all()
                number += 1
                if self._buffer:
                    self._played_bytes += len(self._buffer[:FRAME])
                    self._buffer = self._buffer[FRAME:]
                    self.played[self._turn] = self._played_bytes // 32
                    async with self._news:
                        self._news.notify_all()
                    if number % _REPORTS_EVERY == 0 or not self._buffer:
                        await self._report()
                due += FRAME_SECONDS
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _speak(self, microphone: bool) -> None:
        frame, self._saying = self._saying[:FRAME], self._saying[FRAME:]
        if not frame and not microphone:
            return
        await self.socket.send(frame.ljust(FRAME, b"\0"))
        now = time.monotonic()
        if frame:
            self.speech_began_at = self.speech_began_at or now
            self.speech_ended_at = now
        else:
            self.speech_began_at = 0.0

    async def _report(self) -> None:
        if self._turn:
            await self.send(type="played", turn=self._turn, ms=self._played_bytes // 32)


@asynccontextmanager
async def calling(
    url: str,
    agent_id: UUID | str,
    *,
    token: str | None = None,
    thread_id: UUID | str | None = None,
    microphone: bool = True,
    **start: Any,
) -> AsyncGenerator[VoiceCaller]:
    """A conversation that has begun, with the microphone open; `url` is the server's, as in http://127.0.0.1:8000."""
    query = "" if thread_id is None else f"?thread_id={thread_id}"
    address = f"ws{url.removeprefix('http')}/api/v1/agents/{agent_id}/voice{query}"
    async with connect(address, subprotocols=[PROTOCOL], compression=None, max_size=None) as socket:  # type: ignore[list-item]
        caller = VoiceCaller(socket)
        await caller.send(**{"type": "start", **({"token": token} if token else {}), **start})
        tasks = [asyncio.create_task(caller.listen()), asyncio.create_task(caller.run(microphone=microphone))]
        try:
            await caller.event("ready")
            yield caller
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
