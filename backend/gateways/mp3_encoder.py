"""MP3 from PCM16, by LAME from the wheel `lameenc`: a shared library of its own, used as it comes (LGPL-3)."""

from __future__ import annotations

from typing import Any, cast

import lameenc  # pyright: ignore[reportMissingTypeStubs, reportMissingImports]

from backend.ports.speech import SAMPLE_RATE

KILOBITS_A_SECOND = 64
_QUALITY = 5  # of 0 (best) to 9: a second of speech takes a millisecond


class Mp3Encoder:
    """An `AudioEncoder`: 16 kHz mono at a constant 64 kbit/s, so that players know the length by the size."""

    def __init__(self) -> None:
        self._lame: Any = cast("Any", lameenc).Encoder()
        self._lame.set_bit_rate(KILOBITS_A_SECOND)
        self._lame.set_in_sample_rate(SAMPLE_RATE)
        self._lame.set_out_sample_rate(SAMPLE_RATE)
        self._lame.set_channels(1)
        self._lame.set_quality(_QUALITY)
        self._lame.silence()
        self._begun = False
        self._half = b""

    def encode(self, pcm: bytes) -> bytes:
        """See `AudioEncoder.encode`."""
        pcm = self._half + pcm
        whole = len(pcm) - len(pcm) % 2
        self._half = pcm[whole:]
        if not whole:
            return b""
        self._begun = True
        return bytes(self._lame.encode(pcm[:whole]))

    def finish(self) -> bytes:
        """See `AudioEncoder.finish`."""
        return bytes(self._lame.flush()) if self._begun else b""
