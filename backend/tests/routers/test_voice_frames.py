"""What a client may send over a voice's socket, and the close code of everything else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backend.models.voice_frames import ClientFrame, Interrupt, Played, Start, Stop, Typed
from backend.routers.voice_frames import read_frame
from backend.services.voice.bad_frame import BadFrame

UNKNOWN, NOT_VALID, TOO_BIG = 1003, 1007, 1009


def read(document: Any) -> bytes | ClientFrame:
    return read_frame({"type": "websocket.receive", "text": json.dumps(document)})


@pytest.mark.parametrize(
    ("document", "frame"),
    [
        ({"type": "start"}, Start(type="start")),
        ({"type": "start", "token": "t", "user": "u"}, Start(type="start", token="t", user="u")),
        ({"type": "start", "token": None}, Start(type="start")),
        ({"type": "stop"}, Stop(type="stop")),
        ({"type": "interrupt"}, Interrupt(type="interrupt")),
        ({"type": "played", "turn": 1, "ms": 0}, Played(type="played", turn=1, ms=0)),
        ({"type": "text", "message": "Grüß Gott \N{SPARKLES}"}, Typed(type="text", message="Grüß Gott \N{SPARKLES}")),
    ],
)
def test_the_frames_of_the_protocol(document: Any, frame: ClientFrame) -> None:
    assert read(document) == frame


@pytest.mark.parametrize("size", [2, 640, 65_536])
def test_audio_is_what_is_binary(size: int) -> None:
    pcm = bytes(range(256)) * 256
    assert read_frame({"type": "websocket.receive", "bytes": pcm[:size]}) == pcm[:size]


def test_a_message_may_name_the_other_kind_with_nothing_in_it() -> None:
    assert read_frame({"type": "websocket.receive", "bytes": None, "text": '{"type": "stop"}'}) == Stop(type="stop")
    assert read_frame({"type": "websocket.receive", "bytes": b"ab", "text": None}) == b"ab"


@pytest.mark.parametrize(
    ("pcm", "close_code", "code"),
    [
        (b"", NOT_VALID, "invalid-audio"),
        (b"a", NOT_VALID, "invalid-audio"),
        (bytes(641), NOT_VALID, "invalid-audio"),
        (bytes(65_538), TOO_BIG, "frame-too-large"),
    ],
)
def test_other_audio_is_refused(pcm: bytes, close_code: int, code: str) -> None:
    with pytest.raises(BadFrame) as refused:
        read_frame({"type": "websocket.receive", "bytes": pcm})
    assert (refused.value.close_code, refused.value.code) == (close_code, code)


DEEP = "[" * 80 + "]" * 80


@pytest.mark.parametrize(
    ("text", "close_code", "code"),
    [
        ("", NOT_VALID, "malformed-json"),
        ("{", NOT_VALID, "malformed-json"),
        ("start", NOT_VALID, "malformed-json"),
        ('{"type": "stop"} {"type": "stop"}', NOT_VALID, "malformed-json"),
        ("\ufeff" + '{"type": "stop"}', NOT_VALID, "malformed-json"),
        ('{"type": "played", "turn": 1, "ms": NaN}', NOT_VALID, "malformed-json"),
        ('{"type": "played", "turn": 1, "ms": Infinity}', NOT_VALID, "malformed-json"),
        ('{"type": "text", "message": "\\ud800"}', NOT_VALID, "malformed-json"),
        ('{"type": "text", "message": "\ud800"}', NOT_VALID, "malformed-json"),
        ("null", NOT_VALID, "invalid-frame"),
        ("1", NOT_VALID, "invalid-frame"),
        ('"stop"', NOT_VALID, "invalid-frame"),
        ('[{"type": "stop"}]', NOT_VALID, "invalid-frame"),
        (DEEP, NOT_VALID, "invalid-frame"),
        (f'{{"type": "stop", "x": {DEEP}}}', NOT_VALID, "invalid-frame"),
        ("[" + "[]," * 20_000 + "[]]", NOT_VALID, "invalid-frame"),
        ('{"type": "text", "message": "a\\u0000"}', NOT_VALID, "invalid-frame"),
        ("{}", NOT_VALID, "invalid-frame"),
        ('{"Type": "stop"}', NOT_VALID, "invalid-frame"),
        ('{"type": null}', NOT_VALID, "invalid-frame"),
        ('{"type": 5}', NOT_VALID, "invalid-frame"),
        ('{"type": ["stop"]}', NOT_VALID, "invalid-frame"),
        ('{"type": {"stop": 1}}', NOT_VALID, "invalid-frame"),
        ('{"type": "STOP"}', UNKNOWN, "unknown-frame"),
        ('{"type": ""}', UNKNOWN, "unknown-frame"),
        ('{"type": "ready"}', UNKNOWN, "unknown-frame"),
        ('{"type": "stop", "type": "go"}', UNKNOWN, "unknown-frame"),
        ('{"type": "stop", "reason": "tired"}', NOT_VALID, "invalid-frame"),
        ('{"type": "start", "token": 5}', NOT_VALID, "invalid-frame"),
        ('{"type": "start", "token": ""}', NOT_VALID, "invalid-frame"),
        (json.dumps({"type": "start", "token": "a" * 8_193}), NOT_VALID, "invalid-frame"),
        (json.dumps({"type": "start", "user": "a" * 201}), NOT_VALID, "invalid-frame"),
        ('{"type": "played", "turn": 1}', NOT_VALID, "invalid-frame"),
        ('{"type": "played", "turn": 0, "ms": 1}', NOT_VALID, "invalid-frame"),
        ('{"type": "played", "turn": true, "ms": 1}', NOT_VALID, "invalid-frame"),
        ('{"type": "played", "turn": 1, "ms": -1}', NOT_VALID, "invalid-frame"),
        ('{"type": "played", "turn": 1, "ms": 1.0}', NOT_VALID, "invalid-frame"),
        ('{"type": "played", "turn": 1, "ms": "1"}', NOT_VALID, "invalid-frame"),
        ('{"type": "played", "turn": 1, "ms": 3600001}', NOT_VALID, "invalid-frame"),
        (f'{{"type": "played", "turn": 1, "ms": {"9" * 500}}}', NOT_VALID, "malformed-json"),
        ('{"type": "text"}', NOT_VALID, "invalid-frame"),
        ('{"type": "text", "message": ""}', NOT_VALID, "invalid-frame"),
        ('{"type": "text", "message": " \\n "}', NOT_VALID, "invalid-frame"),
        (json.dumps({"type": "text", "message": "a" * 10_001}), NOT_VALID, "invalid-frame"),
        (json.dumps({"type": "text", "message": "a" * 65_536}), TOO_BIG, "frame-too-large"),
    ],
)  # fmt: skip
def test_what_is_no_frame_is_refused(text: str, close_code: int, code: str) -> None:
    with pytest.raises(BadFrame) as refused:
        read_frame({"type": "websocket.receive", "text": text})
    assert (refused.value.close_code, refused.value.code) == (close_code, code), refused.value.detail


@pytest.mark.parametrize(
    ("document", "detail"),
    [
        ({"type": "go"}, "type must be one of 'start', 'stop', 'interrupt', 'played', 'text'."),
        ({}, "/type is required."),
        ({"type": "stop", "why": 1}, "/why is not a known field."),
        ({"type": "played", "turn": 1, "ms": True}, "/ms must be a whole number."),
        ([], 'A text frame is a JSON object such as {"type": "stop"}.'),
    ],
)
def test_what_was_wrong_is_said_for_people(document: Any, detail: str) -> None:
    with pytest.raises(BadFrame) as refused:
        read(document)
    assert refused.value.detail == detail


def test_a_token_is_not_repeated() -> None:
    with pytest.raises(BadFrame) as refused:
        read({"type": "start", "token": ["numen_sk_canary"], "user": {"numen_sk_canary": 1}})
    assert "canary" not in refused.value.detail
