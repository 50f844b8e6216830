"""Memories: what an agent knows, where it has it from, and why it came to mind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from backend.models.base import FrozenModel, example
from backend.models.fields import Utc
from backend.models.namespace import MemoryScope

LONGEST_MEMORY = 8000
LARGEST_BATCH = 500
MemoryKind = Literal["message", "fact", "reflection", "note"]
"""What was said, what was extracted from it, what an agent concluded, what came through the API."""
MemoryOrigin = Literal["chat", "extraction", "api", "agent"]
MemoryState = Literal["ok", "degraded", "off"]
MissReason = Literal["superseded", "expired", "below_floor", "in_view", "out_of_places", "too_old"]
MemoryText = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_MEMORY, strip_whitespace=True)]
Speaker = Annotated[str, StringConstraints(max_length=200, strip_whitespace=True)]


class Memory(FrozenModel):
    """One thing an agent knows. `superseded_by` is the newer memory that took its place; its history stays readable.
    Without `superseded_at` the newer one took the place of a part of it, and it is current still.

    `confirmations` grows when it is said again or an answer built on it is praised, and shrinks (below zero, too) when
    such an answer is blamed. `indexed_at` is null while the search index has not taken its present text.
    """

    model_config = example(
        id="7d1f0c9a-4d0e-4a53-8f0e-2f6d2c1a7b55",
        agent_id="6f1c2f9e-8a53-4c53-9b1e-2f6d2c1a7b10",
        scope="user",
        user_id="660e8400-e29b-41d4-a716-446655440001",
        thread_id="0b7c6a3e-3f0e-4a58-9c55-1f2f4f0f6d11",
        kind="message",
        speaker="Maria",
        text="I live in Porto.",
        origin="chat",
        source_message_id="d2f0a8a5-5f0a-4a2c-9d0e-7b6b1a0c3e21",
        confirmations=1.0,
        uses=3,
        last_used_at="2026-11-22T10:00:05Z",
        superseded_by="7d1f0c9a-4d0e-4a53-8f0e-2f6d2c1a7b56",
        superseded_at="2026-11-22T10:00:05Z",
        expires_at="2027-11-20T10:00:00Z",
        valid_from="2026-11-20T10:00:00Z",
        created_at="2026-11-20T10:00:00Z",
        updated_at="2026-11-22T10:00:05Z",
        indexed_at="2026-11-22T10:00:06Z",
        revision=2,
    )

    id: UUID
    agent_id: UUID
    scope: MemoryScope
    user_id: UUID | None = Field(description="Whose it is; null for what the agent knows whoever it talks to.")
    thread_id: UUID | None = Field(description="Where it was said; the thread may be gone.")
    kind: MemoryKind
    speaker: str = Field(description="Who said it, as named in the conversation; may be empty.")
    text: str
    origin: MemoryOrigin
    source_message_id: UUID | None
    confirmations: float
    uses: int
    last_used_at: datetime | None
    superseded_by: UUID | None
    superseded_at: datetime | None
    expires_at: datetime | None
    valid_from: datetime
    created_at: datetime
    updated_at: datetime
    indexed_at: datetime | None
    revision: int


class MemoryCreate(FrozenModel):
    """Something for an agent to know: of a person (`user_id`), from a thread (`thread_id`), or in general (neither).

    `valid_from` is when it was true or said (now, when left out): what is imported keeps its age.
    """

    model_config = example(
        text="Prefers to be called Mia.", kind="fact", user_id="660e8400-e29b-41d4-a716-446655440001"
    )

    text: MemoryText
    kind: MemoryKind = "note"
    user_id: UUID | None = None
    thread_id: UUID | None = None
    speaker: Speaker = ""
    valid_from: Utc | None = None
    expires_at: Utc | None = None


class MemoryUpdate(FrozenModel):
    """What to change of a memory. `superseded: false` makes it current again; `expires_at: null` keeps it for good."""

    model_config = example(text="Prefers to be called Mia.")

    text: MemoryText = ""
    kind: MemoryKind = "note"
    expires_at: Utc | None = None
    superseded: Literal[False] = False

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("name at least one of: text, kind, expires_at, superseded")
        return self


class MemoryBatch(FrozenModel):
    """Memories to be kept together: all of them, or none."""

    model_config = example(memories=[MemoryCreate.model_config["json_schema_extra"]["examples"][0]])  # type: ignore[index]

    memories: list[MemoryCreate] = Field(min_length=1, max_length=LARGEST_BATCH)


class MemoriesKept(FrozenModel):
    """What became of a batch: the id of each memory in the order in which they came, and how many of them are new.

    What was known already has the id that it had.
    """

    model_config = example(ids=["7d1f0c9a-4d0e-4a53-8f0e-2f6d2c1a7b55"], created=1)

    ids: list[UUID]
    created: int


class MemoryRevision(FrozenModel):
    """One state a memory was in, oldest first; of a forgotten memory the texts are gone and the dates remain."""

    model_config = example(
        revision=1,
        action="created",
        text="Prefers to be called Mia.",
        changed_by="660e8400-e29b-41d4-a716-446655440001",
        changed_at="2026-11-20T10:00:00Z",
    )

    revision: int
    action: Literal["created", "edited", "superseded", "restored", "forgotten"]
    text: str | None
    changed_by: UUID | None
    changed_at: datetime


class ScoreParts(FrozenModel):
    """Why a memory has its place: each in [0, 1] but `reinforcement`, which blame takes down to −1.

    `relevance` is the absolute likeness to what was said; `semantic` is that within the best candidates of the turn;
    `recency` halves with every half-life; `score` is what the contract's weights make of them.
    """

    model_config = example(score=0.81, relevance=0.62, semantic=1.0, recency=0.7, reinforcement=0.25)

    score: float
    relevance: float
    semantic: float
    recency: float
    reinforcement: float


class RecalledItem(FrozenModel):
    """A memory on a receipt. `text` is null when it was forgotten since; `rank_now` is set when the receipt was asked
    for `as_of=now`, and null where the memory would no longer be shown.
    """

    model_config = example(
        memory_id="7d1f0c9a-4d0e-4a53-8f0e-2f6d2c1a7b55",
        rank=1,
        text="I moved to Lisbon in May.",
        scope="user",
        parts={"score": 0.81, "relevance": 0.62, "semantic": 1.0, "recency": 0.7, "reinforcement": 0.25},
        source_message_id="d2f0a8a5-5f0a-4a2c-9d0e-7b6b1a0c3e21",
        source_thread_id="0b7c6a3e-3f0e-4a58-9c55-1f2f4f0f6d11",
        rank_now=None,
        parts_now=None,
    )

    memory_id: UUID
    rank: int
    text: str | None
    scope: MemoryScope | None
    parts: ScoreParts
    source_message_id: UUID | None
    source_thread_id: UUID | None
    rank_now: int | None = None
    parts_now: ScoreParts | None = None


class NearMiss(FrozenModel):
    """A memory that was considered and left out, and why."""

    model_config = example(
        memory_id="7d1f0c9a-4d0e-4a53-8f0e-2f6d2c1a7b56",
        reason="superseded",
        text="I live in Porto.",
        parts={"score": 0.7, "relevance": 0.6, "semantic": 0.9, "recency": 0.2, "reinforcement": 0.0},
    )

    memory_id: UUID
    reason: MissReason
    text: str | None
    parts: ScoreParts


class RecallReceipt(FrozenModel):
    """What memory gave an answer: the memories that were shown, best first, and those that nearly were."""

    model_config = example(
        message_id="d2f0a8a5-5f0a-4a2c-9d0e-7b6b1a0c3e21",
        memory="ok",
        confidence=0.83,
        recalled=[RecalledItem.model_config["json_schema_extra"]["examples"][0]],  # type: ignore[index]
        near_misses=[NearMiss.model_config["json_schema_extra"]["examples"][0]],  # type: ignore[index]
        created_at="2026-11-22T10:00:05Z",
    )

    message_id: UUID
    memory: MemoryState
    confidence: float
    recalled: list[RecalledItem]
    near_misses: list[NearMiss]
    created_at: datetime


class FoundMemory(FrozenModel):
    """A memory that a search found, with the parts of its place."""

    model_config = example(
        memory=Memory.model_config["json_schema_extra"]["examples"][0],  # type: ignore[index]
        parts={"score": 0.81, "relevance": 0.62, "semantic": 1.0, "recency": 0.7, "reinforcement": 0.25},
    )

    memory: Memory
    parts: ScoreParts


class Forgotten(FrozenModel):
    """How many memories were forgotten."""

    model_config = example(forgotten=4)

    forgotten: int


@dataclass(frozen=True, slots=True)
class MemoryFilter:
    """Which of an agent's memories a list holds; without `with_superseded` only those that are current."""

    agent_id: UUID
    user_id: UUID | None = None
    thread_id: UUID | None = None
    kind: MemoryKind | None = None
    scope: MemoryScope | None = None
    with_superseded: bool = False


@dataclass(frozen=True, slots=True)
class NewMemory:
    """A memory to be kept. The id follows from what it is kept for, so that keeping it twice keeps it once.

    `user_id` is whose it is (erasure goes by it), also for what an agent concluded about a person. `position` is its
    place in its thread, for those that were said there.
    """

    id: UUID
    agent_id: UUID
    scope: MemoryScope
    user_id: UUID | None
    thread_id: UUID | None
    kind: MemoryKind
    text: str
    origin: MemoryOrigin
    speaker: str = ""
    source_message_id: UUID | None = None
    position: int | None = None
    valid_from: datetime | None = None
    expires_at: datetime | None = None
