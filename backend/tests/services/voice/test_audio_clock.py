"""A moment of audio has a time."""

from __future__ import annotations

import pytest

from backend.services.voice.audio_clock import AudioClock

FRAME = bytes(640)  # 20 ms


def test_a_moment_is_when_its_frame_came() -> None:
    clock = AudioClock()
    for number in range(50):
        clock.heard(FRAME, 100.0 + number * 0.03)  # slower than it is spoken

    assert clock.at(0.02) == 100.0
    assert clock.at(0.5) == pytest.approx(100.0 + 24 * 0.03)
    assert clock.at(0.49) == pytest.approx(100.0 + 24 * 0.03)


def test_what_is_said_to_lie_beyond_the_audio_is_its_end() -> None:
    clock = AudioClock()
    clock.heard(FRAME, 7.0)

    assert clock.at(0.04) == 7.0


def test_nothing_is_known_without_audio_or_of_long_ago() -> None:
    clock = AudioClock()
    assert clock.at(1.0) is None
    for number in range(6_000):
        clock.heard(FRAME, float(number))

    assert clock.at(1.0) is None
    assert clock.at(119.0) is not None
