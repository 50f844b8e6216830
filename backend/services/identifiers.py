"""Ids that follow from the request: with an Idempotency-Key a repeated request finds what the first one made."""

from __future__ import annotations

from uuid import UUID, uuid4, uuid5


def new_id(operation_id: UUID | None, what: str = "") -> UUID:
    """A fresh random id, or, inside a repeatable operation, always the same one for the same thing."""
    return uuid4() if operation_id is None else uuid5(operation_id, what)
