"""The voice of this machine: espeak-ng in processes of its own, because its library keeps one state and may crash."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from backend.errors import SpeechError, SpeechFailed, SpeechTimeout, SpeechUnavailable
from backend.gateways.espeak_child import COMMAND, ChildGone, EspeakChild
from backend.gateways.espeak_voices import PROVIDER, EspeakVoice, espeak_voice
from backend.gateways.said_words import SaidWords
from backend.gateways.spoken_text import spoken_pieces, spoken_text
from backend.models.voice import VoiceSettings
from backend.ports.speech import SAMPLE_RATE, OnSaid, Voice

PROCESSES = 2
SENTENCE_SECONDS = 20.0
LONGEST_TEXT = 100_000


class _Interrupted(SpeechFailed):
    """The process ended within a sentence."""


class _Answer:
    """One piece of a text on its way; `said` is complete before the first audio is heard."""

    def __init__(self) -> None:
        self.said: deque[tuple[int, float]] = deque()
        self.heard: asyncio.Queue[bytes | SpeechError | None] = asyncio.Queue()

    def take(self, kind: bytes, body: bytes) -> None:
        """A frame of the process that is not its last."""
        if kind == b"A":
            self.heard.put_nowait(body)
        else:
            self.said.extend((characters, seconds) for characters, seconds in json.loads(body))


class LocalVoice:
    """A `TextToSpeech` without a key. Starts nothing until it is asked; then at most `processes`, kept until `close`.

    A process works on a sentence for milliseconds and goes on to the next caller's, however slowly the audio is taken.
    `seconds` bound each sentence, once the wait for a process and once the speaking.
    """

    def __init__(
        self, *, processes: int = PROCESSES, seconds: float = SENTENCE_SECONDS, command: Sequence[str] = COMMAND
    ) -> None:
        self._seconds = seconds
        self._command = command
        self._free = asyncio.Semaphore(processes)
        self._idle: list[EspeakChild] = []
        self._making: dict[asyncio.Task[None], EspeakChild] = {}
        self._known: tuple[EspeakVoice, ...] = ()
        self._closed = False

    async def speak(
        self,
        text: str,
        voice: VoiceSettings,
        *,
        before: str = "",  # noqa: ARG002 — espeak-ng knows no melody beyond a sentence
        after: str = "",  # noqa: ARG002
        on_said: OnSaid | None = None,
    ) -> AsyncGenerator[bytes]:
        """PCM16 at 16 kHz, with the pause that follows a sentence; nothing for a text without words.

        `voice` may name a voice of another provider: see `espeak_voice`. Markup is not interpreted.
        Errors: `SpeechUnavailable`, `SpeechTimeout`, `SpeechFailed`, the last for more than 100,000 characters, too.
        """
        if len(text) > LONGEST_TEXT:
            raise SpeechFailed(
                f"A text of {len(text):,} characters is too long to be spoken: at most {LONGEST_TEXT:,}",
                provider=PROVIDER,
            )
        fit = spoken_text(text)
        if not fit:
            return
        name = espeak_voice(voice, await self._voices())
        words = SaidWords(text, fit, on_said) if on_said else None
        for piece in spoken_pieces(fit):
            async with aclosing(self._said(piece, name, voice, words)) as audio:
                async for part in audio:
                    yield part

    async def prepare(self) -> None:
        """Start a process, unless one has been started. Errors: `SpeechUnavailable`, `SpeechTimeout`."""
        await self._voices()

    async def voices(self) -> Sequence[Voice]:
        """Those of espeak-ng, about 140. Errors: `SpeechUnavailable`, `SpeechTimeout`."""
        return [one.offered() for one in await self._voices()]

    async def close(self) -> None:
        """End the processes; who still listens gets `SpeechUnavailable`."""
        self._closed = True
        for child in self._making.values():
            child.kill()
        if self._making:
            await asyncio.wait(self._making)
        while self._idle:
            await self._idle.pop().end()

    async def _voices(self) -> Sequence[EspeakVoice]:
        if not self._known:
            self._give_back(await self._take())
        return self._known

    async def _said(self, text: str, name: str, voice: VoiceSettings, words: SaidWords | None) -> AsyncGenerator[bytes]:
        """One piece of a text; tried again in another process when the first died before its first sound."""
        tries, begun = 2, False
        while tries:
            tries -= 1
            child, answer = await self._take(), _Answer()
            making = asyncio.create_task(self._make(child, text, name, voice, answer))
            self._making[making] = child
            making.add_done_callback(self._making.__delitem__)
            while isinstance(part := await answer.heard.get(), bytes):
                begun = True
                if words:
                    words.hear(answer.said, len(part))
                yield part
            if part is None:
                if words:
                    words.end(len(text), answer.said)
                return
            if begun or not tries or not isinstance(part, _Interrupted):
                raise part

    async def _make(
        self,
        child: EspeakChild,
        text: str,
        name: str,
        voice: VoiceSettings,
        answer: _Answer,
    ) -> None:
        """Read a whole answer, also when nobody listens any more: it is short, and leaves the process fit for use."""
        outcome: SpeechError | None = _closed()
        spoken = False
        try:
            async with asyncio.timeout(self._seconds):
                await child.ask(text, name, speed=voice.speed, pitch=voice.pitch, rate=SAMPLE_RATE)
                while (frame := await child.frame())[0] in (b"W", b"A"):
                    answer.take(*frame)
            spoken = True
            outcome = None if frame[0] == b"E" else SpeechFailed(frame[1].decode(), provider=PROVIDER)
        except TimeoutError:
            outcome = SpeechTimeout(
                f"The local voice did not finish a sentence in {self._seconds:g} seconds", provider=PROVIDER
            )
        except ChildGone:
            if not self._closed:
                outcome = _Interrupted("The local voice ended in the middle of a sentence", provider=PROVIDER)
        finally:
            if not spoken:
                await child.end()
            answer.heard.put_nowait(outcome)
            self._give_back(child)

    async def _take(self) -> EspeakChild:
        """A process that is ready, for one request."""
        try:
            async with asyncio.timeout(self._seconds):
                await self._free.acquire()
                try:
                    return await self._ready()
                except BaseException:
                    self._free.release()
                    raise
        except TimeoutError as error:
            raise SpeechTimeout(
                f"The local voice was not ready within {self._seconds:g} seconds", provider=PROVIDER
            ) from error

    async def _ready(self) -> EspeakChild:
        while self._idle and not self._closed:
            child = self._idle.pop()
            if child.alive:
                return child
            await child.end()
        if self._closed:
            raise _closed()
        child = await EspeakChild.start(self._command)
        self._known = child.voices
        if self._closed:
            await child.end()
            raise _closed()
        return child

    def _give_back(self, child: EspeakChild) -> None:
        if child.alive:
            self._idle.append(child)
        self._free.release()


def _closed() -> SpeechUnavailable:
    return SpeechUnavailable("The local voice is closed: the server is stopping", provider=PROVIDER)
