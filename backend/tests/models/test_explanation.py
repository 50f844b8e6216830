"""Refusals in words for people."""

from __future__ import annotations

from uuid import UUID

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from backend.models.explanation import explain, pointer
from backend.tests.models.contracts import refusals


class Visit(BaseModel):
    guest: UUID
    rooms: list[int]


def test_sentences_name_what_came() -> None:
    assert refusals(Visit, {"guest": "me", "rooms": 5}) == {
        "/guest": "must be a UUID, not 'me'",
        "/rooms": "must be a list, not 5",
    }
    assert refusals(Visit, {"guest": str(UUID(int=1))}) == {"/rooms": "is required"}


def test_what_we_have_no_words_for_keeps_pydantics() -> None:
    assert "valid integer" in refusals(Visit, {"guest": str(UUID(int=1)), "rooms": ["x"]})["/rooms/0"]


def test_the_whole_value_has_the_empty_pointer() -> None:
    with pytest.raises(ValidationError) as refusal:
        TypeAdapter(dict[str, int]).validate_python([1])
    assert explain(refusal.value.errors()) == [("", "must be an object, not [1]")]


def test_pointers_are_escaped() -> None:
    assert pointer(("a/b", "~", 0)) == "/a~1b/~0/0"
