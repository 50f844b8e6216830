"""Rows of agents and their versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from backend.models.agent import AgentContract
from backend.models.agent_record import AgentFilter, AgentRecord
from backend.models.agent_versions import AgentVersion, AgentVersionSummary
from backend.models.page import NEWEST, Cursor
from backend.stores.queries import load

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_SQL = load("agents")


@dataclass(frozen=True, slots=True)
class Author:
    """Who makes a version, and which request (a repeated one finds its work done)."""

    user_id: UUID
    api_key_id: UUID | None = None
    operation_id: UUID | None = None


class AgentStore:
    """Agents of one tenant."""

    def __init__(self, connection: Connection, tenant_id: UUID) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    async def get(self, agent_id: UUID) -> AgentRecord | None:
        """The agent, archived or not."""
        row = await self._connection.fetchrow(_SQL["get"], self._tenant_id, agent_id)
        return _record(row) if row else None

    async def lock(self, agent_id: UUID) -> AgentRecord | None:
        """The agent, with its row locked against other changes until the transaction ends."""
        row = await self._connection.fetchrow(_SQL["lock"], self._tenant_id, agent_id)
        return _record(row) if row else None

    async def page(
        self, which: AgentFilter, cursor: Cursor | None, limit: int, offset: int
    ) -> tuple[list[AgentRecord], Cursor | None]:
        """Newest first, and where the next page starts (None on the last)."""
        after = cursor or NEWEST
        place = (after.created_at, after.id)
        listed = (self._tenant_id, which.status, which.agent_type, *place, limit + 1, offset)
        if which.tag is None and which.q is None:
            rows = await self._connection.fetch(_SQL["list_page"], *listed)
        else:
            rows = await self._connection.fetch(_SQL["search_page"], *listed, which.tag, which.q)
        items = [_record(row) for row in rows[:limit]]
        return items, Cursor(items[-1].created_at, items[-1].id) if len(rows) > limit else None

    async def count(self, which: AgentFilter) -> int:
        """How many there are in all."""
        values = (which.status, which.agent_type, which.tag, which.q)
        return await self._connection.fetchval(_SQL["count"], self._tenant_id, *values)

    async def named(self, name: str) -> UUID | None:
        """The id of the oldest agent of this name that is not archived."""
        return await self._connection.fetchval(_SQL["named"], self._tenant_id, name)

    async def interviewer(self, types: Sequence[str]) -> UUID | None:
        """The oldest active agent of these types whose contract has an interview."""
        return await self._connection.fetchval(_SQL["interviewer"], self._tenant_id, list(types))

    async def writer(self, types: Sequence[str]) -> UUID | None:
        """The oldest active agent of these types whose contract has a script."""
        return await self._connection.fetchval(_SQL["writer"], self._tenant_id, list(types))

    async def insert(self, contract: AgentContract, summary: str, author: Author, *, ordinal: int = 1) -> bool:
        """The row, version, audit entry and mirror order of a new agent; False when the id is there already.

        `ordinal` leaves room for the earlier versions of an imported history.
        """
        stored = await self._connection.fetchval(
            _SQL["insert"], self._tenant_id, contract.id, author.user_id, contract.name, contract.type,
            contract.version, contract.metadata.status, list(contract.metadata.tags), contract.stored_json(),
            contract.created_at, summary, author.api_key_id, contract.updated_at, ordinal,
        )  # fmt: skip
        return stored is not None

    async def insert_version(self, agent_id: UUID, ordinal: int, version: AgentVersion, author: UUID) -> None:
        """One version of an imported history."""
        await self._connection.execute(
            _SQL["insert_version"], self._tenant_id, agent_id, ordinal, version.version,
            version.contract.stored_json(), version.change_summary, author, version.created_at,
        )  # fmt: skip

    async def update(self, contract: AgentContract, summary: str, author: Author, action: str) -> None:
        """The row and its new version; the caller holds the row's lock. `action` names it in the audit log."""
        await self._connection.execute(
            _SQL["update"], self._tenant_id, contract.id, contract.name, contract.type, contract.metadata.status,
            contract.version, list(contract.metadata.tags), contract.stored_json(), summary, author.user_id,
            author.api_key_id, author.operation_id, action, contract.updated_at,
        )  # fmt: skip

    async def operation_done(self, agent_id: UUID, operation_id: UUID) -> bool:
        """Whether this request already made its version."""
        return bool(await self._connection.fetchval(_SQL["operation_done"], self._tenant_id, agent_id, operation_id))

    async def versions(self, agent_id: UUID, limit: int, offset: int) -> tuple[list[AgentVersionSummary], int]:
        """Newest first, and how many there are."""
        rows = await self._connection.fetch(_SQL["versions"], self._tenant_id, agent_id, limit, offset)
        total: int = await self._connection.fetchval(_SQL["version_count"], self._tenant_id, agent_id)
        return [AgentVersionSummary.model_validate(dict(row)) for row in rows], total

    async def version(self, agent_id: UUID, version: str) -> AgentVersion | None:
        """One version with its contract."""
        row = await self._connection.fetchrow(_SQL["version"], self._tenant_id, agent_id, version)
        return _version(row) if row else None

    async def history(self, agent_id: UUID, most: int) -> list[AgentVersion]:
        """The newest versions, oldest first."""
        rows = await self._connection.fetch(_SQL["history"], self._tenant_id, agent_id, most)
        return [_version(row) for row in rows]


def _record(row: Record) -> AgentRecord:
    return AgentRecord(*row)  # the queries name the columns in the record's order


def _version(row: Record) -> AgentVersion:
    contract = AgentContract.model_validate_json(row["contract_json"])
    columns: Sequence[str] = ("version", "change_summary", "created_by", "created_at")
    return AgentVersion.model_validate({name: row[name] for name in columns} | {"contract": contract})
