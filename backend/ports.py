"""The outside world as the house sees it: what a language model, a memory, an index and a clock must be able to do.

Services and graphs speak to these protocols; gateways implement them; tests bring real small ones.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from backend.models.agent import AgentContract
from backend.models.memory import MemoryState, MissReason, NewMemory, ScoreParts
from backend.models.namespace import MemoryScope, Namespace
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
    """One memory shown to a turn, with why it has its place."""

    id: UUID
    text: str
    scope: MemoryScope
    parts: ScoreParts
    speaker: str = ""
    said_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class MissedMemory:
    """One memory that was considered and left out."""

    id: UUID
    reason: MissReason
    parts: ScoreParts


@dataclass(frozen=True, slots=True)
class MemoryContext:
    """What memory gives a turn, best first. `confidence_score` in [0, 1] is 0 when nothing that bears on it is known.

    `state` is "ok", "degraded" (it could not be searched, so nothing is known about what is known) or "off" (the
    contract does not use memory). `namespace` is that of the person, or the agent's where there is none.
    """

    retrieved_memories: Sequence[RecalledMemory] = ()
    recent_messages: Sequence[PromptMessage] = ()
    confidence_score: float = 0.0
    namespace: str = ""
    near_misses: Sequence[MissedMemory] = ()
    state: MemoryState = "off"


@dataclass(frozen=True, slots=True)
class RecallRequest:
    """Whose memories, for which words. The query is the person's message; the ids say which namespaces apply.

    `recent_messages` are in the prompt already: what they say need not be recalled.
    """

    tenant_id: UUID
    agent_id: UUID
    user_id: UUID
    thread_id: UUID
    contract: AgentContract
    query: str
    recent_messages: Sequence[PromptMessage] = ()


@dataclass(frozen=True, slots=True)
class Interaction:
    """A finished turn, of which something may be worth keeping. `offline`: no model was behind the answer."""

    tenant_id: UUID
    agent_id: UUID
    user_id: UUID
    thread_id: UUID
    contract: AgentContract
    user_message_id: UUID
    assistant_message_id: UUID
    position: int
    message: str
    answer: str
    offline: bool


@dataclass(frozen=True, slots=True)
class Harvest:
    """What is kept of a turn: memories as they are, and whether facts are to be extracted from it afterwards."""

    memories: Sequence[NewMemory] = ()
    extract: bool = False


class Memory(Protocol):
    """What a turn asks of memory. Never raises for a lost index: it degrades and says so in `state`."""

    async def recall(self, request: RecallRequest) -> MemoryContext:
        """The memories of this turn, best first, at most `memory_k`."""
        ...

    def harvest(self, interaction: Interaction) -> Harvest:
        """What is worth keeping of a finished turn; stored with its answer, in one transaction. Quick, and pure."""
        ...


Vector = NDArray[np.float32]
"""One embedding: shape (dimensions,), or one row each of (texts, dimensions); of unit length."""


class Embedder(Protocol):
    """Turns texts into vectors whose dot product is their likeness. `name` names the collection: a-z, 0-9, `-`, `_`."""

    @property
    def name(self) -> str:
        """Which model it is; vectors of different names are never compared."""
        ...

    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""
        ...

    async def embed(self, texts: Sequence[str]) -> Vector:
        """One row per text, in order. Errors: `EmbedderUnavailable`."""
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...


@dataclass(frozen=True, slots=True)
class IndexPoint:
    """A memory as the index takes it. `words` are indexed for search by word and are not kept; no text is."""

    id: UUID
    namespace: Namespace
    vector: Vector
    words: str
    said_at: datetime


@dataclass(frozen=True, slots=True)
class IndexQuery:
    """What is near `vector` or shares words with `words`, in these namespaces: the best `limit` of each.

    With `said_between` the best of that span come as well. `with_vectors`: the hits carry theirs, which takes longer.
    """

    namespaces: Sequence[Namespace]
    vector: Vector
    words: str
    limit: int
    said_between: tuple[datetime, datetime] | None = None
    with_vectors: bool = True


@dataclass(frozen=True, slots=True)
class IndexHit:
    """A candidate: `likeness` is the dot product with the query's vector, `word_score` its BM25 (0 when it is not among
    the best by words), where a word is as rare as it is in the whole index.

    Without vectors `vector` is empty, and a hit found by words alone is taken to be as like as the last that was found
    by meaning.
    """

    id: UUID
    namespace: Namespace
    likeness: float
    word_score: float
    vector: Vector


class MemoryIndex(Protocol):
    """The search index over memories: derived data, rebuilt from the database at any time.

    Errors of all methods: `IndexUnavailable`; `IndexMissing`, which is one, when its collection is gone.
    """

    async def prepare(self) -> bool:
        """Make the collection of the present embedder where it is missing; True when it was made, and is empty."""
        ...

    async def search(self, query: IndexQuery) -> Sequence[IndexHit]:
        """Candidates, in no order. Every hit's namespace is one of the query's."""
        ...

    async def vectors(self, ids: Sequence[UUID]) -> Mapping[UUID, Vector]:
        """The stored vectors of those that are there."""
        ...

    async def put(self, points: Sequence[IndexPoint]) -> None:
        """Insert or replace."""
        ...

    async def remove(self, ids: Sequence[UUID]) -> None:
        """Take these out; ids that are not there are fine."""
        ...

    async def remove_namespace(self, namespace: Namespace) -> None:
        """Take out everything of one namespace, from this and every older collection of ours."""
        ...

    async def count(self, namespace: Namespace | None = None) -> int:
        """How many points there are (of one namespace)."""
        ...

    def ids(self) -> AsyncGenerator[Sequence[UUID]]:
        """Every id, in pages."""
        ...

    async def drop_others(self) -> int:
        """Remove collections made for other embedders; how many there were."""
        ...

    async def compact(self) -> None:
        """Leave no trace of what was removed in files of ours; searches go on meanwhile, writes wait some seconds."""
        ...

    async def close(self) -> None:
        """Flush and give back what it holds."""
        ...


class FactExtractor(Protocol):
    """Reads facts about a person out of a conversation, with a language model."""

    async def extract(self, request: ExtractionRequest) -> Sequence[str]:
        """Facts in the third person, each standing on its own; those already known are left out.

        Errors: those of `LanguageModel`.
        """
        ...


@dataclass(frozen=True, slots=True)
class ExtractionRequest:
    """A turn, and what is already known that is near it."""

    namespace: Namespace
    contract: AgentContract
    model: str
    message: str
    answer: str
    known: Sequence[str]


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
