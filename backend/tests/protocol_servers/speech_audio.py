"""Sound for tests: a tone that hums like a voice, as long as its text would be spoken."""

from __future__ import annotations

import io
import wave

import numpy as np

from backend.ports.speech import SAMPLE_RATE

CHARACTERS_A_SECOND = 15
SHORTEST_SECONDS = 0.3
SYLLABLES_A_SECOND = 4


def hummed(text: str, speed: float = 1.0) -> bytes:
    """PCM16 of 16 kHz: `seconds_of(text, speed)` long, at a pitch that depends on the text, loud and soft by turns."""
    time = np.arange(round(seconds_of(text, speed) * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = 120 + sum(text.encode()) % 100
    voice = sum(np.sin(2 * np.pi * pitch * part * time) / part for part in (1, 2, 3))
    loudness = 0.55 - 0.45 * np.cos(2 * np.pi * SYLLABLES_A_SECOND * time)
    return (8000 * voice * loudness).astype("<i2").tobytes()


def seconds_of(text: str, speed: float = 1.0) -> float:
    """How long the text takes."""
    return max(SHORTEST_SECONDS, len(text) / CHARACTERS_A_SECOND) / speed


def recording(pcm: bytes) -> bytes:
    """The sound as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(SAMPLE_RATE)
        wav.writeframes(pcm)
    return file.getvalue()


def seconds_of_recording(audio: bytes) -> float:
    """The length of a WAV file; of anything else as if it were bare PCM16."""
    try:
        with wave.open(io.BytesIO(audio)) as wav:
            return wav.getnframes() / wav.getframerate()
    except (wave.Error, EOFError):
        return len(audio) / 2 / SAMPLE_RATE
