"""What a provider of language models must be able to do, and what is said to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from backend.models.agent import AgentContract
from backend.ports.tasks import Task


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's wish to use a tool; `arguments` is the JSON text it wrote, not yet checked."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class PromptMessage:
    """One message of a prompt. `tool_calls` belongs to an assistant's, `tool_call_id` to a tool's."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool offered to the model; `parameters` is a JSON Schema object."""

    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call: `messages[0]` is the compiled system prompt, the last one is what to answer.

    `model` is the model to use (retired names are already replaced); the contract carries the rest of what the
    turn runs on (max_tokens, temperature, reasoning_effort, voice). `task` says what the call is for, where it is more
    than answering the last message; it and the contract are all that the offline provider has.
    """

    contract: AgentContract
    provider: str
    model: str
    messages: Sequence[PromptMessage]
    tools: Sequence[ToolSpec] = ()
    task: Task | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call as the provider counts them; zero where it does not say."""

    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer while it is written. Never empty; free of NUL and lone surrogates."""

    text: str


@dataclass(frozen=True, slots=True)
class ModelReply:
    """The whole answer. `left_out` names the parameters which the model does not take."""

    text: str
    provider: str
    model: str
    usage: Usage = field(default_factory=Usage)
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"
    left_out: tuple[str, ...] = ()
    offline: bool = False


class LanguageModel(Protocol):
    """A provider of language models. Errors: `ModelUnavailable`, `ModelTimeout`, `ModelFailed`."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Answer in one piece, within the deadline."""
        ...

    def stream(self, request: ModelRequest) -> AsyncGenerator[TextDelta | ModelReply]:
        """Yield the answer piece by piece; the last item, and only it, is the whole `ModelReply`.

        Whoever stops early closes it.
        """
        ...

    async def retirements(self) -> dict[str, str | None]:
        """Models the provider lists now, each with its `shutdown_date` (ISO date) if it has one; `{}` when unknown."""
        ...

    async def close(self) -> None:
        """Give back connections."""
        ...
