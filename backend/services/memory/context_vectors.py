"""A memory's vector with what was said right before it: "Yes, for ten years now" means nothing by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from uuid import UUID

import numpy as np

from backend.ports import Vector
from backend.stores.memory_rows import IndexRow

SHARES = (0.5, 0.2)
"""What the one before counts, and the one before that, against 1 for the words themselves."""
REPLACED_SHARE = 0.5
"""What that counts which a memory took the place of: "I moved to Lisbon" answers what "I live in Porto" answered."""
_ONE_OCCASION = timedelta(hours=6)


def spoken(row: IndexRow) -> str:
    """The text as it is embedded and indexed by word: with who said it."""
    return f"{row.speaker}: {row.text}" if row.speaker else row.text


def in_context(own: Vector, before: Sequence[Vector], replaced: Sequence[Vector] = ()) -> Vector:
    """The unit vector of `own`, those `before` it, the nearest first, and those that it took the place of."""
    mixed = own.astype(np.float32)
    if replaced:
        mixed = mixed + np.float32(REPLACED_SHARE) * np.mean(replaced, axis=0, dtype=np.float32)
    for share, vector in zip(SHARES, before, strict=False):
        mixed = mixed + np.float32(share) * vector
    length = float(np.linalg.norm(mixed))
    return mixed / np.float32(length) if length > 0 else own


def contexts(rows: Sequence[IndexRow]) -> Mapping[UUID, Sequence[UUID]]:
    """For each row the rows said directly before it on the same occasion, the nearest first.

    `rows` holds, of each thread it touches, runs without gaps; a row without a place in a thread stands alone.
    """
    found: dict[UUID, Sequence[UUID]] = {row.id: () for row in rows}
    placed = [row for row in rows if row.thread_id is not None and row.position is not None]
    for _, thread in groupby(sorted(placed, key=_place), key=lambda row: _place(row)[:2]):
        said = list(thread)
        for at, row in enumerate(said):
            found[row.id] = [one.id for one in _before(said, at)]
    return found


def _place(row: IndexRow) -> tuple[str, str, int]:
    return str(row.namespace), str(row.thread_id), row.position or 0


def _before(said: Sequence[IndexRow], at: int) -> list[IndexRow]:
    before: list[IndexRow] = []
    for later, earlier in zip(said[at:0:-1], said[at - 1 :: -1] if at else [], strict=False):
        if len(before) == len(SHARES) or abs(later.valid_from - earlier.valid_from) > _ONE_OCCASION:
            break
        before.append(earlier)
    return before
