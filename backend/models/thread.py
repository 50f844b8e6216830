"""Threads: one conversation of one person with one agent."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.config import JsonDict

ThreadStatus = Literal["active", "archived"]
Title = Annotated[str, StringConstraints(max_length=500, strip_whitespace=True)]

THREAD_EXAMPLE: JsonDict = {
    "id": "0b7c6a3e-3f0e-4a58-9c55-1f2f4f0f6d11",
    "agent_id": "6f1c2f9e-8a53-4c53-9b1e-2f6d2c1a7b10",
    "user_id": "660e8400-e29b-41d4-a716-446655440001",
    "title": "First meeting",
    "status": "active",
    "message_count": 2,
    "last_message_at": "2026-11-22T10:00:05Z",
    "context_summary": "",
    "created_at": "2026-11-22T10:00:00Z",
    "updated_at": "2026-11-22T10:00:05Z",
}


class Thread(BaseModel):
    """A conversation: `context_summary` holds what has left the agent's window of recent messages."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [THREAD_EXAMPLE]})

    id: UUID
    agent_id: UUID
    user_id: UUID
    title: str
    status: ThreadStatus
    message_count: int
    last_message_at: datetime | None
    context_summary: str
    created_at: datetime
    updated_at: datetime


class ThreadCreate(BaseModel):
    """A conversation to begin."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [{"title": "First meeting"}]})

    title: Title = ""


class ThreadUpdate(BaseModel):
    """What to change of a thread: its title, or whether it is archived."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [{"status": "archived"}]})

    title: Title = ""
    status: ThreadStatus = "active"

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("name at least one of: title, status")
        return self


class Feedback(BaseModel):
    """What a person thinks of an answer: −1 (bad) to 1 (good)."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"examples": [{"score": 1, "reason": "That helped."}]}
    )

    score: float = Field(ge=-1, le=1, allow_inf_nan=False, strict=True)
    reason: Annotated[str, StringConstraints(max_length=2000)] | None = None
