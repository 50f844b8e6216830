"""The frames of an MP3, read by their headers."""

from __future__ import annotations

from dataclasses import dataclass

_KILOBITS = {
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {1: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000)}
_SAMPLES = {1: 1152, 2: 576}


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of layer III."""

    kilobits: int
    rate: int
    channels: int
    samples: int


def frames_of(content: bytes) -> list[Frame]:
    """All frames of a file, which follow each other without a gap from its first to its last byte."""
    found: list[Frame] = []
    place = 0
    while place < len(content):
        assert place + 4 <= len(content), "the last frame is cut"
        head = int.from_bytes(content[place : place + 4])
        assert head >> 21 == 0x7FF, f"no frame begins at {place}"
        version, layer = {3: 1, 2: 2}[head >> 19 & 3], 4 - (head >> 17 & 3)
        assert layer == 3
        kilobits, rate = _KILOBITS[version][head >> 12 & 15], _RATES[version][head >> 10 & 3]
        samples = _SAMPLES[version]
        found.append(Frame(kilobits, rate, 1 if head >> 6 & 3 == 3 else 2, samples))
        place += samples // 8 * kilobits * 1000 // rate + (head >> 9 & 1)
    assert place == len(content), "the last frame is cut"
    return found


def seconds_of_mp3(content: bytes) -> float:
    """How long it plays."""
    return sum(one.samples / one.rate for one in frames_of(content))
