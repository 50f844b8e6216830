"""What tests begin with, made through the real stores."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID, uuid4

from backend.models.tenant import ADMIN_USER_ID, DEFAULT_TENANT_ID, Caller, Role
from backend.stores.database import Database


class TenantFactory(Protocol):
    """Makes a tenant with one person in it; the caller is that person."""

    async def __call__(self, role: Role = Role.OWNER, *, scopes: frozenset[str] = frozenset()) -> Caller: ...


async def make_tenant(database: Database, role: Role = Role.OWNER, *, scopes: frozenset[str] = frozenset()) -> Caller:
    """A tenant of its own with one person in it, who is the caller."""
    caller = Caller(uuid4(), uuid4(), role, scopes)
    async with database.tenant(caller.tenant_id) as tx:
        await tx.users.insert_tenant("Test tenant", f"test-{caller.tenant_id.hex}")
        await tx.users.insert(caller.user_id, f"{caller.user_id.hex}@example.org", "Test person")
    return caller


async def make_user(database: Database, tenant_id: UUID, role: Role = Role.MEMBER) -> Caller:
    """One more person in a tenant."""
    caller = Caller(tenant_id, uuid4(), role)
    async with database.tenant(tenant_id) as tx:
        await tx.users.insert(caller.user_id, f"{caller.user_id.hex}@example.org", "Another person")
    return caller


async def make_default_tenant(database: Database) -> Caller:
    """The tenant and person that the seed script makes, as its owner."""
    async with database.tenant(DEFAULT_TENANT_ID) as tx:
        await tx.users.insert_tenant("Numen AI", "numen-ai")
        await tx.users.insert(ADMIN_USER_ID, "admin@numen.ai", "Admin User")
    return Caller(DEFAULT_TENANT_ID, ADMIN_USER_ID, Role.OWNER, frozenset({"act_as"}))
