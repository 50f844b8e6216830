"""Sessions: one pass of a person through an interview and what is made for them from it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints
from pydantic.config import JsonDict

from backend.models.interview_progress import SessionStage

SessionStatus = Literal["pending", "intake", "therapy", "completed", "failed"]
SessionPlan = dict[str, str | list[str]]
"""The answers of the interview by the names of its fields: several of a list, one of the others."""

_PLAN: JsonDict = {
    "goals": ["sleep through the night"],
    "tone": "calm",
    "session_type": "sleep_hypnosis",
    "voice_id": "calm-female",
    "notes": "the sea",
}


_SESSION = "5a0a4c9a-7c34-4d0c-9d3d-1f5d0a4c9a11"
_PART: JsonDict = {"name": "induction", "text": "Breathe in.", "pauses": [{"offset": 11, "seconds": 4}]}
_LINE: JsonDict = {"speaker": "person", "text": "I want to sleep better.", "said_at": "2026-11-22T10:00:05Z"}


class SessionCreate(BaseModel):
    """Who is interviewed by whom, and who writes.

    Left out: you, and the oldest active agents of your tenant with an `interview` and with a `script`; in a new
    deployment these are the two default agents.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [{}]})

    user_id: UUID | None = None
    intake_agent_id: UUID | None = None
    therapy_agent_id: UUID | None = None


class SessionMessage(BaseModel):
    """What the person says."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"examples": [{"message": "I want to sleep better."}]}
    )

    message: Annotated[str, StringConstraints(min_length=1, max_length=200_000, pattern=r"\S")]


class Consent(BaseModel):
    """Whether the person agrees to the plan. A refusal takes an earlier consent back."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [{"accepted": True}]})

    accepted: StrictBool


class Session(BaseModel):
    """Where a session stands. `response` is what the agent said last; a `complete` interview carries its `plan`."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "id": _SESSION,
                    "status": "intake",
                    "stage": "complete",
                    "response": "Thank you, I have what I need.",
                    "plan": _PLAN,
                    "user_id": "660e8400-e29b-41d4-a716-446655440001",
                    "intake_agent_id": "6f1c2f9e-8a53-4c53-9b1e-2f6d2c1a7b10",
                    "therapy_agent_id": "6f1c2f9e-8a53-4c53-9b1e-2f6d2c1a7b11",
                    "intake_thread_id": "0b7c6a3e-3f0e-4a58-9c55-1f2f4f0f6d11",
                    "therapy_run_id": None,
                    "consented_at": None,
                    "error": None,
                    "created_at": "2026-11-22T10:00:00Z",
                    "updated_at": "2026-11-22T10:00:05Z",
                }
            ]
        },
    )

    id: UUID
    status: SessionStatus
    stage: SessionStage
    response: str
    plan: SessionPlan | None = None
    user_id: UUID
    intake_agent_id: UUID
    therapy_agent_id: UUID
    intake_thread_id: UUID
    therapy_run_id: UUID | None = None
    consented_at: datetime | None = None
    error: dict[str, Any] | None = None
    created_at: datetime
    updated_at: datetime


class Pause(BaseModel):
    """A silence: so many `seconds` after the first `offset` characters of the part's text."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"examples": [{"offset": 42, "seconds": 4}]}
    )

    offset: int = Field(ge=0)
    seconds: float = Field(gt=0, le=60)


class SpokenPart(BaseModel):
    """One part of a script: the words to be spoken, and the pauses between them."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"examples": [_PART]},
    )

    name: str
    text: str
    pauses: list[Pause]


class SessionScript(BaseModel):
    """What was written for the person; while `complete` is false more parts are being written."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"examples": [{"session_id": _SESSION, "complete": False, "parts": [_PART]}]},
    )

    session_id: UUID
    complete: bool
    parts: list[SpokenPart]


class TranscriptLine(BaseModel):
    """One thing that was said in the session, by whom and when."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [_LINE]})

    speaker: Literal["person", "intake", "therapy"]
    text: str
    said_at: datetime


class Transcript(BaseModel):
    """Everything that was said and written in a session, oldest first."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"examples": [{"session_id": _SESSION, "lines": [_LINE]}]}
    )

    session_id: UUID
    lines: list[TranscriptLine]
