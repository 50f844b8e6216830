"""What a client and the server say to each other over a voice's WebSocket, beside the audio.

Audio is PCM16 (signed, little endian), mono, 16 kHz, in binary frames, both ways. These are the text frames.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, TypeAdapter

from backend.models.base import FrozenModel, example
from backend.models.fields import Text

SCHEMA_ID = "urn:numen:schema:voice-frames:1"
FRAME_BYTES = 65_536
"""A frame has at most so many bytes, text and audio alike."""
LONGEST_TOKEN = 8_192
LONGEST_MESSAGE = 10_000
LONGEST_AUDIO_MS = 3_600_000

# --- from the client ---------------------------------------------------------------------------------------


class Start(FrozenModel):
    """The first frame: who is there. `token` is an API key or a JSON web token, without `Bearer`; leave it out where
    the handshake carried it. `user` is your own id of the person you speak for, as in the header Numen-User.
    """

    model_config = example(type="start", token="numen_sk_...", user="customer-42")  # noqa: S106 — shows the shape

    type: Literal["start"]
    token: str | None = Field(default=None, min_length=1, max_length=LONGEST_TOKEN, repr=False)
    user: str | None = Field(default=None, min_length=1, max_length=200)


class Stop(FrozenModel):
    """The person has stopped talking: what was heard is the turn. With push-to-talk nothing else ends one."""

    model_config = example(type="stop")

    type: Literal["stop"]


class Interrupt(FrozenModel):
    """The person does not want to hear the rest of this answer."""

    model_config = example(type="interrupt")

    type: Literal["interrupt"]


class Played(FrozenModel):
    """So much of a turn's audio has come out of the loudspeaker, in milliseconds from its beginning."""

    model_config = example(type="played", turn=1, ms=1240)

    type: Literal["played"]
    turn: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
    ms: Annotated[int, Field(strict=True, ge=0, le=LONGEST_AUDIO_MS)]


class Typed(FrozenModel):
    """What the person has typed instead of saying it."""

    model_config = example(type="text", message="I would like to sleep better.")

    type: Literal["text"]
    message: Annotated[str, Text(LONGEST_MESSAGE, visible=True)]


ClientFrame = Annotated[Start | Stop | Interrupt | Played | Typed, Field(discriminator="type")]
CLIENT_FRAME: TypeAdapter[Start | Stop | Interrupt | Played | Typed] = TypeAdapter(ClientFrame)

# --- from the server -----------------------------------------------------------------------------------------


class SpokenBy(FrozenModel):
    """Who speaks; `note` says why it is another voice than the contract's (empty: it is not)."""

    model_config = example(provider="elevenlabs", voice_id="calm-female", note="")

    provider: str
    voice_id: str
    note: str = ""


class HeardBy(FrozenModel):
    """Who listens; without a `provider` nobody ever does, and the person types. `note` says why nobody listens now."""

    model_config = example(provider="deepgram", note="")

    provider: str | None
    note: str = ""


class Ready(FrozenModel):
    """The agent listens. Without a `thread_id` the first turn begins a thread, which its `run.started` names."""

    model_config = example(
        type="ready",
        agent_id="6f1c2f9e-8a53-4c53-9b1e-2f6d2c1a7b10",
        name="IntakeAgent",
        thread_id=None,
        sample_rate=16000,
        push_to_talk=False,
        speaks={"provider": "elevenlabs", "voice_id": "calm-female", "note": ""},
        listens={"provider": "deepgram", "note": ""},
        idle_seconds=60,
        session_seconds=1800,
    )

    type: Literal["ready"] = "ready"
    agent_id: UUID
    name: str
    thread_id: UUID | None
    sample_rate: int
    push_to_talk: bool
    speaks: SpokenBy
    listens: HeardBy
    idle_seconds: float
    session_seconds: float


class Transcribed(FrozenModel):
    """What was understood of the person: `transcript.partial` may still change, `transcript.final` is the turn."""

    model_config = example(type="transcript.final", text="I would like to sleep better.")

    type: Literal["transcript.partial", "transcript.final"]
    text: str


class AudioStart(FrozenModel):
    """Audio of this turn's answer follows, from `from_ms` of it on. After a false start that is more than 0."""

    model_config = example(type="audio.start", turn=1, from_ms=0)

    type: Literal["audio.start"] = "audio.start"
    turn: int
    from_ms: int = 0


class AudioEnd(FrozenModel):
    """That was all the audio of this turn's answer, `ms` long."""

    model_config = example(type="audio.end", turn=1, ms=5380)

    type: Literal["audio.end"] = "audio.end"
    turn: int
    ms: int


class Interrupted(FrozenModel):
    """Stop playing and drop what is not played yet, then say how much was `played`.

    `reason`: the person began to speak, the client asked for it, or the person typed something else.
    """

    model_config = example(type="interrupt", turn=1, reason="speech")

    type: Literal["interrupt"] = "interrupt"
    turn: int
    reason: Literal["speech", "client", "text"]


class TurnMetrics(FrozenModel):
    """How long each stage of a turn took, in milliseconds; None where a stage did not happen.

    From the end of speech: `stt_ms` to the transcript, `voice_to_voice_ms` to the first audio. From the transcript:
    `llm_first_token_ms`. From the first sentence: `tts_first_byte_ms`. `played_ms` of audio were heard.
    """

    model_config = example(
        type="turn.metrics",
        turn=1,
        stt_ms=310,
        llm_first_token_ms=120,
        tts_first_byte_ms=75,
        voice_to_voice_ms=530,
        played_ms=5380,
        interrupted=False,
    )

    type: Literal["turn.metrics"] = "turn.metrics"
    turn: int
    stt_ms: int | None = None
    llm_first_token_ms: int | None = None
    tts_first_byte_ms: int | None = None
    voice_to_voice_ms: int | None = None
    played_ms: int = 0
    interrupted: bool = False


class VoiceError(FrozenModel):
    """Something went wrong; the socket is closed after it where nothing can go on. `code` as in problems."""

    model_config = example(
        type="error",
        code="speech-unavailable",
        title="No speech at the moment",
        detail="ElevenLabs takes no more requests at the moment.",
        turn=1,
    )

    type: Literal["error"] = "error"
    code: str
    title: str
    detail: str
    turn: int | None = None


class TurnEvent(FrozenModel):
    """An event of the turn's run, the same as over server-sent events: `type` is its name, `data` its document."""

    model_config = example(type="message.delta", turn=1, data={"text": "Good to meet you."})

    type: Literal[
        "run.started", "run.failed", "run.waiting", "memory.recalled", "message.delta", "message.completed",
        "tool.call", "tool.result", "approval.required",
    ]  # fmt: skip
    turn: int
    data: dict[str, Any]


ServerFrame = Ready | Transcribed | AudioStart | AudioEnd | Interrupted | TurnMetrics | VoiceError | TurnEvent
SERVER_FRAME: TypeAdapter[ServerFrame] = TypeAdapter(ServerFrame)


def frames_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of all text frames, with examples: `$defs` has each, and either side's choice."""
    unions, shared = TypeAdapter.json_schemas(
        [("client", "validation", CLIENT_FRAME), ("server", "serialization", SERVER_FRAME)]
    )
    sides = {"ClientFrame": unions["client", "validation"], "ServerFrame": unions["server", "serialization"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Frames of a Numen conversation by voice",
        "anyOf": [{"$ref": f"#/$defs/{side}"} for side in sides],
        "$defs": {**shared["$defs"], **sides},
    }
