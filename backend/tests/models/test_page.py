"""Places in lists."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import Invalid
from backend.models.page import NEWEST, Cursor

ID = UUID("7c1f0a52-6a0e-4a6e-9d57-2f0b8a1c3d4e")  # the same in every process: it is part of a test's name


@given(st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_a_cursor_comes_back_as_it_was(moment: datetime, identifier: UUID) -> None:
    cursor = Cursor(moment, identifier)
    text = cursor.encode()
    assert text.isascii()
    assert not set(text) & set("+/=&?# ")
    assert Cursor.decode(text) == cursor


def test_a_moment_elsewhere_is_the_same_moment() -> None:
    there = datetime(2026, 11, 2, 12, tzinfo=timezone(timedelta(hours=5)))
    assert Cursor.decode(Cursor(there, NEWEST.id).encode()).created_at == datetime(2026, 11, 2, 7, tzinfo=UTC)


def coded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "!!!!", "ä", "\x00", "abcd", coded("2026-11-02"), coded("|"), coded(f"yesterday|{ID}"),
        coded("2026-11-02T12:00:00+00:00|7"), coded(f"2026-11-02T12:00:00+00:00|{ID}|more"),
        coded(f"9999-12-31T23:59:59-14:00|{ID}"), coded(f"0001-01-01T00:00:00+14:00|{ID}"), "a" * 10_000,
    ],
)  # fmt: skip
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        Cursor.decode(text)
    assert refused.value.errors[0].pointer == "/cursor"
