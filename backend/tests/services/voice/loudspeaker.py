"""What a client does with an answer's audio: it plays it in real time, and drops it when it is told to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from backend.models.voice_frames import AudioEnd, AudioStart, ServerFrame
from backend.services.voice.timeline import BYTES_A_MS
from backend.tests.fake_voice_socket import FakeVoiceSocket


class Loudspeaker:
    """Plays what its `socket` is sent. `pieces` are the places and the audio that came out of it.

    `on_audio` is called after each frame of audio.
    """

    def __init__(self) -> None:
        self.socket = FakeVoiceSocket(self._take)
        self.pieces: list[tuple[int, bytes]] = []
        self.most_ahead_ms = 0.0
        self.gaps_ms: list[float] = []
        self.on_audio: Callable[[], None] = lambda: None
        self._from = 0
        self._buffer = b""
        self._ends_at = 0.0

    @property
    def played(self) -> int:
        """How many bytes of the answer's audio have come out by now."""
        return self._from + len(self._out())

    @property
    def played_ms(self) -> int:
        return self.played // BYTES_A_MS

    def drop(self) -> None:
        """Be silent at once."""
        out = self._out()
        self.pieces.append((self._from, out))
        self._from, self._buffer, self._ends_at = self._from + len(out), b"", 0.0

    async def has_played(self, ms: int) -> None:
        """Wait until so much came out."""
        async with asyncio.timeout(30):
            while self.played < ms * BYTES_A_MS:  # noqa: ASYNC110 — a loudspeaker tells nobody
                await asyncio.sleep(0.002)

    def lost_and_doubled(self, audio: bytes) -> tuple[int, list[int]]:
        """Of this audio: how many bytes never came out, and how much each beginning after a silence repeated."""
        self.drop()
        lost, doubled, end = 0, list[int](), 0
        for begin, piece in self.pieces:
            assert audio[begin : begin + len(piece)] == piece
            lost += max(0, begin - end)
            if begin < end:
                doubled.append(end - begin)
            end = max(end, begin + len(piece))
        return lost + len(audio) - end, doubled

    def _out(self) -> bytes:
        left = max(0, round((self._ends_at - time.monotonic()) * 1000)) * BYTES_A_MS
        return self._buffer[: max(0, len(self._buffer) - left)]

    def _take(self, what: bytes | ServerFrame) -> None:
        now = time.monotonic()
        if isinstance(what, AudioStart):
            self.drop()
            self._from = what.from_ms * BYTES_A_MS
        elif isinstance(what, AudioEnd):
            assert what.ms == (self._from + len(self._buffer)) // BYTES_A_MS
        elif isinstance(what, bytes):
            if self._buffer and now > self._ends_at:
                self.gaps_ms.append((now - self._ends_at) * 1000)
            self._ends_at = max(now, self._ends_at) + len(what) / BYTES_A_MS / 1000
            self._buffer += what
            self.most_ahead_ms = max(self.most_ahead_ms, (self._ends_at - now) * 1000)
            self.on_audio()
