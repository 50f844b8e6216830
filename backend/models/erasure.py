"""The erasure of a person, and the certificate that says what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from backend.models.base import FrozenModel, example

ErasureStatus = Literal["pending", "done"]
_WHEN = "2026-11-22T10:00:00Z"
_STORE: dict[str, Any] = {"store": "thread_messages", "removed": 412, "found_after": 0}
_CERTIFICATE: dict[str, Any] = {
    "stores": [_STORE, {"store": "search_index", "removed": 230, "found_after": 0}],
    "requested_at": _WHEN,
    "completed_at": "2026-11-22T10:00:02Z",
    "not_verified": ["Backups that you make yourself hold what they held."],
}


class ErasedStore(FrozenModel):
    """One store: how many things of the person were removed from it, and how many a second search still found."""

    model_config = example(**_STORE)

    store: str = Field(
        description="A table; `search_index`: vectors; `server_memory`: runs that were stopped; `database_files`: "
        "files of the embedded database that were written anew or removed."
    )
    removed: int
    found_after: int


class Certificate(FrozenModel):
    """What was removed, store by store. It holds ids, counts and times, nothing that the person was or said."""

    model_config = example(**_CERTIFICATE)

    stores: list[ErasedStore]
    requested_at: datetime
    completed_at: datetime
    not_verified: list[str] = Field(description="What Numen cannot look into, in plain words.")


class Erasure(FrozenModel):
    """The erasure of one person. While it is `pending` their rows are gone already; index and files may not be."""

    model_config = example(
        id="1b1c4a52-0f0e-4a1f-8a53-2f6d2c1a7b77",
        user_id="660e8400-e29b-41d4-a716-446655440001",
        requested_by="660e8400-e29b-41d4-a716-446655440001",
        status="done",
        created_at=_WHEN,
        finished_at="2026-11-22T10:00:02Z",
        certificate=_CERTIFICATE,
    )

    id: UUID
    user_id: UUID
    requested_by: UUID
    status: ErasureStatus
    created_at: datetime
    finished_at: datetime | None
    certificate: Certificate | None = Field(description="Null until every store has confirmed.")


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What was done to the database's own files: how many were written anew or removed, and which of them, searched
    afterwards, still hold one of the traces (by their names inside the data folder).
    """

    changed: int
    still_in: Sequence[str] = ()
