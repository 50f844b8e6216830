"""MP3s of samples, read frame by frame."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from backend.gateways.mp3_encoder import Mp3Encoder
from backend.tests.mp3_frames import Frame, frames_of, seconds_of_mp3
from backend.tests.protocol_servers.speech_audio import hummed


def encoded(pcm: bytes, size: int = 4096) -> bytes:
    encoder = Mp3Encoder()
    made = [encoder.encode(pcm[begin : begin + size]) for begin in range(0, len(pcm), size)]
    return b"".join([*made, encoder.finish()])


@pytest.mark.parametrize("seconds", [0.01, 0.3, 1.0, 7.5])
def test_an_mp3_is_as_long_as_its_samples(seconds: float) -> None:
    content = encoded(b"\1\0" * round(16_000 * seconds))
    assert set(frames_of(content)) == {Frame(64, 16_000, 1, 576)}
    assert seconds <= seconds_of_mp3(content) < seconds + 0.16  # the encoder's delay, and a last frame that is full


@pytest.mark.parametrize("size", [1, 2, 3, 641, 70_000])
def test_pieces_of_any_size_make_the_same_file(size: int) -> None:
    pcm = hummed("Breathe in, and out.")
    assert encoded(pcm, size) == encoded(pcm)


def test_it_gives_what_it_has_while_it_is_fed() -> None:
    encoder = Mp3Encoder()
    pcm = hummed("Let your shoulders sink, and breathe out slowly.")
    made = list(itertools.accumulate(len(encoder.encode(pcm[at : at + 640])) for at in range(0, len(pcm), 640)))
    fed = np.arange(1, len(made) + 1) * 0.02
    assert (fed - np.array(made) / 8000).max() < 0.3  # seconds that it holds back


def test_sound_is_more_than_silence() -> None:
    assert encoded(hummed("Breathe in.")) != encoded(bytes(len(hummed("Breathe in."))))


def test_nothing_makes_nothing() -> None:
    assert encoded(b"") == b""
    assert encoded(b"\0") == b""
