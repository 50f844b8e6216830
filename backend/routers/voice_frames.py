"""One message of a voice's WebSocket: audio, or a control frame of the protocol; everything else is refused."""

from __future__ import annotations

from typing import Any, cast

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.types import Message

from backend.errors import FieldError, Invalid
from backend.models.voice_frames import CLIENT_FRAME, FRAME_BYTES, ClientFrame
from backend.ports.speech import SAMPLE_BYTES
from backend.routers.http_errors import MalformedBody
from backend.routers.strict_json import parse_strictly
from backend.routers.validation import refused_values
from backend.services.voice.bad_frame import BadFrame

UNKNOWN_KIND, NOT_VALID, NOT_ALLOWED, TOO_BIG = 1003, 1007, 1008, 1009
"""Close codes of RFC 6455, section 7.4.1."""


def read_frame(message: Message) -> bytes | ClientFrame:
    """Audio or control frame in this ASGI message `websocket.receive`. Errors: `BadFrame`."""
    text = cast("str | None", message.get("text"))
    if text is not None:
        return _control(text.encode("utf-8", "surrogatepass"))
    return _audio(message["bytes"])


def _audio(pcm: bytes) -> bytes:
    _measure(len(pcm))
    if not pcm:
        raise BadFrame(NOT_VALID, "invalid-audio", "A binary frame is audio, and this one is empty.")
    if len(pcm) % SAMPLE_BYTES:
        detail = f"Audio comes in whole samples of {SAMPLE_BYTES} bytes; this frame has {len(pcm)} bytes."
        raise BadFrame(NOT_VALID, "invalid-audio", detail)
    return pcm


def _control(text: bytes) -> ClientFrame:
    _measure(len(text))
    try:
        document = parse_strictly(text)
    except MalformedBody:
        raise BadFrame(NOT_VALID, "malformed-json", "A text frame is one JSON document, and this is none.") from None
    except Invalid as error:
        raise _refused(error.errors[0]) from None
    if not isinstance(document, dict):
        raise BadFrame(NOT_VALID, "invalid-frame", 'A text frame is a JSON object such as {"type": "stop"}.')
    return _typed(cast("dict[str, Any]", document))


def _typed(document: dict[str, Any]) -> ClientFrame:
    if "type" not in document:
        raise BadFrame(NOT_VALID, "invalid-frame", "/type is required.")
    try:
        return CLIENT_FRAME.validate_python(document)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        if found[0]["type"] == "union_tag_invalid" and isinstance(document["type"], str):
            known = found[0].get("ctx", {})["expected_tags"]
            raise BadFrame(UNKNOWN_KIND, "unknown-frame", f"type must be one of {known}.") from None
        located = [{**one, "loc": ("body", *one["loc"])} for one in found]
        raise _refused(refused_values(RequestValidationError(located, body=document)).errors[0]) from None


def _refused(error: FieldError) -> BadFrame:
    return BadFrame(NOT_VALID, "invalid-frame", f"{error.pointer or 'The frame'} {error.detail}.")


def _measure(size: int) -> None:
    if size > FRAME_BYTES:
        raise BadFrame(TOO_BIG, "frame-too-large", f"A frame has at most {FRAME_BYTES} bytes; this one has {size}.")
