"""Rows of API keys; of a secret only its hash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from backend.models.tenant import ApiKey, ApiKeyCreate
from backend.stores.queries import load

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_SQL = load("api_keys")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to store: `secret_hash` is SHA-256 of the secret part, 32 bytes."""

    id: UUID
    prefix: str
    secret_hash: bytes


class ApiKeyStore:
    """API keys of one tenant."""

    def __init__(self, connection: Connection, tenant_id: UUID) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    async def insert(
        self, new: NewKey, wanted: ApiKeyCreate, user_id: UUID, actor_id: UUID, actor_key_id: UUID | None
    ) -> ApiKey | None:
        """A key that speaks for `user_id`, with its audit entry; None when there is a key of this id already."""
        row = await self._connection.fetchrow(
            _SQL["insert"], self._tenant_id, new.id, user_id, wanted.name, new.prefix, new.secret_hash, wanted.role,
            list(wanted.scopes), wanted.expires_at, actor_id, actor_key_id,
        )  # fmt: skip
        return None if row is None else _key(row)

    async def list_all(self) -> list[ApiKey]:
        """Newest first, revoked ones too."""
        return [_key(row) for row in await self._connection.fetch(_SQL["list_all"], self._tenant_id)]

    async def any_live(self) -> bool:
        """Whether the tenant has a key that still opens."""
        return await self._connection.fetchval(_SQL["exists_for_tenant"], self._tenant_id)

    async def revoke(self, key_id: UUID, actor_id: UUID, actor_key_id: UUID | None) -> bool:
        """Close the door; False when there is no such key. Closing it twice changes nothing."""
        found = await self._connection.fetchval(_SQL["revoke"], self._tenant_id, key_id, actor_id, actor_key_id)
        return found is not None


def _key(row: Record) -> ApiKey:
    return ApiKey.model_validate(dict(row))
