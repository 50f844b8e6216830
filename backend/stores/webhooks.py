"""Rows of webhooks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from backend.models.webhook import Webhook
from backend.stores.queries import load

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_SQL = load("webhooks")


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """A webhook to store."""

    id: UUID
    agent_id: UUID
    name: str
    secret: bytes = field(repr=False)


class WebhookStore:
    """Webhooks of one tenant, without their secrets."""

    def __init__(self, connection: Connection, tenant_id: UUID) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    async def insert(self, new: NewWebhook, actor_id: UUID, actor_key_id: UUID | None) -> Webhook | None:
        """A webhook that acts for who makes it, with its audit entry; None when there is one of this id already."""
        row = await self._connection.fetchrow(
            _SQL["insert"], self._tenant_id, new.id, new.agent_id, actor_id, new.name, new.secret, actor_key_id
        )
        return None if row is None else _webhook(row)

    async def of_agent(self, agent_id: UUID) -> list[Webhook]:
        """Newest first."""
        return [_webhook(row) for row in await self._connection.fetch(_SQL["of_agent"], self._tenant_id, agent_id)]

    async def delete(self, webhook_id: UUID, actor_id: UUID, actor_key_id: UUID | None) -> bool:
        """Take it away, with an audit entry; False when there is no such webhook."""
        found = await self._connection.fetchval(_SQL["delete"], self._tenant_id, webhook_id, actor_id, actor_key_id)
        return found is not None

    async def touch(self, webhook_id: UUID) -> None:
        """Remember that an event came in."""
        await self._connection.execute(_SQL["touch"], self._tenant_id, webhook_id)


def _webhook(row: Record) -> Webhook:
    return Webhook.model_validate(dict(row))
