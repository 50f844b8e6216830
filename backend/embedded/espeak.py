"""Speech on this machine: espeak-ng from the wheel `espeakng-loader`, without a key, a network or a system package.

The C library keeps one global state and may crash, so it belongs into a process of its own: see `espeak_process`.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import espeakng_loader  # pyright: ignore[reportMissingTypeStubs]
import numpy as np

from backend.embedded.speech_shaping import BLOCK_OUT, shaped

_SYNCHRONOUS = 2
_BUFFER_MILLISECONDS = 60
_DO_NOT_EXIT = 0x8000  # when the data are not found, say so instead of ending the process
_UTF8_WITH_LAST_PAUSE = 0x1000 | 1  # without the last pause, sentences that are spoken one by one run into each other
_PITCH = 3
_LAST_EVENT, _WORD_BEGINS = 0, 1
_SILENT = 100  # of 32,768: far below every consonant, and the pauses are zero
_LONGEST_SECONDS = 900
"""More than 300 characters can mean in any language, emoji by name included: who speaks longer has lost its way."""

# What the parameter of espeak-ng does to the fundamental: measured, the mean of five voices, each within 8 %.
_PITCH_PARAMETERS = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 99)
_PITCH_FACTORS = (0.74, 0.775, 0.83, 0.87, 0.923, 1.0, 1.07, 1.166, 1.28, 1.41, 1.536)


class _Event(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_int),
        ("sentence", ctypes.c_uint),
        ("position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )


_Take = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True, slots=True)
class Speech:
    """PCM16 in pieces. By each of `said` so many characters of the text were said after so many seconds, in order."""

    said: Sequence[tuple[int, float]]
    pieces: Iterator[bytes]


class EspeakError(RuntimeError):
    """espeak-ng does not start, has no such voice, or did not come to an end; the text is for people."""


class _VoiceRecord(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("unused", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


class Espeak:
    """The engine. One per process, one call at a time. Errors: `EspeakError`."""

    def __init__(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """`stopped` is asked while it speaks; once it says yes, the rest is not spoken."""
        self._data = Path(espeakng_loader.get_data_path())
        self._library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        self._library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceRecord))
        self._rate: int = self._library.espeak_Initialize(
            _SYNCHRONOUS, _BUFFER_MILLISECONDS, str(self._data).encode(), _DO_NOT_EXIT
        )
        if self._rate <= 0:
            raise EspeakError(
                "espeak-ng does not start: its data were not found; reinstall the package espeakng-loader"
            )
        self._stopped = stopped
        self._raw = bytearray()
        self._begun: list[tuple[int, int]] = []
        self._callback = _Take(self._take)  # held here, or it is collected while C still calls it
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, voice: str, *, speed: float, pitch: float, rate: int) -> Speech:
        """PCM16 mono of `rate` samples a second. `speed` and `pitch` are factors from 0.5 to 2.0."""
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise EspeakError(f"espeak-ng has no voice {voice}")
        factor = float(np.clip(pitch, _PITCH_FACTORS[0], _PITCH_FACTORS[-1]))
        parameter = round(float(np.interp(math.log(factor), np.log(_PITCH_FACTORS), _PITCH_PARAMETERS)))
        self._library.espeak_SetParameter(_PITCH, parameter, 0)
        block_in = round(BLOCK_OUT * self._rate / rate * pitch / factor)
        faster = block_in * rate / BLOCK_OUT / self._rate
        raw, tempo = self._synthesised(text), speed / faster
        seconds = BLOCK_OUT / block_in / tempo / rate
        said = [(characters, sample * seconds) for characters, sample in self._said(len(text))]
        return Speech(said, shaped(raw, block_in, tempo))

    def voices(self) -> list[dict[str, Any]]:
        """What can be spoken: `voice_id`, `name`, and `languages` with its rank for each, the lowest the best."""
        records = self._library.espeak_ListVoices(None)
        found: list[dict[str, Any]] = []
        for position in range(10_000):
            if not records[position]:
                break
            record = records[position].contents
            identifier = record.identifier.decode()
            if self._has_words(identifier):
                voice_id, name = identifier.rsplit("/", 1)[-1].lower(), record.name.decode().strip()
                found.append({"voice_id": voice_id, "name": name, "languages": _languages(record.languages)})
        return found

    def _synthesised(self, text: str) -> bytes:
        self._raw.clear()
        self._begun.clear()
        words = text.encode("utf-8", "replace").replace(b"\0", b" ") + b"\0"
        self._library.espeak_Synth(words, len(words), 0, 1, 0, _UTF8_WITH_LAST_PAUSE, None, None)
        if len(self._raw) >= self._most_bytes:
            raise EspeakError(f"espeak-ng spoke for more than {_LONGEST_SECONDS} seconds on one sentence")
        return bytes(self._raw)

    def _said(self, characters: int) -> Iterator[tuple[int, int]]:
        """How many characters were said by which sample: the library tells where words begin, so by then all before.

        Pauses are not part of the word before them.
        """
        loud = np.flatnonzero(np.abs(np.frombuffer(self._raw, "<i2").astype(np.int32)) > _SILENT)
        most = 0
        for position, sample in [*self._begun, (characters, len(self._raw) // 2)]:
            if most < position <= characters:
                most, before = position, int(np.searchsorted(loud, sample))
                yield position, int(loud[before - 1]) + 1 if before else 0

    @property
    def _most_bytes(self) -> int:
        return 2 * self._rate * _LONGEST_SECONDS

    def _take(self, samples: int | None, count: int, events: Any) -> int:
        """Called from C with what it has made; 1 makes it stop."""
        if samples and count > 0:
            self._raw += ctypes.string_at(samples, 2 * count)
        at = 0
        while events[at].kind != _LAST_EVENT:
            if events[at].kind == _WORD_BEGINS:
                self._begun.append((events[at].position - 1, events[at].sample))  # it counts from 1
            at += 1
        return int(len(self._raw) >= self._most_bytes or self._stopped())

    def _has_words(self, identifier: str) -> bool:
        """Whether the wheel carries the dictionary of a voice: of a few in its list it does not."""
        lines = (self._data / "lang" / identifier).read_text("utf-8").splitlines()
        named = [line.split()[1] for line in lines if line.startswith("dictionary ")]
        own = identifier.rsplit("/", 1)[-1].partition("-")[0].lower()
        return (self._data / f"{named[0] if named else own}_dict").is_file()


def _languages(at: int) -> list[tuple[str, int]]:
    """A C list of one byte of rank and a string each, ended by a rank of zero."""
    found: list[tuple[str, int]] = []
    while rank := ctypes.c_ubyte.from_address(at).value:
        tag = ctypes.string_at(at + 1)
        found.append((tag.decode().lower(), rank))
        at += 2 + len(tag)
    return found
