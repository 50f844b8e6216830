"""Runs: turns of a conversation and pieces of work, owned by the server."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints
from pydantic.config import JsonDict

RunStatus = Literal["running", "waiting", "completed", "failed", "cancelled"]
RunKind = Literal["chat", "workflow", "autonomous", "script"]
StepKind = Literal["model", "tool", "agent", "condition"]
StepStatus = Literal["running", "waiting", "completed", "failed", "denied"]


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


class ToolUse(BaseModel):
    """A tool that was called in the turn, and how that ended."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"call_id": "3b0b3a52-58a6-5d2c-8f0e-4d0c1f5a7b11", "tool": "current_time", "status": "completed"}
            ]
        },
    )

    call_id: UUID
    tool: str
    status: Literal["completed", "failed", "denied"]


CrisisKind = Literal["self_harm", "suicide", "harm_to_others", "medical_emergency"]


class SafetyNote(BaseModel):
    """The answer is not the agent's: what was said sounded like a crisis, and a reviewed reply with help was given."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"examples": [{"crisis": True, "kind": "medical_emergency"}]},
    )

    crisis: Literal[True] = True
    kind: CrisisKind


class SpokenNote(BaseModel):
    """The answer was spoken. Where it was `interrupted`, its text is what was heard of it in `played_ms`."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"examples": [{"interrupted": True, "played_ms": 2140}]}
    )

    interrupted: bool
    played_ms: int = Field(ge=0)


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
    tools: list[ToolUse] = []
    safety: SafetyNote | None = None
    voice: SpokenNote | None = None


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


class PendingCall(BaseModel):
    """A tool call that waits for a person. `reason` says why, when it is another than the contract's `approval`."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "call_id": "3b0b3a52-58a6-5d2c-8f0e-4d0c1f5a7b11",
                    "tool": "calendar__create_event",
                    "arguments": {"title": "Dentist", "day": "2026-12-01"},
                    "reason": "",
                }
            ]
        },
    )

    call_id: UUID
    tool: str
    arguments: dict[str, Any]
    reason: str = ""


class ApprovalAnswer(BaseModel):
    """Whether a tool may be called; the `reason` of a refusal is told to the agent."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [{"approved": True}]})

    approved: StrictBool
    reason: Annotated[str, StringConstraints(max_length=2000)] = ""


class RunRequest(BaseModel):
    """What a workflow or autonomous agent is to work on: the input of its steps, or its goal."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"examples": [{"input": "Added: export as CSV."}]}
    )

    input: Annotated[str, StringConstraints(max_length=200_000)] = ""
    metadata: dict[str, Any] = Field(default={}, max_length=50, description="Stored with the input; yours to use.")


class RunStep(BaseModel):
    """One thing that a run did. `step` is the id of the workflow's step, or what the run's graph calls it.

    `input` is what it was given, `output` what it gave; `attempt` counts the tries of the same step from 1.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "id": "3b0b3a52-58a6-5d2c-8f0e-4d0c1f5a7b11",
                    "ordinal": 2,
                    "step": "is_short",
                    "kind": "condition",
                    "attempt": 1,
                    "status": "completed",
                    "input": {"step": "draft", "test": "contains", "value": "too long"},
                    "output": {"text": "end"},
                    "error": None,
                    "approved": None,
                    "started_at": "2026-11-22T10:00:04Z",
                    "finished_at": "2026-11-22T10:00:05Z",
                }
            ]
        },
    )

    id: UUID
    ordinal: int
    step: str
    kind: StepKind
    attempt: int
    status: StepStatus
    input: dict[str, Any]
    output: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    approved: bool | None = None
    started_at: datetime
    finished_at: datetime | None = None


class Run(BaseModel):
    """A turn or a piece of work: its state, and its answer so far or its error.

    A `waiting` run goes on when its `approvals` are answered: `POST /runs/{id}/approvals/{call_id}`.
    """

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
                    "kind": "chat",
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
    kind: RunKind = "chat"
    status: RunStatus
    user_message_id: UUID
    assistant_message_id: UUID
    text: str
    error: dict[str, Any] | None
    approvals: list[PendingCall] = []
    created_at: datetime
    finished_at: datetime | None
