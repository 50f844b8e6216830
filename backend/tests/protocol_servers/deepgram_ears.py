"""How Deepgram listens to a conversation: the audio says when, a script says what was heard.

Loud audio begins an utterance and quiet audio ends it, by the samples that came and not by the clock, so the same
audio gives the same answers however fast it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from backend.tests.protocol_servers.speech_audio import CHARACTERS_A_SECOND

FRAME_SECONDS = 0.02
LOUD = 300
"""The root mean square of a frame in which somebody speaks."""
LOUD_FRAMES = 2
"""So many in a row are speech; one alone is a click."""
INTERIM_SECONDS = 0.2
REQUEST_ID = "8ad4ca21-b35e-4a7c-8b4b-3b9c2e6f6b4e"


@dataclass(frozen=True, slots=True)
class Utterance:
    """What is heard in one stretch of loud audio. Each of `pieces` is written down for good by itself.

    An empty one is noise: it begins as speech does, and there are no words in it. Without `speech_final` no quiet is
    found after it, and only `UtteranceEnd` comes.
    """

    pieces: tuple[str, ...]
    speech_final: bool = True

    @property
    def text(self) -> str:
        return " ".join(piece for piece in self.pieces if piece)


class DeepgramEars:
    """One conversation. `tell` is given what Deepgram would send, `next_utterance` says what is heard next."""

    def __init__(
        self,
        query: Mapping[str, str],
        tell: Callable[[dict[str, Any]], None],
        next_utterance: Callable[[], Utterance],
    ) -> None:
        self._tell = tell
        self._next_utterance = next_utterance
        self._rate = int(query.get("sample_rate", 16_000))
        self._frame_bytes = round(self._rate * FRAME_SECONDS) * 2
        self._endpointing = _milliseconds(query.get("endpointing", "10"))
        self._utterance_end = _milliseconds(query.get("utterance_end_ms", "false"))
        self._vad_events = query.get("vad_events") == "true"
        self._interim = query.get("interim_results") == "true"
        self._rest = b""
        self.seconds = 0.0
        self._loud_frames = 0
        self._began = 0.0
        self._loud_until = 0.0
        self._written_until = 0.0
        self._utterance: Utterance | None = None
        self._written: list[str] = []
        self._next_interim = 0.0
        self._last_word_end: float | None = None

    def hear(self, pcm: bytes) -> None:
        """The next audio."""
        audio = self._rest + pcm
        whole = len(audio) - len(audio) % self._frame_bytes
        self._rest = audio[whole:]
        if not whole:
            return
        frames = np.frombuffer(audio[:whole], "<i2").reshape(-1, self._frame_bytes // 2).astype(np.float32)
        for loud in (np.sqrt((frames**2).mean(axis=1)) > LOUD).tolist():
            self.seconds += FRAME_SECONDS
            if loud:
                self._hear_loud()
            else:
                self._hear_quiet()

    def finalize(self) -> None:
        """Write down what there is, and say so also where there is nothing."""
        self._write_all(asked=True, speech_final=True)

    def flush(self) -> None:
        """Write down what there is, at the end of all audio."""
        if self._utterance is not None:
            self._write_all(speech_final=True)

    def metadata(self) -> dict[str, Any]:
        """What is said last."""
        return {
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": REQUEST_ID,
            "sha256": "0" * 64,
            "created": "2026-01-05T09:00:00.000Z",
            "duration": round(self.seconds, 3),
            "channels": 1,
        }

    def _hear_loud(self) -> None:
        self._loud_frames += 1
        if self._utterance is None:
            if self._loud_frames < LOUD_FRAMES:
                return
            self._begin()
        self._loud_until = self.seconds
        if self._interim and self.seconds >= self._next_interim:
            self._next_interim = self.seconds + INTERIM_SECONDS
            self._guess()

    def _begin(self) -> None:
        self._utterance = self._next_utterance()
        self._written = []
        self._began = self._written_until = self.seconds - LOUD_FRAMES * FRAME_SECONDS
        self._next_interim = self.seconds + INTERIM_SECONDS
        if self._vad_events:
            self._tell({"type": "SpeechStarted", "channel": [0, 1], "timestamp": round(self._began, 3)})

    def _hear_quiet(self) -> None:
        self._loud_frames = 0
        quiet = self.seconds - self._loud_until + FRAME_SECONDS / 2  # sums of hundredths are never quite there
        if self._utterance is not None and quiet >= self._endpointing:
            self._write_all(speech_final=self._utterance.speech_final and bool(self._utterance.text))
        if self._last_word_end is not None and quiet >= self._utterance_end:
            self._tell({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": round(self._last_word_end, 3)})
            self._last_word_end = None

    def _guess(self) -> None:
        """Tell as many words as can have been spoken, and write down a piece that is surely over."""
        assert self._utterance is not None
        spoken = int((self.seconds - self._began) * CHARACTERS_A_SECOND)
        before = sum(len(piece) + 1 for piece in self._written)
        rest = self._utterance.pieces[len(self._written) :]
        if len(rest) > 1 and spoken >= before + len(rest[0]):
            self._results(rest[0], self.seconds, is_final=True)
            self._written.append(rest[0])
        elif rest and (words := _spoken(rest[0], spoken - before)):
            self._results(words, self.seconds)

    def _write_all(self, *, speech_final: bool, asked: bool = False) -> None:
        """The rest of the utterance for good; its last word ends where it was last loud."""
        utterance, self._utterance = self._utterance, None
        pieces = list(utterance.pieces[len(self._written) :]) if utterance else []
        until = self._loud_until if utterance else self.seconds
        begins = self._written_until if utterance else self.seconds
        share = (until - begins) / max(1, len(pieces))
        for place, piece in enumerate(pieces[:-1]):
            self._results(piece, begins + (place + 1) * share, is_final=True)
        self._results(
            pieces[-1] if pieces else "", until, is_final=True, speech_final=speech_final, from_finalize=asked
        )

    def _results(
        self,
        text: str,
        until: float,
        *,
        is_final: bool = False,
        speech_final: bool = False,
        from_finalize: bool = False,
    ) -> None:
        begins = min(self._written_until, until)
        words = timed(text, begins, until)
        if words:
            self._last_word_end = until
        if is_final:
            self._written_until = until
        self._tell({
            "type": "Results",
            "channel_index": [0, 1],
            "start": round(begins, 3),
            "duration": round(until - begins, 3),
            "is_final": is_final,
            "speech_final": speech_final,
            "from_finalize": from_finalize,
            "channel": {"alternatives": [{"transcript": text, "confidence": 0.98 if text else 0.0, "words": words}]},
            "metadata": {
                "request_id": REQUEST_ID,
                "model_info": {"name": "2-general-nova", "version": "2024-01-18.26916", "arch": "nova-2"},
                "model_uuid": "1dbdfb4d-85b2-4659-9831-16b3c76229aa",
            },
        })  # fmt: skip


def timed(text: str, begins: float, until: float) -> list[dict[str, Any]]:
    """The words, each as long as the others, the last one ending at `until`."""
    said = text.split()
    step = (until - begins) / max(1, len(said))
    return [
        {
            "word": word.strip(".,!?").lower(),
            "punctuated_word": word,
            "start": round(begins + place * step, 3),
            "end": round(begins + (place + 1) * step, 3),
            "confidence": 0.98,
        }
        for place, word in enumerate(said)
    ]


def _spoken(text: str, characters: int) -> str:
    """The words that have been begun after so many characters; the first one at once."""
    end = text.find(" ", max(characters, 0))
    return text if end < 0 else text[:end]


def _milliseconds(value: str) -> float:
    return float(value) / 1000 if value.isdigit() else float("inf")
