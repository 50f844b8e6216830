"""All stores of one tenant, each made when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING
from uuid import UUID

from backend.stores.agents import AgentStore
from backend.stores.api_keys import ApiKeyStore
from backend.stores.audit import AuditStore
from backend.stores.erasures import ErasureStore
from backend.stores.idempotency import IdempotencyStore
from backend.stores.memories import MemoryStore
from backend.stores.run_steps import RunStepStore
from backend.stores.runs import RunStore
from backend.stores.schedules import ScheduleStore
from backend.stores.sessions import SessionStore
from backend.stores.threads import ThreadStore
from backend.stores.users import UserStore
from backend.stores.webhooks import WebhookStore

if TYPE_CHECKING:
    from asyncpg import Connection


class TenantStores:
    """The stores of one tenant over one connection."""

    def __init__(self, connection: Connection, tenant_id: UUID) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    @cached_property
    def agents(self) -> AgentStore:
        """Agents and their versions."""
        return AgentStore(self._connection, self._tenant_id)

    @cached_property
    def threads(self) -> ThreadStore:
        """Threads and messages."""
        return ThreadStore(self._connection, self._tenant_id)

    @cached_property
    def runs(self) -> RunStore:
        """Turns."""
        return RunStore(self._connection, self._tenant_id)

    @cached_property
    def run_steps(self) -> RunStepStore:
        """What runs did."""
        return RunStepStore(self._connection, self._tenant_id)

    @cached_property
    def sessions(self) -> SessionStore:
        """Interviews, and what is made from them."""
        return SessionStore(self._connection, self._tenant_id)

    @cached_property
    def memories(self) -> MemoryStore:
        """What agents know, and which of it an answer was given."""
        return MemoryStore(self._connection, self._tenant_id)

    @cached_property
    def users(self) -> UserStore:
        """People, and the tenant's own row."""
        return UserStore(self._connection, self._tenant_id)

    @cached_property
    def api_keys(self) -> ApiKeyStore:
        """API keys."""
        return ApiKeyStore(self._connection, self._tenant_id)

    @cached_property
    def idempotency(self) -> IdempotencyStore:
        """Requests that may come twice."""
        return IdempotencyStore(self._connection, self._tenant_id)

    @cached_property
    def erasures(self) -> ErasureStore:
        """People who were taken out of everything."""
        return ErasureStore(self._connection, self._tenant_id)

    @cached_property
    def schedules(self) -> ScheduleStore:
        """When agents run by themselves."""
        return ScheduleStore(self._connection, self._tenant_id)

    @cached_property
    def webhooks(self) -> WebhookStore:
        """Addresses where events come in."""
        return WebhookStore(self._connection, self._tenant_id)

    @cached_property
    def audit(self) -> AuditStore:
        """Who did what."""
        return AuditStore(self._connection, self._tenant_id)
