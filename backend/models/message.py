"""Messages: what was said in a thread."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

MessageRole = Literal["user", "assistant", "system", "tool"]
MessageStatus = Literal["complete", "failed", "partial", "cancelled"]


class Message(BaseModel):
    """One message. An assistant's `status` says whether it was finished: `partial` (the server went down while it
    was written, or the person interrupted the voice that spoke it), `cancelled` (stopped by request) and `failed` (the
    model gave an error) keep what had been said; of what a voice spoke, what was heard.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "id": "d2f0a8a5-5f0a-4a2c-9d0e-7b6b1a0c3e21",
                    "thread_id": "0b7c6a3e-3f0e-4a58-9c55-1f2f4f0f6d11",
                    "position": 2,
                    "role": "assistant",
                    "content": "Good to meet you. What brings you here today?",
                    "status": "complete",
                    "run_id": "c1e3a6d4-0c3f-4f57-9a1b-6a1f0e2d4c33",
                    "metadata": {"provider": "offline", "model": "offline", "memory": "off"},
                    "feedback_score": 1.0,
                    "feedback_reason": "That helped.",
                    "created_at": "2026-11-22T10:00:05Z",
                }
            ]
        },
    )

    id: UUID
    thread_id: UUID
    position: int = Field(description="1 for the first message of the thread; without gaps.")
    role: MessageRole
    content: str
    status: MessageStatus
    run_id: UUID | None
    metadata: dict[str, Any]
    feedback_score: float | None
    feedback_reason: str | None
    created_at: datetime
