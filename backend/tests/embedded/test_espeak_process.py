"""The process that speaks, over its pipes and nothing else."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import IO, Any, cast

import pytest

ROOT = Path(__file__).parents[3]
SENTENCE = "Breathe in slowly, and feel how the air moves."


class Child:
    """A process of its own; `read` is the next frame."""

    def __init__(self, **environment: str) -> None:
        command = [sys.executable, "-m", "backend.embedded.espeak_process"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.input = cast("IO[bytes]", self.process.stdin)
        self.output = cast("IO[bytes]", self.process.stdout)

    def read(self) -> tuple[bytes, bytes]:
        kind, length = struct.unpack("!cI", self.output.read(5))
        return kind, self.output.read(length)

    def write(self, text: str = SENTENCE, **changed: Any) -> None:
        request = {"text": text, "voice": "en-us", "speed": 1.0, "pitch": 1.0, "rate": 16_000} | changed
        body = json.dumps(request).encode()
        self.input.write(struct.pack("!I", len(body)) + body)
        self.input.flush()

    def answer(self) -> tuple[bytes, bytes]:
        """All audio of an answer, and its last frame's letter with what it says."""
        audio = b""
        while (frame := self.read())[0] in (b"A", b"W"):
            audio += frame[1] if frame[0] == b"A" else b""
        return audio, frame[0] + frame[1]

    def end(self) -> None:
        self.process.kill()
        self.input.close()
        self.output.close()
        self.process.wait(10)


@pytest.fixture
def child() -> Generator[Child]:
    child = Child()
    yield child
    child.end()


def test_it_says_what_it_can_speak_then_speaks(child: Child) -> None:
    kind, body = child.read()
    voices = {one["voice_id"]: one for one in json.loads(body)}
    assert kind == b"H"
    assert len(voices) > 100
    assert voices["en-us"]["name"] == "English (America)"
    assert voices["en-us"]["languages"] == [["en-us", 2], ["en", 3]]
    assert "nb" in voices  # its dictionary has another name
    assert "fo" not in voices  # the wheel has no dictionary of Faroese
    child.write()
    audio, last = child.answer()
    assert last == b"E"
    assert 2 < len(audio) / 32_000 < 5


def test_voices_of_many_kinds_speak(child: Child) -> None:
    _, body = child.read()
    silent: list[str] = []
    for voice in json.loads(body)[::8]:  # each takes a while, because its dictionary is read
        child.write("1, 2, 3. Hello.", voice=voice["voice_id"])
        audio, last = child.answer()
        if last != b"E" or not any(audio):
            silent.append(voice["voice_id"])
    assert not silent, silent


def test_a_voice_that_it_does_not_have_is_named_and_the_next_request_is_answered(child: Child) -> None:
    child.read()
    child.write(voice="klingon-9")
    assert child.answer() == (b"", b"Xespeak-ng has no voice klingon-9")
    child.write()
    assert child.answer()[1] == b"E"


def test_it_ends_when_its_input_closes(child: Child) -> None:
    child.read()
    child.input.close()
    assert child.process.wait(10) == 0


def test_it_ends_when_its_input_closes_while_nobody_takes_what_it_says(child: Child) -> None:
    child.read()
    child.write(SENTENCE * 20)  # more than a pipe holds
    assert child.output.read(1) == b"W"
    child.input.close()
    assert child.process.wait(10) == 1


def test_it_ends_when_nobody_can_hear_it(child: Child) -> None:
    child.read()
    child.write(SENTENCE * 20)
    child.output.close()
    assert child.process.wait(10) == 0


def test_a_broken_request_from_the_other_side_ends_it(child: Child) -> None:
    child.read()
    child.input.write(b"\x00\x00")
    child.input.close()
    assert child.process.wait(10) == 0


@pytest.mark.parametrize(
    ("wheel", "words"),
    [
        ("raise ImportError('no such wheel')", b"no such wheel"),
        ("def get_data_path(): raise RuntimeError('no such data')", b"no such data"),
        ("get_data_path = lambda: '/tmp'\nget_library_path = lambda: '/tmp/none.so'", b"none.so"),
    ],
)
def test_a_wheel_that_is_missing_or_broken_is_told(tmp_path: Path, wheel: str, words: bytes) -> None:
    (tmp_path / "espeakng_loader.py").write_text(wheel)
    child = Child(PYTHONPATH=str(tmp_path))
    kind, body = child.read()
    ended = child.process.wait(10)
    child.end()
    assert kind == b"X"
    assert words in body
    assert b"install the package espeakng-loader" in body
    assert ended == 0


def test_it_starts_without_the_weight_of_the_server() -> None:
    code = "import sys, backend.embedded.espeak_process, backend.embedded.espeak; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"pydantic", "fastapi", "asyncio", "httpx", "onnxruntime"} & set(loaded.stdout.split())
