"""Rows of the audit log: who did what to which thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from backend.models.tenant import Caller
from backend.stores.queries import load

if TYPE_CHECKING:
    from asyncpg import Connection

_SQL = load("audit")


class AuditStore:
    """The audit log of one tenant: it can be added to and read, not changed."""

    def __init__(self, connection: Connection, tenant_id: UUID) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    async def record(
        self, caller: Caller, action: str, subject_type: str, subject_id: UUID, detail: dict[str, Any] | None = None
    ) -> None:
        """One entry."""
        await self._connection.execute(
            _SQL["record"], self._tenant_id, caller.user_id, caller.api_key_id, action, subject_type, subject_id,
            orjson.dumps(detail or {}).decode(),
        )  # fmt: skip

    async def of_subject(self, subject_id: UUID) -> list[dict[str, Any]]:
        """What was done to one thing, oldest first: action, actor_id, api_key_id, detail, created_at."""
        rows = await self._connection.fetch(_SQL["of_subject"], self._tenant_id, subject_id)
        return [{**dict(row), "detail": orjson.loads(row["detail"])} for row in rows]
