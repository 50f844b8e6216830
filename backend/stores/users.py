"""Rows of people, and of the tenant itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from backend.stores.queries import load

if TYPE_CHECKING:
    from asyncpg import Connection

_SQL = load("users")


@dataclass(frozen=True, slots=True)
class Standing:
    """Status ("active" or "suspended") of a tenant and of a person in it; the person's is None when there is none."""

    tenant: str
    user: str | None

    @property
    def active(self) -> bool:
        """Whether both are there and active."""
        return self.tenant == self.user == "active"


class UserStore:
    """People of one tenant."""

    def __init__(self, connection: Connection, tenant_id: UUID) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    async def insert_tenant(self, name: str, slug: str) -> bool:
        """The tenant's own row; False when it is there already."""
        return await self._connection.fetchval(_SQL["insert_tenant"], self._tenant_id, name, slug) is not None

    async def delete_tenant(self) -> bool:
        """The tenant with everything it has."""
        # Agents first: they and their versions name people, who otherwise could not go.
        await self._connection.execute(_SQL["delete_agents"], self._tenant_id)
        return await self._connection.fetchval(_SQL["delete_tenant"], self._tenant_id) is not None

    async def insert(self, user_id: UUID, email: str | None, name: str) -> bool:
        """A person; False when the id or address is there already."""
        return await self._connection.fetchval(_SQL["insert"], self._tenant_id, user_id, email, name) is not None

    async def person(self, user_id: UUID, external_id: str) -> tuple[UUID, str]:
        """The id and status of a product's own user, made on first use (under `user_id`)."""
        row = await self._connection.fetchrow(_SQL["person"], self._tenant_id, user_id, external_id)
        if row is None:
            raise LookupError(external_id)
        return UUID(int=row["id"].int), row["status"]

    async def standing(self, user_id: UUID) -> Standing | None:
        """How the tenant and this person of it stand; None when there is no such tenant."""
        row = await self._connection.fetchrow(_SQL["standing"], self._tenant_id, user_id)
        return None if row is None else Standing(row["tenant_status"], row["user_status"])
