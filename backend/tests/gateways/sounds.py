"""What tests hear in PCM16 at 16 kHz."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backend.ports.speech import SAMPLE_RATE

_ENVELOPE = SAMPLE_RATE // 20

Sound = NDArray[np.int16]


def sound_of(audio: bytes) -> Sound:
    """The samples."""
    return np.frombuffer(audio, "<i2")


def seconds(sound: Sound) -> float:
    """How long it is."""
    return len(sound) / SAMPLE_RATE


def loudness(sound: Sound) -> float:
    """The root of the mean square."""
    return float(np.sqrt(np.mean(sound.astype(np.float64) ** 2)))


def pitch(sound: Sound) -> float:
    """The mean fundamental of what is voiced: the first lag at which the sound is like itself."""
    found: list[float] = []
    lags = np.arange(SAMPLE_RATE // 500, SAMPLE_RATE // 40)
    for start in range(0, len(sound) - 1800, 640):
        frame = sound[start : start + 1680].astype(np.float64)
        if loudness(sound[start : start + 1680]) < 600:
            continue
        own, total = frame[:1280], np.cumsum(np.concatenate([[0.0], frame**2]))
        like = np.array([own @ frame[lag : lag + 1280] for lag in lags])
        like /= np.sqrt((own @ own) * (total[lags + 1280] - total[lags]) + 1.0)
        peaks = np.flatnonzero((like[1:-1] > 0.9 * like.max()) & (like[1:-1] >= like[:-2]) & (like[1:-1] >= like[2:]))
        if like.max() > 0.75 and len(peaks):
            found.append(float(np.log(SAMPLE_RATE / lags[peaks[0] + 1])))
    return float(np.exp(np.mean(found)))


def alike(one: Sound, other: Sound) -> bool:
    """Whether the same was said: espeak-ng never says it twice with the same samples."""
    if abs(len(one) - len(other)) > 0.02 * len(one) + _ENVELOPE:
        return False
    count = min(len(one), len(other)) // _ENVELOPE
    mine, others = (_envelope(each[: count * _ENVELOPE]) for each in (one, other))
    return float(mine @ others / np.sqrt((mine @ mine) * (others @ others))) > 0.95


def _envelope(sound: Sound) -> NDArray[np.float64]:
    """How loud each twentieth of a second is, around its mean."""
    loud = np.sqrt(np.mean(sound.astype(np.float64).reshape(-1, _ENVELOPE) ** 2, axis=1))
    return loud - loud.mean()
