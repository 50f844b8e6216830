"""The wall between tenants: each gap is found before the server starts, and what the two roles may not do."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import asyncpg
import pytest

from backend.errors import BrokenWall
from backend.stores.database import Database
from backend.stores.pool import open_pool
from backend.stores.roles import Logins, user_of
from backend.stores.wall import refuse_gaps
from backend.tests.factories import TenantFactory
from backend.tests.stores.planted_rows import Planted, plant

if TYPE_CHECKING:
    from asyncpg import Connection, Pool, Record

APP, WORKER = "numen_tests_app", "numen_tests_worker"
_TENANT = "tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid)"


class Inside:
    """Looks like a pool of a role's connections, and asks inside the owner's open transaction, which sees the gap."""

    def __init__(self, owner: Connection, role: str) -> None:
        self._owner = owner
        self._role = role

    async def fetch(self, query: str) -> list[Record]:
        await self._owner.execute(f"SET LOCAL ROLE {self._role}")
        try:
            return await self._owner.fetch(query)
        finally:
            await self._owner.execute("RESET ROLE")

    async def fetchval(self, query: str) -> Any:
        return (await self.fetch(query))[0][0]


@asynccontextmanager
async def undone(owner: Connection) -> AsyncGenerator[None]:
    transaction = owner.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


async def gaps(owner: Connection) -> None:
    await refuse_gaps(cast("Pool", Inside(owner, APP)), cast("Pool", Inside(owner, WORKER)))


async def test_the_migrated_database_has_no_gap(database_url: str, owner: Connection) -> None:
    logins = Logins.derived(database_url)
    assert (user_of(logins.app), user_of(logins.worker)) == (APP, WORKER)
    app, worker = await open_pool(logins.app, size=1, name="app"), await open_pool(logins.worker, size=1, name="worker")
    await refuse_gaps(app, worker)
    await app.close()
    await worker.close()
    async with undone(owner):  # the control of the tests below: nothing planted, nothing found
        await gaps(owner)


@pytest.mark.parametrize(
    ("planted", "named"),
    [
        ("ALTER TABLE agents NO FORCE ROW LEVEL SECURITY", "the table agents has a tenant and no forced row-level"),
        ("ALTER TABLE agents DISABLE ROW LEVEL SECURITY", "the table agents has a tenant and no forced row-level"),
        ("ALTER TABLE tenants DISABLE ROW LEVEL SECURITY", "the table tenants has a tenant and no forced row-level"),
        ("DROP POLICY tenant ON threads", "the table threads has a tenant and no forced row-level"),
        ("CREATE TABLE notes (tenant_id uuid)", "the table notes has a tenant and no forced row-level"),
        (f"ALTER TABLE runs OWNER TO {APP}", f"the role {APP} owns runs"),
        (f"ALTER TABLE runs OWNER TO {WORKER}", f"the role {WORKER} owns runs"),
        (f"ALTER ROLE {APP} BYPASSRLS", f"the role {APP} is a superuser or bypasses row-level security"),
        (f"ALTER ROLE {APP} SUPERUSER", f"the role {APP} is a superuser or bypasses row-level security"),
        (f"ALTER ROLE {WORKER} BYPASSRLS", f"the role {WORKER} is a superuser or bypasses row-level security"),
        (f"GRANT postgres TO {APP}", f"the role {APP} may become postgres"),
        (f"GRANT numen_workers TO {APP}", "the app's role is also the worker's"),
        ("CREATE POLICY everybody ON agents USING (true)", "the table agents has a policy everybody"),
        ("CREATE POLICY worker ON thread_messages TO numen_apps USING (true)", "thread_messages has a policy worker"),
        ("CREATE POLICY worker ON thread_messages USING (true)", "thread_messages has a policy worker"),
        (
            "DROP POLICY tenant ON agents; CREATE POLICY tenant ON agents USING (true) WITH CHECK (true)",
            "the tenant's policy of the table agents does not ask for the tenant",
        ),
        (
            f"DROP POLICY tenant ON agents; CREATE POLICY tenant ON agents USING ({_TENANT}) WITH CHECK (true)",
            "the tenant's policy of the table agents does not ask for the tenant",
        ),
        (f"GRANT TRUNCATE ON agents TO {APP}", f"the role {APP} may truncate agents"),
        ("CREATE VIEW everything AS SELECT * FROM agents", "the view everything runs as its owner"),
        ("CREATE MATERIALIZED VIEW everything AS SELECT * FROM agents", "the view everything runs as its owner"),
        (
            "CREATE FUNCTION all_agents() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
            "the function all_agents() runs as its owner",
        ),
    ],
)
async def test_a_planted_gap_is_named(planted: str, named: str, owner: Connection) -> None:
    async with undone(owner):
        await owner.execute(planted)
        with pytest.raises(BrokenWall) as refused:
            await gaps(owner)
    assert named in refused.value.detail


async def test_every_gap_is_named_at_once(owner: Connection) -> None:
    async with undone(owner):
        await owner.execute(
            "ALTER TABLE agents NO FORCE ROW LEVEL SECURITY; ALTER TABLE runs DISABLE ROW LEVEL SECURITY"
        )
        with pytest.raises(BrokenWall) as refused:
            await gaps(owner)
    assert refused.value.detail.count("no forced row-level security") == 2


async def test_a_view_that_asks_as_its_reader_is_no_gap(owner: Connection) -> None:
    async with undone(owner):
        await owner.execute("CREATE VIEW everything WITH (security_invoker = true) AS SELECT * FROM agents")
        await gaps(owner)


# --- what the app may not do ---


@pytest.fixture
async def planted(database: Database) -> Planted:
    return await plant(database)


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET action = 'nothing happened'",
        """UPDATE audit_log SET detail = '{"name": "another"}'""",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "INSERT INTO audit_log (tenant_id, actor_id, action, subject_type, subject_id, created_at)"
        " VALUES (current_setting('app.tenant_id')::uuid, gen_random_uuid(), 'x', 'y', gen_random_uuid(), now())",
        "INSERT INTO agent_schedules (tenant_id, agent_id, schedule)"
        " VALUES (current_setting('app.tenant_id')::uuid, gen_random_uuid(), '* * * * *')",
        "UPDATE agent_schedules SET next_at = now()",
        "TRUNCATE agents",
        "CREATE TABLE mine (id int)",
        "ALTER TABLE agents DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenant ON agents",
        "SELECT * FROM schema_migrations",
        "SET ROLE numen_workers",
    ],
)
async def test_the_app_may_not(statement: str, planted: Planted, database_url: str) -> None:
    async with connected(Logins.derived(database_url).app) as app, app.transaction():
        await app.execute(f"SET LOCAL app.tenant_id = '{planted.caller.tenant_id}'")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.execute(statement)


TABLES = (
    "tenants", "users", "agents", "agent_versions", "threads", "thread_messages", "runs", "api_keys",
    "idempotency_keys", "outbox", "audit_log", "memories", "memory_revisions", "recalls", "erasures",
    "agent_schedules", "webhooks", "run_steps", "sessions",
)  # fmt: skip


async def count(connection: Connection, table: str) -> int:
    return len(await connection.fetch(f"TABLE {table}"))


async def test_no_tenant_means_no_rows(planted: Planted, database_url: str, owner: Connection) -> None:
    async with connected(Logins.derived(database_url).app) as app:
        for table in TABLES:
            assert await count(app, table) == 0, table
            assert await count(owner, table) > 0, table
            for setting in ("", str(uuid4())):
                async with app.transaction():
                    await app.execute(f"SET LOCAL app.tenant_id = '{setting}'")
                    assert await count(app, table) == 0, table
        async with app.transaction():
            await app.execute(f"SET LOCAL app.tenant_id = '{planted.caller.tenant_id}'")
            seen = {table: await count(app, table) for table in TABLES}
        assert all(seen.values()), seen


async def test_the_tables_above_are_all_there_are(owner: Connection) -> None:
    tables = await owner.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert {row["tablename"] for row in tables} == {*TABLES, "schema_migrations"}


@pytest.mark.parametrize("table", [one for one in TABLES if one != "tenants"])
async def test_rows_cannot_be_moved_to_another_tenant(
    table: str, planted: Planted, tenant: TenantFactory, database_url: str
) -> None:
    other = await tenant()
    async with connected(Logins.derived(database_url).app) as app, app.transaction():
        await app.execute(f"SET LOCAL app.tenant_id = '{planted.caller.tenant_id}'")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.execute("UPDATE a_table SET tenant_id = $1".replace("a_table", table), other.tenant_id)


# --- what the worker may not do ---


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT content FROM thread_messages",
        "SELECT id FROM threads",
        "SELECT contract FROM agent_versions",
        "SELECT action FROM audit_log",
        "SELECT email FROM users",
        "SELECT name FROM tenants",
        "SELECT name FROM agents",
        "SELECT text FROM runs",
        "SELECT body FROM idempotency_keys",
        "SELECT request_hash FROM idempotency_keys",
        "SELECT text FROM memories",
        "SELECT user_id FROM memories",
        "SELECT memory_id FROM memory_revisions",
        "SELECT message_id FROM recalls",
        "SELECT id FROM erasures",
        "INSERT INTO outbox (tenant_id, kind, subject_id, last_error)"
        " VALUES (gen_random_uuid(), 'x', gen_random_uuid(), 'x')",
        "SELECT name FROM webhooks",
        "UPDATE webhooks SET secret = ''",
        "DELETE FROM webhooks",
        "DELETE FROM agent_schedules",
        "UPDATE memories SET indexed_at = now()",
        "DELETE FROM memories",
        "INSERT INTO api_keys (tenant_id) VALUES (gen_random_uuid())",
        "UPDATE agents SET contract = '{}'",
        "UPDATE api_keys SET role = 'owner'",
        "UPDATE api_keys SET revoked_at = NULL",
        "UPDATE outbox SET subject_id = gen_random_uuid()",
        "UPDATE runs SET status = 'failed'",
        "DELETE FROM agents",
        "DELETE FROM api_keys",
        "DELETE FROM users",
        "DELETE FROM tenants",
        "TRUNCATE outbox",
        "SET ROLE numen_apps",
    ],
)
async def test_the_worker_may_not(statement: str, planted: Planted, database_url: str) -> None:
    async with connected(Logins.derived(database_url).worker) as worker:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await worker.execute(statement)


async def test_the_worker_sees_what_delivery_needs(planted: Planted, database: Database) -> None:
    agent = (planted.caller.tenant_id, planted.contract.id)
    async with database.worker() as worker:
        assert set(await worker.contracts([agent])) == {planted.contract.id}
        assert (await worker.waiting(["agent.mirror"])).pending == 2
        known = await worker.key_by_prefix("planted")
    assert known is not None
    assert known.tenant_id == planted.caller.tenant_id
