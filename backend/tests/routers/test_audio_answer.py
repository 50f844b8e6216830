"""Audio as an answer: a header that is true, the parts that are asked for, and what is refused."""

from __future__ import annotations

import io
import wave
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from backend.errors import SpeechFailed
from backend.routers.audio_answer import (
    HEADER_BYTES,
    AudioAnswer,
    Span,
    asked_range,
    is_everything,
    span_of,
    wav_header,
)
from backend.routers.http_errors import RangeNotSatisfiable


@given(st.integers(0, 3000))
def test_a_file_is_read_back(samples: int) -> None:
    file = io.BytesIO(wav_header(2 * samples) + b"\1\0" * samples)
    with wave.open(file) as read:
        assert (read.getframerate(), read.getnchannels(), read.getsampwidth()) == (16_000, 1, 2)
        assert read.getnframes() == samples
        assert read.readframes(samples) == b"\1\0" * samples


def test_a_length_that_is_not_known_is_the_largest() -> None:
    header = wav_header(None)
    assert len(header) == HEADER_BYTES
    assert header[4:8] == header[40:44] == b"\xff" * 4


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-9", Span(0, 10)),
        ("bytes=90-", Span(90, 100)),
        ("bytes=-10", Span(90, 100)),
        ("bytes=-1000", Span(0, 100)),
        ("bytes=50-1000", Span(50, 100)),
        ("Bytes = 0 - 0", Span(0, 1)),
        ("bytes=9-3", None),
        ("bytes=99-99", Span(99, 100)),
    ],
)
def test_the_range_that_is_meant(header: str, span: Span | None) -> None:
    asked = asked_range(header)
    assert asked is not None
    assert span_of(asked, 100) == span


@pytest.mark.parametrize("header", [None, "", "bytes=-", "bytes=0-1,5-6", "lines=1-2", "bytes=a-b", "bytes=1-2-3"])
def test_what_is_no_range_asks_for_the_file(header: str | None) -> None:
    assert asked_range(header) is None


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_behind_the_end_is_refused_with_the_length(header: str) -> None:
    asked = asked_range(header)
    assert asked is not None
    with pytest.raises(RangeNotSatisfiable) as refused:
        span_of(asked, 100)
    assert refused.value.context == {"length": 100}


@pytest.mark.parametrize(("header", "everything"), [("bytes=0-", True), ("bytes=1-", False), ("bytes=-5", False)])
def test_how_players_begin(header: str, everything: bool) -> None:
    asked = asked_range(header)
    assert asked is not None
    assert is_everything(asked) is everything


async def _spoken(*pieces: bytes, error: Exception | None = None) -> AsyncGenerator[bytes]:
    for piece in pieces:
        yield piece
    if error:
        raise error


async def sent(pieces: AsyncGenerator[bytes]) -> list[Message]:
    """What the server is given to send; the client stays until the end."""
    found: list[Message] = []
    scope = {"type": "http", "asgi": {"spec_version": "2.4"}}

    async def send(message: Message) -> None:
        found.append(message)

    async def receive() -> Message:
        raise AssertionError("nobody asks")

    await AudioAnswer(b"RIFF", pieces, pieces.aclose, {"numen-voice-provider": "local"})(scope, receive, send)
    return found


async def test_pieces_are_sent_as_they_come() -> None:
    begin, *bodies = await sent(_spoken(b"one", b"two"))
    assert begin["status"] == 200
    assert dict(begin["headers"]) == {b"content-type": b"audio/wav", b"numen-voice-provider": b"local"}
    assert [one["body"] for one in bodies] == [b"RIFF", b"one", b"two", b""]
    assert [one["more_body"] for one in bodies] == [True, True, True, False]


async def test_what_fails_in_the_middle_never_ends() -> None:
    """So the server closes the connection, and nobody takes what came for the whole."""
    pieces = _spoken(b"one", error=SpeechFailed("hoarse"))
    assert [one["more_body"] for one in (await sent(pieces))[1:]] == [True, True]
    assert await anext(pieces, None) is None
