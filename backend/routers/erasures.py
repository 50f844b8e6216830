"""The erasure of a person over HTTP: `DELETE /api/v1/users/{user_id}/data`, and what became of it."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from backend.errors import Conflict, ErasureNotFound, UserNotFound
from backend.models.erasure import Erasure
from backend.routers.dependencies import Erasures, Member, Viewer
from backend.routers.idempotent_route import IdempotentRoute
from backend.routers.problems import PROBLEM_RESPONSES, problem_responses

router = APIRouter(prefix="/api/v1", tags=["erasures"], route_class=IdempotentRoute, responses=PROBLEM_RESPONSES)


@router.delete(
    "/users/{user_id}/data",
    status_code=202,
    response_model=Erasure,
    responses={
        200: {"description": "It was done before: here is the certificate", "model": Erasure},
        **problem_responses(UserNotFound, Conflict),
    },
    operation_id="erasePerson",
)
async def erase_person(response: Response, caller: Member, erasures: Erasures, user_id: UUID) -> Erasure:
    """Remove everything about a person, for good: yourself, or as an admin anybody of the tenant.

    Their conversations, memories and keys are gone with this answer; search index and database files follow within
    seconds. `Location` is where the certificate will be. Repeating the request changes nothing.
    """
    erasure = await erasures.erase(caller, user_id)
    response.headers["Location"] = f"/api/v1/erasures/{erasure.id}"
    if erasure.status == "done":
        response.status_code = 200
    return erasure


@router.get(
    "/erasures/{erasure_id}",
    response_model=Erasure,
    responses=problem_responses(ErasureNotFound),
    operation_id="getErasure",
)
async def get_erasure(caller: Viewer, erasures: Erasures, erasure_id: UUID) -> Erasure:
    """Read how far an erasure is, and its certificate when every store has confirmed. For admins and who asked."""
    return await erasures.get(caller, erasure_id)
