"""One page of a list and the way to the next."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar
from uuid import UUID

from backend.errors import FieldError, Invalid

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a newest-first list: the last item's creation time and id."""

    created_at: datetime
    id: UUID

    def encode(self) -> str:
        """URL-safe text; opaque to clients."""
        return base64.urlsafe_b64encode(f"{self.created_at.isoformat()}|{self.id}".encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """The cursor this text names. Errors: `Invalid` when it is not one of ours."""
        try:
            moment, identifier = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().split("|")
            return cls(datetime.fromisoformat(moment).astimezone(UTC), UUID(identifier))
        except (ValueError, OverflowError, binascii.Error) as error:
            raise Invalid(
                "The cursor is not one that this server gave out; start again without it.",
                [FieldError("/cursor", "not a cursor of this server")],
            ) from error


NEWEST = Cursor(datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1))
"""Before every item: where a list begins."""


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Items of one page, how many there are in all, and where the next page starts (None on the last)."""

    items: Sequence[Item]
    total: int
    next: Cursor | None
