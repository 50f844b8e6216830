"""Voices over HTTP: what agents say, recordings written down, the voices there are, and sessions to listen to."""

from __future__ import annotations

import re
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from backend.errors import (
    AgentArchived,
    AgentInactive,
    AgentNotFound,
    DatabaseUnavailable,
    Invalid,
    SessionNotFound,
    SessionState,
    SpeechFailed,
    SpeechTimeout,
    SpeechUnavailable,
)
from backend.models.speech import Heard, PreviewRequest, SpeechRequest, VoiceList
from backend.routers.accepted_audio import MP3, WAV, accepted_audio
from backend.routers.audio_answer import (
    AUDIO_RESPONSE,
    HEADER_BYTES,
    AudioAnswer,
    Span,
    asked_range,
    is_everything,
    span_of,
    wav_header,
)
from backend.routers.dependencies import (
    Compression,
    Member,
    Operation,
    SecretOperation,
    SessionRecordings,
    Speech,
    Viewer,
)
from backend.routers.http_errors import BodyTooLarge, NotAcceptable, RangeNotSatisfiable, UnsupportedMedia
from backend.routers.idempotent_route import IdempotentRoute
from backend.routers.problems import PROBLEM_RESPONSES, problem_responses
from backend.services.compressed_audio import CompressedAudio
from backend.services.session_audio import Recording, SessionAudio
from backend.services.speech_service import Spoken

router = APIRouter(prefix="/api/v1", tags=["voice"], route_class=IdempotentRoute, responses=PROBLEM_RESPONSES)
RECORDING_BYTES = 25_000_000
RECORDINGS = re.compile(r"/api/v1/agents/[^/]+/transcriptions/?")
"""Where recordings are sent to: the route reads the body itself, at most `RECORDING_BYTES`."""
_KINDS = ("audio/wav", "audio/mpeg", "audio/ogg", "audio/webm")
_AUDIO = re.compile(r"audio/[a-z0-9][a-z0-9.+-]{0,60}")
_SPEAKING = (DatabaseUnavailable, SpeechFailed, SpeechTimeout, SpeechUnavailable)
_AGENT = (AgentNotFound, AgentArchived, AgentInactive)
_ACCEPT = Header(description="`audio/wav` (the default) or `audio/mpeg`.", examples=[WAV, MP3])
Accept = Annotated[str | None, _ACCEPT]
_RECORDING: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": f"The recording as it is, at most {RECORDING_BYTES:,} bytes.",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in _KINDS},
    }
}
_PART: dict[int | str, dict[str, Any]] = {
    206: {
        "description": "The bytes that Range asks for",
        "content": {WAV: {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post(
    "/agents/{agent_id}/speech",
    response_class=Response,
    responses={**AUDIO_RESPONSE, **problem_responses(*_AGENT, NotAcceptable, *_SPEAKING)},
    operation_id="speak",
)
async def speak(
    caller: Member,
    speech: Speech,
    compression: Compression,
    agent_id: UUID,
    body: SpeechRequest,
    operation: SecretOperation,  # noqa: ARG001 — claims the Idempotency-Key
    accept: Accept = None,
) -> Response:
    """Have a text spoken in the agent's voice, as a stream that begins with the first words."""
    kind = accepted_audio(accept)
    return _answer(await speech.say(caller, agent_id, body.text), kind, compression)


@router.post(
    "/agents/{agent_id}/transcriptions",
    response_model=Heard,
    responses=problem_responses(*_AGENT, BodyTooLarge, UnsupportedMedia, *_SPEAKING),
    openapi_extra=_RECORDING,
    operation_id="transcribe",
)
async def transcribe(request: Request, caller: Member, speech: Speech, agent_id: UUID, operation: Operation) -> Heard:  # noqa: ARG001 — claims the Idempotency-Key
    """Have a recording written down, in the language and by the model of the agent's contract."""
    voice = await speech.voice(caller, agent_id)  # before the recording is read: it may be large
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not _AUDIO.fullmatch(kind):
        raise UnsupportedMedia("Send the recording as it is, with its own Content-Type such as audio/wav.")
    audio = await request.body()
    if not audio:
        raise Invalid("The body is empty: send the recording.")
    return await speech.hear(caller, voice, audio, kind)


@router.get("/voices", response_model=VoiceList, operation_id="listVoices")
async def list_voices(caller: Viewer, speech: Speech) -> VoiceList:  # noqa: ARG001 — must be known
    """List the voices that contracts may name, of every provider that answers; the others are named with the reason."""
    return await speech.voices()


@router.post(
    "/voices/preview",
    response_class=Response,
    responses={**AUDIO_RESPONSE, **problem_responses(NotAcceptable, *_SPEAKING)},
    operation_id="previewVoice",
)
async def preview_voice(
    caller: Member,
    speech: Speech,
    compression: Compression,
    body: PreviewRequest,
    operation: SecretOperation,  # noqa: ARG001 — claims the Idempotency-Key
    accept: Accept = None,
) -> Response:
    """Hear a voice before a contract names it."""
    kind = accepted_audio(accept)
    return _answer(await speech.preview(caller, body), kind, compression)


@router.get(
    "/sessions/{session_id}/audio",
    response_class=Response,
    responses={
        **AUDIO_RESPONSE,
        **_PART,
        **problem_responses(SessionNotFound, SessionState, NotAcceptable, RangeNotSatisfiable, *_SPEAKING),
    },
    operation_id="getSessionAudio",
)
async def get_session_audio(
    request: Request,
    caller: Viewer,
    recordings: SessionRecordings,
    compression: Compression,
    session_id: UUID,
    accept: Accept = None,
) -> Response:
    """Listen to a session's script, with its silences, in the voice of the plan (or the agent's).

    The first time it is spoken while it is heard; then it is a file with a length, of which `Range` gives a part. As
    `audio/mpeg` it has no length, and `Range` is not looked at: the whole comes.
    """
    kind = accepted_audio(accept)
    recording = await recordings.recording(caller, session_id)
    if kind == MP3:
        return await _compressed(recordings, recording, compression)
    asked, known_tag = asked_range(request.headers.get("range")), request.headers.get("if-range")
    kept = await recordings.kept(recording)
    if kept is None and asked and not is_everything(asked) and known_tag is None:
        kept = await recordings.make(recording)  # a part of it can be told when the whole is known
    if kept is None:
        return await _file(recordings, recording, None, None)
    tag = f'"{kept.tag}"'
    span = span_of(asked, HEADER_BYTES + kept.length) if asked and known_tag in (None, tag) else None
    return await _file(recordings, recording, kept.length, span, {"etag": tag, "accept-ranges": "bytes"})


def _answer(spoken: Spoken, kind: str, compression: CompressedAudio) -> AudioAnswer:
    headers = _voice_headers(spoken.provider, spoken.note)
    if kind == WAV:
        return AudioAnswer(wav_header(None), spoken.audio, spoken.audio.close, headers)
    made = compression.of(spoken.audio)

    async def close() -> None:
        await made.aclose()
        await spoken.audio.close()

    return AudioAnswer(b"", made, close, headers, kind=kind)


async def _compressed(recordings: SessionAudio, recording: Recording, compression: CompressedAudio) -> AudioAnswer:
    """The whole recording as MP3; the first of its bytes is there already."""
    pieces = recordings.pieces(recording)
    made = compression.of(pieces)

    async def close() -> None:
        await made.aclose()
        await pieces.aclose()

    try:
        first = await anext(made, b"")
    except BaseException:
        await close()
        raise
    headers = _voice_headers(recording.provider, recording.note) | {"accept-ranges": "none"}
    return AudioAnswer(first, made, close, headers, kind=MP3)


async def _file(
    recordings: SessionAudio,
    recording: Recording,
    length: int | None,
    span: Span | None,
    headers: dict[str, str] | None = None,
) -> AudioAnswer:
    """The file, or a part of it; the first of its bytes is there already, so that what fails before is a problem."""
    sent = _voice_headers(recording.provider, recording.note) | (headers or {})
    head = wav_header(length)
    if length is not None:
        whole = HEADER_BYTES + length
        part = span or Span(0, whole)
        sent["content-length"] = str(part.end - part.begin)
        if span:
            sent["content-range"] = f"bytes {span.begin}-{span.end - 1}/{whole}"
        head = head[part.begin : part.end]
        begin, end = max(0, part.begin - HEADER_BYTES), max(0, part.end - HEADER_BYTES)
        pieces = recordings.pieces(recording, begin, end)
    else:
        pieces = recordings.pieces(recording)
    first = await anext(pieces, b"")
    return AudioAnswer(head + first, pieces, pieces.aclose, sent, 206 if span else 200)


def _voice_headers(provider: str, note: str) -> dict[str, str]:
    return {"vary": "Accept", "numen-voice-provider": provider, **({"numen-voice-note": note} if note else {})}
