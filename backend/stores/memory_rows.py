"""What the rows of memories are read as, by those who rank, index and explain them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from backend.models.memory import MemoryKind, MissReason, ScoreParts
from backend.models.namespace import MemoryScope, Namespace


@dataclass(frozen=True, slots=True)
class RecallRow:
    """What ranking needs of a memory, also of one that is superseded or has expired. `subject_id` is None for the
    agent's own.
    """

    id: UUID
    agent_id: UUID
    scope: MemoryScope
    user_id: UUID | None
    subject_id: UUID | None
    thread_id: UUID | None
    position: int | None
    speaker: str
    text: str
    kind: MemoryKind
    confirmations: float
    uses: int
    superseded_at: datetime | None
    superseded_by: UUID | None
    expires_at: datetime | None
    valid_from: datetime
    source_message_id: UUID | None


@dataclass(frozen=True, slots=True)
class IndexRow:
    """What indexing needs of a memory as it is now."""

    id: UUID
    tenant_id: UUID
    agent_id: UUID
    scope: MemoryScope
    subject_id: UUID | None
    text: str
    speaker: str
    valid_from: datetime
    thread_id: UUID | None
    position: int | None
    superseded: bool
    revision: int
    created_at: datetime
    updated_at: datetime

    @property
    def namespace(self) -> Namespace:
        """Whose it is."""
        return Namespace(self.tenant_id, self.agent_id, self.scope, self.subject_id)


@dataclass(frozen=True, slots=True)
class ShownMemory:
    """A memory that an answer was given."""

    memory_id: UUID
    parts: ScoreParts


@dataclass(frozen=True, slots=True)
class LeftOutMemory:
    """A memory that was considered for an answer and left out."""

    memory_id: UUID
    reason: MissReason
    parts: ScoreParts


@dataclass(frozen=True, slots=True)
class StoredReceipt:
    """What memory gave an answer, best first, by id."""

    message_id: UUID
    thread_id: UUID
    agent_id: UUID
    user_id: UUID
    state: Literal["ok", "degraded"]
    confidence: float
    recalled: Sequence[ShownMemory]
    near_misses: Sequence[LeftOutMemory]
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
