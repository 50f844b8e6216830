"""Runs and chat: one turn of a conversation, owned by the server."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

RunStatus = Literal["running", "completed", "failed", "cancelled"]


class ChatRequest(BaseModel):
    """What a person says to an agent. Without `thread_id` a new thread begins."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"examples": [{"message": "Hello, who are you?"}]}
    )

    message: Annotated[str, StringConstraints(min_length=1, max_length=200_000, pattern=r"\S")]
    thread_id: UUID | None = None
    metadata: dict[str, Any] = Field(default={}, max_length=50, description="Stored with the message; yours to use.")


class TokenUsage(BaseModel):
    """Tokens of the turn as the provider counts them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_tokens: int = 0
    output_tokens: int = 0


METADATA_EXAMPLE: JsonDict = {
    "memory_confidence": 0.0,
    "message_count": 2,
    "model": "gpt-6-luna",
    "model_asked": "gpt-4",
    "provider": "openai",
    "offline": False,
    "usage": {"input_tokens": 812, "output_tokens": 14},
    "latency_ms": 640,
    "memory": "off",
    "finish_reason": "stop",
    "left_out": [],
    "run_id": "c1e3a6d4-0c3f-4f57-9a1b-6a1f0e2d4c33",
    "agent_version": "1.0.0",
}


class ReplyMetadata(BaseModel):
    """How an answer came to be.

    `model` is the model that answered; `model_asked` the one the contract names, when it is another. `left_out` names
    the parameters which that model does not take.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [METADATA_EXAMPLE]})

    memory_confidence: float = Field(default=0.0, ge=0, le=1)
    message_count: int
    model: str
    model_asked: str | None = None
    provider: str
    offline: bool = False
    usage: TokenUsage
    latency_ms: int
    memory: Literal["ok", "degraded", "off"] = "off"
    finish_reason: str = "stop"
    left_out: list[str] = []
    run_id: UUID
    agent_version: str


class ChatReply(BaseModel):
    """An agent's answer."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "thread_id": "0b7c6a3e-3f0e-4a58-9c55-1f2f4f0f6d11",
                    "agent_id": "6f1c2f9e-8a53-4c53-9b1e-2f6d2c1a7b10",
                    "response": "Good to meet you. What brings you here today?",
                    "message_id": "d2f0a8a5-5f0a-4a2c-9d0e-7b6b1a0c3e21",
                    "metadata": METADATA_EXAMPLE,
                }
            ]
        },
    )

    thread_id: UUID
    agent_id: UUID
    response: str
    message_id: UUID
    metadata: ReplyMetadata


class Run(BaseModel):
    """One turn: its state, and its answer so far or its error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "id": "c1e3a6d4-0c3f-4f57-9a1b-6a1f0e2d4c33",
                    "agent_id": "6f1c2f9e-8a53-4c53-9b1e-2f6d2c1a7b10",
                    "thread_id": "0b7c6a3e-3f0e-4a58-9c55-1f2f4f0f6d11",
                    "user_id": "660e8400-e29b-41d4-a716-446655440001",
                    "agent_version": "1.0.0",
                    "status": "failed",
                    "user_message_id": "7e9d5a3c-1b2f-4c6d-8e0a-9f1b2c3d4e5f",
                    "assistant_message_id": "d2f0a8a5-5f0a-4a2c-9d0e-7b6b1a0c3e21",
                    "text": "Good to meet",
                    "error": {
                        "code": "model-failed",
                        "title": "The language model failed",
                        "detail": "openai ended its answer in the middle",
                    },
                    "created_at": "2026-11-22T10:00:04Z",
                    "finished_at": "2026-11-22T10:00:05Z",
                }
            ]
        },
    )

    id: UUID
    agent_id: UUID
    thread_id: UUID
    user_id: UUID
    agent_version: str
    status: RunStatus
    user_message_id: UUID
    assistant_message_id: UUID
    text: str
    error: dict[str, Any] | None
    created_at: datetime
    finished_at: datetime | None
