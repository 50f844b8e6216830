"""A memory's vector has a part of what was said right before it, on the same occasion and nowhere else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import numpy as np
import pytest

from backend.services.memory.context_vectors import contexts, in_context, spoken
from backend.stores.memory_rows import IndexRow

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
TENANT, AGENT, USER, THREAD = uuid4(), uuid4(), uuid4(), uuid4()


def row(position: int | None, *, thread: UUID | None = THREAD, hours: float = 0, speaker: str = "") -> IndexRow:
    said = NOW + timedelta(hours=hours)
    return IndexRow(
        uuid4(), TENANT, AGENT, "user", USER, f"at {position}", speaker, said, thread, position, False, 1, said, said
    )


def test_the_two_before_count_in_any_order_of_the_rows() -> None:
    rows = [row(position) for position in (1, 3, 5, 7)]
    found = contexts(list(reversed(rows)))
    assert [list(found[one.id]) for one in rows] == [
        [],
        [rows[0].id],
        [rows[1].id, rows[0].id],
        [rows[2].id, rows[1].id],
    ]


def test_another_day_another_thread_and_no_place_at_all_are_no_context() -> None:
    first, next_day, after = row(1), row(3, hours=24), row(5, hours=25)
    elsewhere, placeless = row(4, thread=uuid4()), row(None)
    found = contexts([first, next_day, after, elsewhere, placeless])
    assert {len(found[one.id]) for one in (first, next_day, elsewhere, placeless)} == {0}
    assert list(found[after.id]) == [next_day.id]


def test_vectors_are_mixed_by_nearness_and_of_unit_length() -> None:
    own, before, earlier = np.eye(3, dtype=np.float32)
    mixed = in_context(own, [before, earlier])
    assert mixed.dtype == np.float32
    assert float(np.linalg.norm(mixed)) == pytest.approx(1)
    assert mixed / mixed[0] == pytest.approx([1, 0.5, 0.2])
    assert in_context(own, []) == pytest.approx(own)


def test_who_spoke_is_part_of_what_is_indexed() -> None:
    assert spoken(row(1, speaker="Maria")) == "Maria: at 1"
    assert spoken(row(1)) == "at 1"
