"""What a turn asks of memory, and what memory asks of embedders, indexes and extractors."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from backend.models.agent import AgentContract
from backend.models.memory import MemoryState, MissReason, NewMemory, ScoreParts
from backend.models.namespace import MemoryScope, Namespace
from backend.ports.language_model import PromptMessage


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
