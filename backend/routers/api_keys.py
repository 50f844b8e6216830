"""API keys of the tenant: `/api/v1/api-keys`, for owners."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter

from backend.errors import ApiKeyNotFound, IdempotencyKeyReused, RequestInProgress, SecretAlreadyShown
from backend.models.tenant import ApiKey, ApiKeyCreate, ApiKeyCreated
from backend.routers.dependencies import Access, Owner, SecretOperation
from backend.routers.idempotent_route import IdempotentRoute
from backend.routers.problems import PROBLEM_RESPONSES, problem_responses

router = APIRouter(
    prefix="/api/v1/api-keys", tags=["api keys"], route_class=IdempotentRoute, responses=PROBLEM_RESPONSES
)


@router.get("", operation_id="listApiKeys", summary="List the tenant's API keys")
async def list_api_keys(caller: Owner, access: Access) -> list[ApiKey]:
    """Every key, newest first, revoked ones too; never a secret."""
    return await access.list_keys(caller)


@router.post(
    "",
    status_code=201,
    operation_id="createApiKey",
    summary="Make an API key",
    responses=problem_responses(SecretAlreadyShown, RequestInProgress, IdempotencyKeyReused),
)
async def create_api_key(
    caller: Owner, access: Access, body: ApiKeyCreate, operation: SecretOperation
) -> ApiKeyCreated:
    """Make a key with at most your own rights. The secret is in this answer only.

    Several keys may live at once: to rotate, make a new one, use it everywhere, and revoke the old one.
    """
    return await access.create_key(caller, body, operation)


@router.delete(
    "/{api_key_id}",
    status_code=204,
    operation_id="revokeApiKey",
    summary="Revoke an API key",
    responses=problem_responses(ApiKeyNotFound),
)
async def revoke_api_key(caller: Owner, access: Access, api_key_id: UUID) -> None:
    """Close the door for a key, everywhere within seconds. It stays in the list; doing it twice changes nothing."""
    await access.revoke_key(caller, api_key_id)
