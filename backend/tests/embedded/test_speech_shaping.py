"""Another rate, tempo and pitch: what was there stays what it was, and nothing is added."""

from __future__ import annotations

import numpy as np
import pytest

from backend.embedded.speech_shaping import Samples, resampled, shaped, stretched

BEFORE, AFTER = 22_050, 16_000
BLOCK = 441
LOUD = 10_000.0


def tone(hertz: float, rate: int, seconds: float = 1.0) -> Samples:
    return (LOUD * np.sin(2 * np.pi * hertz / rate * np.arange(round(rate * seconds)))).astype(np.float32)


def at_16_khz(samples: Samples) -> Samples:
    return np.concatenate(list(resampled(samples, BLOCK)))


def loudness(samples: Samples) -> float:
    """In decibels below the tone; the ends, where a tone begins out of nothing, do not count."""
    inside = samples[800:-800].astype(np.float64)
    return float(20 * np.log10(np.sqrt(np.mean(inside**2)) / (LOUD / np.sqrt(2)) + 1e-12))


def foreign(samples: Samples, hertz: float) -> float:
    """How loud all is that is not this tone, in decibels below it."""
    inside = samples[800:-800].astype(np.float64)
    at = 2 * np.pi * hertz / AFTER * np.arange(len(inside))
    waves = np.stack([np.sin(at), np.cos(at)], axis=1)
    share = np.linalg.lstsq(waves, inside, rcond=None)[0]
    return float(20 * np.log10(np.sqrt(np.mean((inside - waves @ share) ** 2)) / (LOUD / np.sqrt(2)) + 1e-12))


@pytest.mark.parametrize("hertz", [50, 200, 1000, 3000, 6000, 7000])
def test_what_is_heard_of_speech_passes_unchanged(hertz: int) -> None:
    heard = at_16_khz(tone(hertz, BEFORE))
    assert len(heard) == AFTER
    assert abs(loudness(heard)) < 0.1
    assert foreign(heard, hertz) < -80


@pytest.mark.parametrize("hertz", [8300, 9000, 10_000, 11_000])
def test_what_the_lower_rate_cannot_hold_does_not_come_back_as_another_tone(hertz: int) -> None:
    assert loudness(at_16_khz(tone(hertz, BEFORE))) < -75


def test_resampling_does_not_delay() -> None:
    click = np.zeros(BEFORE, np.float32)
    click[BEFORE // 2] = LOUD
    assert int(np.argmax(at_16_khz(click))) == AFTER // 2


def test_pieces_of_a_long_sound_meet_without_a_seam() -> None:
    heard = list(resampled(tone(440, BEFORE, 3), BLOCK))
    assert len(heard) > 3
    assert foreign(np.concatenate(heard), 440) < -80


@pytest.mark.parametrize("tempo", [0.38, 0.5, 0.9, 1.1, 2.0, 2.96])
@pytest.mark.parametrize("hertz", [60, 110, 220, 437])
def test_tempo_leaves_the_pitch_alone(hertz: int, tempo: float) -> None:
    heard = np.concatenate(list(stretched(tone(hertz, AFTER, 2), tempo)))
    assert len(heard) == round(2 * AFTER / tempo)
    peak = int(np.argmax(np.abs(np.fft.rfft(heard * np.hanning(len(heard))))))
    assert peak * AFTER / len(heard) == pytest.approx(hertz, abs=1.5)
    assert abs(loudness(heard)) < 0.5


@pytest.mark.parametrize("length", [0, 1, 5, 240, 241, 480, 1000])
@pytest.mark.parametrize("tempo", [0.4, 1.0, 3.0])
def test_short_sounds_have_their_length(length: int, tempo: float) -> None:
    raw = np.full(length, 1000, "<i2").tobytes()
    heard = b"".join(shaped(raw, BLOCK, tempo))
    assert len(heard) // 2 == pytest.approx(length * AFTER / BEFORE / tempo, abs=3)
    assert len(heard) % 2 == 0


def test_silence_stays_silence() -> None:
    assert not any(b"".join(shaped(bytes(2 * BEFORE), BLOCK, 0.7)))


def test_the_loudest_sound_does_not_turn_over() -> None:
    square = np.where(tone(100, BEFORE) >= 0, 32_767, -32_768).astype("<i2")
    heard = np.frombuffer(b"".join(shaped(square.tobytes(), BLOCK, 1.0)), "<i2")
    middle = heard[AFTER // 100 * 10 + 40 : AFTER // 100 * 10 + 50]  # in the middle of a positive half
    assert middle.min() > 30_000
