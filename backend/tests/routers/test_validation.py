"""What pydantic finds is told to people: where, what, and never what they had sent."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

import pytest
from fastapi import APIRouter, Header, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, HttpUrl, field_validator
from pydantic_core import core_schema

from backend.routers import validation
from backend.routers.strict_json import StrictRoute
from backend.tests.routers.small_app import client_of, small_app

SECRET = "canary-7391"


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Step(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["a", "b"]
    text: str = Field(min_length=1, max_length=5, pattern="^[a-z]*$")


class Everything(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=False)

    steps: list[Step] = Field([], max_length=2)
    percent: int = Field(50, ge=0, le=100)
    more: float = Field(1.0, gt=0, lt=2, allow_inf_nan=False)
    flag: bool = False
    colour: Colour = Colour.RED
    id: UUID | None = None
    at: AwareDatetime | None = None
    day: datetime | None = None
    page: HttpUrl | None = None
    either: int | list[int] = 0
    names: dict[str, Step] = {}

    @field_validator("flag")
    @classmethod
    def _our_own_rule(cls, flag: bool) -> bool:
        if flag:
            raise ValueError("must stay off while the moon is full")
        return flag


router = APIRouter(route_class=StrictRoute)


@router.post("/everything")
async def take_everything(
    body: Everything,
    limit: Annotated[int, Query(ge=1, le=100)] = 1,
    x_mood: Annotated[str | None, Header(max_length=5)] = None,
) -> None:
    """Take it."""


async def refused(body: Any, query: str = "", headers: dict[str, str] | None = None) -> dict[str, Any]:
    async with client_of(small_app(router)) as client:
        answer = await client.post(f"/api/everything{query}", json=body, headers=headers)
    assert answer.status_code == 422, answer.text
    assert SECRET not in answer.text.replace(f"/{SECRET}", "")
    return answer.json()


@pytest.mark.parametrize(
    ("body", "pointer", "detail"),
    [
        ({"percent": 101}, "/percent", "must be at most 100"),
        ({"percent": -1}, "/percent", "must be at least 0"),
        ({"percent": 1.5}, "/percent", "must be a whole number"),
        ({"percent": SECRET}, "/percent", "must be a whole number"),
        ({"percent": None}, "/percent", "must be a whole number"),
        ({"more": 0}, "/more", "must be more than 0.0"),
        ({"more": 2}, "/more", "must be less than 2.0"),
        ({"more": SECRET}, "/more", "must be a number"),
        ({"flag": SECRET}, "/flag", "must be true or false"),
        ({"flag": True}, "/flag", "must stay off while the moon is full"),
        ({"colour": SECRET}, "/colour", "must be 'red' or 'blue'"),
        ({"id": SECRET}, "/id", "must be a UUID"),
        ({"at": SECRET}, "/at", "must be a date and time in ISO 8601"),
        ({"at": "2026-01-01T00:00:00"}, "/at", "must have a time zone"),
        ({"page": SECRET}, "/page", "must be a URL"),
        ({"steps": SECRET}, "/steps", "must be a list"),
        ({"steps": [{"kind": "a", "text": "x"}] * 3}, "/steps", "must have at most 2 items"),
        ({"steps": [SECRET]}, "/steps/0", "must be an object"),
        ({"steps": [{"kind": "a"}]}, "/steps/0/text", "is required"),
        ({"steps": [{"kind": SECRET, "text": "x"}]}, "/steps/0/kind", "must be 'a' or 'b'"),
        ({"steps": [{"kind": "a", "text": ""}]}, "/steps/0/text", "must have at least 1 character"),
        ({"steps": [{"kind": "a", "text": SECRET}]}, "/steps/0/text", "must have at most 5 characters"),
        ({"steps": [{"kind": "a", "text": "A"}]}, "/steps/0/text", "must match ^[a-z]*$"),
        ({"steps": [{"kind": "a", "text": 5}]}, "/steps/0/text", "must be text"),
        ({"names": {"a/b~c": {"kind": "a"}}}, "/names/a~1b~0c/text", "is required"),
        ({SECRET: 1}, f"/{SECRET}", "is not a known field"),
        ([], "", "must be an object"),
        ("text", "", "must be an object"),
    ],
)
async def test_where_and_what(body: Any, pointer: str, detail: str) -> None:
    answer = await refused(body)
    assert answer["errors"] == [{"pointer": pointer, "detail": detail}]
    assert answer["detail"] == f"{pointer or 'The body'} {detail}."


async def test_the_steps_of_a_union_are_not_in_the_pointer() -> None:
    answer = await refused({"either": [1, SECRET]})
    assert {one["pointer"] for one in answer["errors"]} == {"/either", "/either/1"}


async def test_parameters_are_named_by_their_place() -> None:
    answer = await refused({}, f"?limit={SECRET}", {"x-mood": "far too long"})
    assert answer["errors"] == [
        {"pointer": "", "in": "query", "name": "limit", "detail": "must be a whole number"},
        {"pointer": "", "in": "header", "name": "x-mood", "detail": "must have at most 5 characters"},
    ]
    assert answer["detail"] == "2 values were refused; errors says which and why."


async def test_a_flood_of_errors_is_bounded() -> None:
    answer = await refused({f"{'x' * 200}{number}": 1 for number in range(500)})
    assert len(answer["errors"]) == 50
    assert max(len(one["pointer"]) for one in answer["errors"]) < 100


def test_every_kind_that_pydantic_names_has_words() -> None:
    kinds = set(get_args(core_schema.ErrorType))
    named = set(validation.WORDS)
    assert named <= kinds, "a kind was renamed"
    assert all(any(kind.startswith(prefix) for kind in kinds) for prefix in validation.FAMILIES)
