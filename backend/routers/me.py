"""Who you are: `/api/v1/me`."""

from __future__ import annotations

from typing import cast

from fastapi import APIRouter

from backend.models.tenant import Me, RoleName
from backend.routers.dependencies import Viewer
from backend.routers.idempotent_route import IdempotentRoute
from backend.routers.problems import PROBLEM_RESPONSES

router = APIRouter(prefix="/api/v1/me", tags=["identity"], route_class=IdempotentRoute, responses=PROBLEM_RESPONSES)


@router.get("", operation_id="whoAmI", summary="Who you are to Numen")
async def who_am_i(caller: Viewer) -> Me:
    """Your user, tenant, role and scopes; with Numen-User those of the person you speak for."""
    role = cast("RoleName", caller.role.name.lower())
    return Me(user_id=caller.user_id, tenant_id=caller.tenant_id, roles=[role], scopes=sorted(caller.scopes))
