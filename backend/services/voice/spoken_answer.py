"""One answer being spoken: its text becomes sentences, these become audio, and the audio goes out as it is played."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import aclosing
from uuid import UUID

from backend.models.voice_frames import AudioEnd, AudioStart
from backend.services.hearing import Hearing
from backend.services.speakers import ChosenVoice
from backend.services.speech_service import SpeechService
from backend.services.spoken_segments import Utterance
from backend.services.voice.playback import Playback
from backend.services.voice.sentences import Sentence, Sentences
from backend.services.voice.timeline import BYTES_A_MS, Timeline
from backend.services.voice.voice_socket import VoiceSocket

AHEAD_SECONDS = 0.4
"""The client has no more audio than this: it is what an interruption finds in its buffer."""
_FRAME = 40 * BYTES_A_MS
_SHORTEST_FRAME = 20 * BYTES_A_MS
_AT_LEAST_AHEAD = 0.06
"""Seconds; with less, even a short frame is sent at once."""
_TELL_EVERY = 0.05
KEPT_MS = 10_000
"""What was heard longer ago is never sent again."""
_AROUND = 300


class SpokenAnswer:
    """Made for one turn; `run` once. The other methods may be called at any time, before, while and after it runs.

    The audio of a sentence is made while the one before it is sent, and no more than that. What was sent is kept until
    it is surely heard, so that `resume` makes nothing again. `hearing` is told what is heard, but never settled here.
    """

    def __init__(
        self,
        speech: SpeechService,
        tenant_id: UUID,
        voice: ChosenVoice,
        turn: int,
        socket: VoiceSocket,
        hearing: Hearing,
        *,
        kept_ms: int = KEPT_MS,
    ) -> None:
        self._speech = speech
        self._tenant_id = tenant_id
        self._voice = voice
        self._turn = turn
        self._socket = socket
        self._hearing = hearing
        self._kept = kept_ms * BYTES_A_MS
        self._sentences = Sentences()
        self._waiting: deque[Sentence] = deque()
        self._whole_text = False
        self._before = ""
        self._timeline = Timeline()
        self._making_from = 0
        self._audio: bytearray = bytearray()
        self._audio_from = 0
        self._playback = Playback()
        self._announced = False
        self._ended = False
        self._held = False
        self._dropped = False
        self._stopped = False
        self._news = asyncio.Event()
        self.first_sentence_at: float | None = None
        self.first_byte_at: float | None = None
        self.first_audio_at: float | None = None

    @property
    def audible(self) -> bool:
        """Whether audio was sent that is, as far as known, not yet played to its end; not while it is held."""
        return not self._held and not self._stopped and self._playback.left > 0

    def push(self, text: str) -> None:
        """More of the answer's text."""
        if not self._whole_text:
            self._take(self._sentences.push(text))

    def end_of_text(self) -> None:
        """That was all of it."""
        if not self._whole_text:
            self._whole_text = True
            self._take(self._sentences.rest())

    def pause_of_text(self) -> None:
        """More text may come, but not soon: what there is is said now."""
        self._take(self._sentences.rest())

    def hold(self) -> bool:
        """The person may have begun to speak: from now on nothing is sent, until `resume`.

        Whether the client has audio that it must drop.
        """
        audible = self.audible
        if not self._held:
            self._held, self._dropped = True, audible
            self._playback.pause()
        return audible

    def resume(self) -> None:
        """It was nothing: go on from where it was heard, from the beginning of a word where that is known."""
        if not self._held:
            return
        self._held = False
        if self._dropped:
            word = self._timeline.word_began(self._playback.surely // BYTES_A_MS) * BYTES_A_MS
            self._playback.rewind(max(word, self._audio_from))
            self._announced = self._ended = False
        self._news.set()

    def played(self, ms: int) -> None:
        """The client says that so much of the audio was played."""
        self._playback.tell(ms)
        self._tell_hearing()
        self._news.set()

    def stop(self) -> None:
        """Enough: no more audio, and `run` ends."""
        if not self._stopped:
            self._stopped = True
            self._playback.pause()
            self._news.set()

    def heard_to(self) -> tuple[int, int]:
        """How many characters of the answer, and how many ms of its audio, were heard by now."""
        ms = self._playback.heard // BYTES_A_MS
        return self._timeline.heard(ms), ms

    async def run(self) -> None:
        """Until all of it was played, as far as is known, or `stop`.

        Errors: `SpeechError`, after the audio that was there was played; `SocketGone`.
        """
        making = asyncio.create_task(self._make())
        making.add_done_callback(lambda _: self._news.set())
        try:
            going_on = True
            while going_on and not self._stopped:
                going_on = await self._go_on(making)
                self._tell_hearing()
        finally:
            making.cancel()
            await asyncio.wait({making})
            if not making.cancelled():
                making.exception()  # raised already, or nobody listens any more

    async def _go_on(self, making: asyncio.Task[None]) -> bool:
        """Do, or wait for, the next thing; False when there is none any more."""
        playback = self._playback
        if self._held:
            await self._something(None)
        elif self._ready(last=making.done()):
            await self._send()
        elif not making.done():
            await self._something(_TELL_EVERY if playback.left else None)
        elif self._announced and not self._ended:
            self._ended = True
            await self._socket.tell(AudioEnd(turn=self._turn, ms=playback.sent // BYTES_A_MS))
        elif playback.left:
            await self._something(min(_TELL_EVERY, playback.left))
        else:
            playback.finish()
            making.result()
            return False
        return True

    def _ready(self, *, last: bool) -> bool:
        """Whether there is audio to be sent now or soon; not while there is time to wait for a longer frame of it."""
        there = self._timeline.made - self._playback.sent
        return there >= _SHORTEST_FRAME or (there > 0 and (last or self._playback.ahead <= _AT_LEAST_AHEAD))

    async def _send(self) -> None:
        """The next frame, as soon as it may be."""
        playback = self._playback
        begin = playback.sent - self._audio_from
        frame = bytes(self._audio[begin : begin + _FRAME])
        early = playback.ahead + len(frame) / BYTES_A_MS / 1000 - AHEAD_SECONDS
        if early > 0:
            await self._something(early)
        elif not self._announced:
            self._announced = True
            await self._socket.tell(AudioStart(turn=self._turn, from_ms=playback.sent // BYTES_A_MS))
        else:
            self.first_audio_at = self.first_audio_at or time.monotonic()
            playback.send(len(frame))
            self._forget()
            self._news.set()  # the next sentence may be made
            await self._socket.play(frame)

    def _forget(self) -> None:
        surely = self._playback.surely - self._kept - self._audio_from
        if surely > self._kept:  # seldom, because it moves all the others
            del self._audio[:surely]
            self._audio_from += surely

    def _tell_hearing(self) -> None:
        if not self._stopped:
            self._hearing.heard(*self.heard_to())

    async def _make(self) -> None:
        """The audio of all sentences. Errors: `SpeechError`."""
        while (sentence := await self._next()) is not None:
            self._making_from = self._timeline.made
            self._timeline.begin(sentence)
            if _has_words(sentence.text):
                await self._synthesise(sentence.text)
            self._timeline.complete()
            self._before = f"{self._before} {sentence.text}"[-_AROUND:].lstrip()

    async def _next(self) -> Sentence | None:
        """The next sentence, once the one before it is being sent; None after the last."""
        while True:
            if self._playback.most > self._making_from or self._making_from == self._timeline.made:
                if self._waiting:
                    return self._waiting.popleft()
                if self._whole_text:
                    return None
            await self._something(None)

    async def _synthesise(self, text: str) -> None:
        after = self._waiting[0].text[:_AROUND] if self._waiting else ""
        said = Utterance(text, self._before, after)
        source = self._speech.speak(self._tenant_id, self._voice, said, on_said=self._timeline.said)
        async with aclosing(source):
            async for piece in source:
                self.first_byte_at = self.first_byte_at or time.monotonic()
                self._audio += piece
                self._timeline.make(len(piece))
                self._news.set()

    def _take(self, sentences: list[Sentence]) -> None:
        self._waiting += sentences
        if self.first_sentence_at is None and any(_has_words(one.text) for one in sentences):
            self.first_sentence_at = time.monotonic()
        self._news.set()

    async def _something(self, seconds: float | None) -> None:
        """Wait for news, so many seconds at most."""
        self._news.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass


def _has_words(text: str) -> bool:
    return any(char.isalnum() for char in text)
