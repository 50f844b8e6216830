"""Ears of one conversation: opened when it begins, and opened again with the next audio when the provider is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from backend.errors import SpeechError
from backend.models.voice import VoiceSettings
from backend.ports import HeardEvent, Listening, SpeechToText
from backend.services.voice.audio_clock import AudioClock

REOPEN_SECONDS = 2.0
STEADY_SECONDS = 60.0
MOST_LOSSES = 5

OnHeard = Callable[[HeardEvent], Awaitable[None]]
OnLost = Callable[[SpeechError, bool], Awaitable[None]]
"""Why nothing is heard any more, and whether that is for good."""


class Ears:
    """What is heard goes to `on_heard`; that nothing is heard any more goes to `on_lost`, each time it happens.

    Lost ears are opened again `reopen_seconds` after the loss at the earliest. After `MOST_LOSSES` they are given up;
    losses before `steady_seconds` of good hearing do not count any more.
    """

    def __init__(
        self,
        provider: SpeechToText,
        voice: VoiceSettings,
        on_heard: OnHeard,
        on_lost: OnLost,
        *,
        reopen_seconds: float = REOPEN_SECONDS,
        steady_seconds: float = STEADY_SECONDS,
    ) -> None:
        self._provider = provider
        self._voice = voice
        self._on_heard = on_heard
        self._on_lost = on_lost
        self._reopen_seconds = reopen_seconds
        self._steady_seconds = steady_seconds
        self._ears: Listening | None = None
        self._task: asyncio.Task[None] | None = None
        self._opened = asyncio.Event()
        self._broken: SpeechError | None = None
        self._losses = 0
        self._lost_at = 0.0
        self._opened_at: float | None = None
        self.clock = AudioClock()

    async def open(self) -> bool:
        """Begin to listen; False when that is not possible now, which `on_lost` was told."""
        self._begin()
        await self._opened.wait()
        return self._ears is not None

    async def hear(self, pcm: bytes) -> None:
        """The next audio of the person; nothing comes of it while the ears are lost."""
        if self._ears is None:
            self._begin_again()
            return
        self.clock.heard(pcm, time.monotonic())
        await self._use(self._ears.hear(pcm))

    async def finalize(self) -> bool:
        """The person says that this was all of their turn; False when nobody listened to it."""
        if self._ears is None:
            return False
        await self._use(self._ears.finalize())
        return True

    async def close(self) -> None:
        """Listen no more."""
        self._losses = MOST_LOSSES
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _begin(self) -> None:
        self._broken = self._opened_at = None
        self._opened.clear()
        self._task = asyncio.create_task(self._listen())

    def _begin_again(self) -> None:
        over = self._task is None or self._task.done()
        if over and self._losses < MOST_LOSSES and time.monotonic() - self._lost_at >= self._reopen_seconds:
            self._begin()

    async def _use(self, doing: Awaitable[None]) -> None:
        try:
            await doing
        except SpeechError as error:
            if self._task is not None and self._broken is None:
                self._broken = error
                self._task.cancel()

    async def _listen(self) -> None:
        try:
            async with self._provider.listen(self._voice) as ears:
                self._ears, self.clock, self._opened_at = ears, AudioClock(), time.monotonic()
                self._opened.set()
                async for event in ears.events():
                    await self._on_heard(event)
            if not self._heard_for(self._reopen_seconds):
                self._lost_at = time.monotonic()  # who closes at once is not asked again at once
        except SpeechError as error:
            await self._lost(error)
        except asyncio.CancelledError:
            if self._broken is None:
                raise
            await self._lost(self._broken)
        finally:
            self._ears = None
            self._opened.set()

    async def _lost(self, error: SpeechError) -> None:
        self._ears = None
        self._losses = 1 if self._heard_for(self._steady_seconds) else self._losses + 1
        self._lost_at = time.monotonic()
        await self._on_lost(error, self._losses == MOST_LOSSES)

    def _heard_for(self, seconds: float) -> bool:
        return self._opened_at is not None and time.monotonic() - self._opened_at >= seconds
