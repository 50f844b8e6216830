"""What each kind of problem means: the page that the `type` of every error answer points to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from backend.errors import BrokenWall, Invalid, Misconfigured, NumenError
from backend.models.base import FrozenModel
from backend.routers.http_errors import MalformedUrl, NotAcceptedByFramework, ProblemTypeNotFound
from backend.routers.problems import kind_of, problem_responses

router = APIRouter(prefix="/problems", tags=["problems"])


class ProblemType(FrozenModel):
    """One kind of problem."""

    type: str = Field(examples=["/problems/thread-busy"])
    code: str = Field(examples=["thread-busy"])
    title: str = Field(examples=["The thread is still answering"])
    status: int = Field(examples=[409])
    advice: str = Field(
        description="What the caller can do about it",
        examples=["Read the current state, then decide whether the request still makes sense."],
    )
    family: list[str] = Field(
        description="Codes of the more general kinds that it belongs to, nearest first",
        examples=[["conflict", "internal"]],
    )


def _tree(root: type[NumenError]) -> Iterator[type[NumenError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


def _described(error: type[NumenError]) -> ProblemType:
    kind = kind_of(error)
    family = [ancestor.code for ancestor in error.__mro__[1:] if issubclass(ancestor, NumenError)]
    return ProblemType(
        type=f"/problems/{error.code}",
        code=error.code,
        title=error.title,
        status=kind.status,
        advice=kind.advice,
        family=family,
    )


# The first two stop the server's start, and the third has a status of its own each time.
_NEVER_ANSWERED = {BrokenWall, Misconfigured, NotAcceptedByFramework}
PROBLEM_TYPES = {
    error.code: _described(error)
    for error in _tree(NumenError)
    if error not in _NEVER_ANSWERED and error.__module__.startswith("backend.")
}


@router.get("", operation_id="listProblemTypes", summary="Every kind of problem")
async def list_problem_types() -> list[ProblemType]:
    """All kinds of problems that this server answers with."""
    return list(PROBLEM_TYPES.values())


@router.get(
    "/{code}",
    operation_id="getProblemType",
    summary="One kind of problem",
    responses=problem_responses(MalformedUrl, ProblemTypeNotFound, Invalid),
)
async def get_problem_type(code: Annotated[str, Path(max_length=64)]) -> ProblemType:
    """What a problem of this kind means and what to do about it. Errors: `ProblemTypeNotFound`."""
    if code not in PROBLEM_TYPES:
        raise ProblemTypeNotFound("There is no kind of problem with this code; GET /problems lists them all.")
    return PROBLEM_TYPES[code]
