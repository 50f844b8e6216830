"""The outside world as the house sees it: what a language model, a memory and a clock must be able to do.

Services and graphs speak to these protocols; gateways implement them; tests bring real small ones.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

from backend.models.agent import AgentContract
from backend.models.tenant import RoleName


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
    turn runs on (max_tokens, temperature, reasoning_effort, voice) and is all that the offline provider has.
    """

    contract: AgentContract
    provider: str
    model: str
    messages: Sequence[PromptMessage]
    tools: Sequence[ToolSpec] = ()


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


@dataclass(frozen=True, slots=True)
class RecalledMemory:
    """One memory shown to a turn: `score` in [0, 1] is its final rank value."""

    id: UUID
    text: str
    score: float
    namespace: str


@dataclass(frozen=True, slots=True)
class MemoryContext:
    """What memory gives a turn. `state` is "ok", "degraded" (the index is away) or "off" (none is in use)."""

    memories: Sequence[RecalledMemory] = ()
    confidence: float = 0.0
    state: Literal["ok", "degraded", "off"] = "off"


@dataclass(frozen=True, slots=True)
class RecallRequest:
    """Whose memories, for which words. The query is the person's message; the ids say which namespaces apply."""

    tenant_id: UUID
    agent_id: UUID
    user_id: UUID
    thread_id: UUID
    contract: AgentContract
    query: str


class Memory(Protocol):
    """Recall for a turn. Never raises for a lost index: it degrades and says so in `state`."""

    async def recall(self, request: RecallRequest) -> MemoryContext:
        """The memories of this turn, best first, at most `memory_k`."""
        ...


class Clock(Protocol):
    """Time, so that tests can set it."""

    def now(self) -> datetime:
        """The current moment, timezone-aware UTC."""
        ...


class ContractFiles(Protocol):
    """The file mirror: one folder per agent. Blocking; errors are `OSError`."""

    def write(self, agent_id: UUID, files: Mapping[str, bytes]) -> bool:
        """Make the agent's folder hold these files, each the old or the new one at any moment.

        False when they were the same already.
        """
        ...

    def remove(self, agent_id: UUID) -> None:
        """Take the agent's folder away, if there is one."""
        ...

    def agents(self) -> list[UUID]:
        """The agents that have a folder."""
        ...

    def sweep(self) -> None:
        """Remove what a killed process left half written."""
        ...


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """What a verified token says: whose it is, in which tenant, the role it gives, and until when."""

    subject: str
    tenant_id: UUID
    role: RoleName
    expires_at: datetime


class TokenVerifier(Protocol):
    """Checks JSON web tokens."""

    async def verify(self, token: str) -> TokenClaims:
        """The claims of a valid token. Errors: `Unauthenticated`, `Unavailable` while the keys cannot be had."""
        ...
