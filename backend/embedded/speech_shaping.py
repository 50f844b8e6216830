"""Raw speech as it is wanted: another sample rate, another tempo, another pitch.

espeak-ng's own rate is not true: at twice the words a minute its pauses shrink to an eighth, so a short sentence gets
almost four times as fast. Its tempo is changed here instead, where pauses and words change alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.float32]

BLOCK_OUT = 320
"""Samples of a block after resampling. A block before it is as many as the rates demand: 441 for 22,050 to 16,000."""
_REACH = 36  # samples to each side, at the lower of the two rates
_ROLL_OFF = 0.95  # of the Nyquist frequency: what is left below it is where the filter falls
_KAISER_BETA = 8.0  # aliases stay 80 dB below
_BLOCKS_AT_ONCE = 25

_FRAME, _HOP, _SEARCH = 480, 240, 160  # 30 ms every 15 ms, moved by 10 ms at most: a whole period of 50 Hz
_HOPS_AT_ONCE = 16


def shaped(raw: bytes, block_in: int, tempo: float) -> Iterator[bytes]:
    """PCM16 in pieces: `block_in` samples of `raw` become 320, and then the whole is played `tempo` times as fast.

    Tempo leaves the pitch alone; a `block_in` that is not what the rates demand changes both.
    """
    samples = np.frombuffer(raw, "<i2").astype(np.float32)
    if not len(samples):
        return
    slabs = resampled(samples, block_in)
    if abs(tempo - 1.0) > 1e-3:
        slabs = stretched(np.concatenate(list(slabs)), tempo)
    for slab in slabs:
        yield np.rint(np.clip(slab, -32_768, 32_767)).astype("<i2").tobytes()


def resampled(samples: Samples, block_in: int) -> Iterator[Samples]:
    """320 samples for every `block_in`, band-limited, without delay, half a second at a time."""
    weights = _weights(block_in)
    wanted = -(-len(samples) * BLOCK_OUT // block_in)
    blocks = -(-wanted // BLOCK_OUT)
    before = (weights.shape[0] - block_in) // 2
    padded = np.zeros((blocks - 1) * block_in + weights.shape[0], np.float32)
    padded[before : before + len(samples)] = samples[: len(padded) - before]
    windows = np.lib.stride_tricks.sliding_window_view(padded, weights.shape[0])[::block_in]
    for first in range(0, blocks, _BLOCKS_AT_ONCE):
        slab = (windows[first : first + _BLOCKS_AT_ONCE] @ weights).reshape(-1)
        yield slab[: wanted - first * BLOCK_OUT]


@lru_cache(maxsize=8)
def _weights(block_in: int) -> Samples:
    """What each sample of a block and its surroundings adds to each of the 320: a windowed sinc, row by column."""
    narrowest = min(1.0, BLOCK_OUT / block_in)
    reach = round(_REACH / narrowest)
    at = np.arange(BLOCK_OUT) * (block_in / BLOCK_OUT)
    distance = np.arange(-reach, block_in + reach)[:, None] - at[None, :]
    inside = np.clip(1.0 - (distance / reach) ** 2, 0.0, None)
    window = np.where(np.abs(distance) <= reach, np.i0(_KAISER_BETA * np.sqrt(inside)), 0.0)
    weights = np.sinc(narrowest * _ROLL_OFF * distance) * window
    return (weights / weights.sum(axis=0)).astype(np.float32)


def stretched(samples: Samples, tempo: float) -> Iterator[Samples]:
    """`samples` played `tempo` times as fast at the same pitch, a quarter of a second at a time.

    Overlapping frames are taken where they continue the last one best (WSOLA), so a voice keeps its periods.
    """
    wanted = round(len(samples) / tempo)
    # Room at both ends: no search and no frame leaves the array.
    padded = np.pad(samples, (_SEARCH, 2 * (_FRAME + _SEARCH)))
    fade: Samples = (0.5 - 0.5 * np.cos(np.pi * (np.arange(_HOP) + 0.5) / _HOP)).astype(np.float32)
    start, given = _SEARCH, 0
    parts: list[Samples] = [padded[start : start + _HOP]]
    for frame in range(1, -(-wanted // _HOP) + 1):
        if frame % _HOPS_AT_ONCE == 0 or frame * _HOP >= wanted:
            slab = np.concatenate(parts)[: wanted - given]
            yield slab
            given, parts = given + len(slab), []
        expected: Samples = padded[start + _HOP : start + _HOP + _FRAME]
        start = _best(padded, round(frame * _HOP * tempo) + _SEARCH, expected)
        last, following = expected[:_HOP], padded[start : start + _HOP]
        parts.append((last + (following - last) * fade).astype(np.float32, copy=False))


def _best(padded: Samples, ideal: int, expected: Samples) -> int:
    """Where around `ideal` the sound is most like the `expected` one."""
    first = min(ideal - _SEARCH, len(padded) - 2 * (_FRAME + _SEARCH))
    region = padded[first : first + 2 * _SEARCH + _FRAME]
    likeness = np.correlate(region, expected, "valid")
    energy = np.concatenate([np.zeros(1), np.cumsum(region.astype(np.float64) ** 2)])
    likeness = likeness / np.sqrt(energy[_FRAME:] - energy[:-_FRAME] + 1.0)
    best = int(np.argmax(likeness))
    return first + (best if likeness[best] > 0 else _SEARCH)  # in silence, any place is as good
