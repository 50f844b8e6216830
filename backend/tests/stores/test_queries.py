"""Every query against the migrated database: it holds, and without its `tenant_id` it still shows nothing foreign."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import pytest

from backend.models.tenant import Caller
from backend.stores.database import Database
from backend.stores.queries import load
from backend.stores.roles import Logins, user_of
from backend.stores.single_statements import alone
from backend.tests.factories import make_tenant
from backend.tests.stores.planted_arguments import arguments
from backend.tests.stores.planted_rows import APP_FILES, Planted, app_queries, plant

if TYPE_CHECKING:
    from asyncpg import Connection

_TENANT_NAMED = re.compile(r"(?:\b\w+\.)?\btenant_id = \$1\b|(?<=WHERE )(?:t\.)?id = \$1\b")
_ALWAYS = "($1::uuid IS NOT NULL)"
_NOTHING_TO_FORGET = {
    "agents.insert", "agents.insert_version", "threads.insert", "api_keys.insert", "audit.record", "users.insert",
    "users.insert_tenant", "users.person", "idempotency.claim", "runs.lock_id",
    "erasures.open", "webhooks.insert", "sessions.insert",
}  # fmt: skip
_STATES = (("active", "active"), ("running",), ("waiting", None))
"""What tells of a row without naming it: the standing of a tenant and its person, of a run, and of a step."""
_DIGEST = """
SELECT md5(string_agg(row::text, ' ' ORDER BY row::text)) FROM (
    SELECT t::text FROM tenants t WHERE id = $1
    UNION ALL SELECT t::text FROM users t WHERE tenant_id = $1
    UNION ALL SELECT t::text FROM agents t WHERE tenant_id = $1
    UNION ALL SELECT t::text FROM agent_versions t WHERE tenant_id = $1
    UNION ALL SELECT t::text FROM threads t WHERE tenant_id = $1
    UNION ALL SELECT t::text FROM thread_messages t WHERE tenant_id = $1
    UNION ALL SELECT t::text FROM runs t WHERE tenant_id = $1
    UNION ALL SELECT t::text FROM run_steps t WHERE tenant_id = $1
    UNION ALL SELECT t::text FROM api_keys t WHERE tenant_id = $1
    UNION ALL SELECT t::text FROM idempotency_keys t WHERE tenant_id = $1
    UNION ALL SELECT t::text FROM outbox t WHERE tenant_id = $1
    UNION ALL SELECT t::text FROM audit_log t WHERE tenant_id = $1
    UNION ALL SELECT t::text FROM memories t WHERE tenant_id = $1
    UNION ALL SELECT t::text FROM memory_revisions t WHERE tenant_id = $1
    UNION ALL SELECT t::text FROM recalls t WHERE tenant_id = $1
    UNION ALL SELECT t::text FROM erasures t WHERE tenant_id = $1
    UNION ALL SELECT t::text FROM agent_schedules t WHERE tenant_id = $1
    UNION ALL SELECT t::text FROM webhooks t WHERE tenant_id = $1
    UNION ALL SELECT t::text FROM sessions t WHERE tenant_id = $1
) AS everything (row)"""


def stripped(name: str) -> str:
    """The query as somebody wrote it who forgot the tenant; $1 keeps its type."""
    sql, times = _TENANT_NAMED.subn(_ALWAYS, app_queries()[name])
    assert times or name in _NOTHING_TO_FORGET, f"nothing to forget in {name}"
    return sql


class Tried:
    """What a query gave as the app's role inside a tenant's transaction, and whether it changed the planted rows."""

    def __init__(self, rows: Sequence[Sequence[Any]], changed: bool) -> None:
        self.rows = rows
        self.changed = changed

    def found(self, planted: Planted) -> bool:
        """Whether the query returned, counted or changed one of the planted rows."""
        text = " ".join(str(value) for row in self.rows for value in row)
        counted = any(isinstance(value, int) and value for row in self.rows for value in row)
        counted = counted or any(told in self.rows for told in _STATES)
        return self.changed or counted or any(name in text for name in planted.names())


@asynccontextmanager
async def as_app(owner: Connection, database_url: str, tenant_id: UUID | None) -> AsyncGenerator[None]:
    """A transaction as the app's role with this tenant, or none, rolled back in the end."""
    role = user_of(Logins.derived(database_url).app)
    transaction = owner.transaction()
    await transaction.start()
    try:
        await owner.execute(f"SET LOCAL ROLE {role}; SET LOCAL app.tenant_id = '{tenant_id or ''}'")
        yield
    finally:
        await transaction.rollback()


async def attempt(
    owner: Connection, database_url: str, inside: UUID | None, sql: str, values: Sequence[Any], whose: Planted
) -> Tried:
    """Run the query in a tenant's transaction, or alone, look as the owner what became of the planted rows, undo it."""
    before = await owner.fetchval(_DIGEST, whose.caller.tenant_id)
    async with as_app(owner, database_url, inside):
        if "DELETE FROM tenants" in sql:
            await owner.execute(app_queries()["users.delete_agents"], values[0])
        rows = await owner.fetch(sql, *values)
        await owner.execute("RESET ROLE")
        after = await owner.fetchval(_DIGEST, whose.caller.tenant_id)
    return Tried([tuple(row.values()) for row in rows], before != after)


@pytest.fixture
async def planted(database: Database) -> Planted:
    return await plant(database)


@pytest.fixture
async def stranger(database: Database) -> Caller:
    return await make_tenant(database)


@pytest.mark.parametrize("file", [*APP_FILES, "worker"])
async def test_every_query_is_valid_for_the_role_that_runs_it(file: str, database_url: str) -> None:
    logins = Logins.derived(database_url)
    connection = await asyncpg.connect(logins.worker if file == "worker" else logins.app)
    try:
        for sql in load(file).values():
            await connection.prepare(sql)
    finally:
        await connection.close()


async def test_every_query_of_the_app_is_tried(planted: Planted) -> None:
    assert set(arguments(planted)) == set(app_queries())


async def test_without_its_tenant_no_query_finds_anything_foreign(
    planted: Planted, stranger: Caller, owner: Connection, database_url: str
) -> None:
    leaks: list[str] = []
    for name, values in arguments(planted).items():
        given = (stranger.tenant_id, *values)
        try:
            tried = await attempt(owner, database_url, stranger.tenant_id, stripped(name), given, planted)
        except (asyncpg.InsufficientPrivilegeError, asyncpg.IntegrityConstraintViolationError):
            continue
        if tried.found(planted):
            leaks.append(f"{name}: {tried.rows}")
    assert not leaks


async def test_naming_another_tenant_finds_and_writes_nothing(
    planted: Planted, stranger: Caller, owner: Connection, database_url: str
) -> None:
    leaks: list[str] = []
    for name, values in arguments(planted).items():
        given = (planted.caller.tenant_id, *values)
        for sql in (app_queries()[name], stripped(name)):
            try:
                tried = await attempt(owner, database_url, stranger.tenant_id, sql, given, planted)
            except asyncpg.InsufficientPrivilegeError:
                continue
            if tried.found(planted):
                leaks.append(f"{name}: {tried.rows}")
    assert not leaks


@pytest.mark.parametrize("how", ["as written", "stripped"])
async def test_inside_the_tenant_the_same_queries_find_the_rows(
    how: str, planted: Planted, owner: Connection, database_url: str
) -> None:
    """The control of the two tests above."""
    blind: list[str] = []
    for name, values in arguments(planted).items():
        sql = app_queries()[name] if how == "as written" else stripped(name)
        given = (planted.caller.tenant_id, *values)
        tried = await attempt(owner, database_url, planted.caller.tenant_id, sql, given, planted)
        if not tried.found(planted):
            blind.append(name)
    # The tenant is there already, and stays as it is; the lock has no row.
    assert blind == ["users.insert_tenant", "runs.lock_id"]


# --- alone ---


def alone_or_none(name: str) -> str | None:
    try:
        return alone(app_queries()[name])
    except ValueError:
        return None


async def test_alone_a_query_finds_the_same(planted: Planted, owner: Connection, database_url: str) -> None:
    different: list[str] = []
    for name, values in arguments(planted).items():
        sql = alone_or_none(name)
        if sql is None:
            continue
        given, tenant = (planted.caller.tenant_id, *values), planted.caller.tenant_id
        together = await attempt(owner, database_url, tenant, app_queries()[name], given, planted)
        single = await attempt(owner, database_url, None, sql, given, planted)
        if (together.rows, together.changed) != (single.rows, single.changed):
            different.append(name)
    assert not different


async def test_alone_and_without_its_tenant_no_query_finds_anything_foreign(
    planted: Planted, stranger: Caller, owner: Connection, database_url: str
) -> None:
    leaks: list[str] = []
    for name, values in arguments(planted).items():
        if alone_or_none(name) is None:
            continue
        given = (stranger.tenant_id, *values)
        try:
            tried = await attempt(owner, database_url, None, alone(stripped(name)), given, planted)
        except asyncpg.IntegrityConstraintViolationError:
            continue
        if tried.found(planted):
            leaks.append(f"{name}: {tried.rows}")
    assert not leaks


async def test_alone_the_tenant_is_set_before_anything_is_read(database: Database, stranger: Caller) -> None:
    async with database.tenant(stranger.tenant_id) as tx:
        app = tx.users._connection  # pyright: ignore[reportPrivateUsage]
        for name in app_queries():
            sql = alone_or_none(name)
            if sql is None or "WITH given" in sql:
                continue
            await app.execute(f"PREPARE looked_at AS {sql}")
            given = ", ".join(["NULL"] * len((await app.prepare(sql)).get_parameters()))
            (plan,) = json.loads(await app.fetchval(f"EXPLAIN (FORMAT JSON, VERBOSE) EXECUTE looked_at ({given})"))
            await app.execute("DEALLOCATE looked_at")
            assert plan["Plan"]["Node Type"] == "Nested Loop", name
            assert "set_config('app.tenant_id'" in str(plan["Plan"]["Plans"][0]), name


@pytest.mark.parametrize("name", ["agents.lock", "agents.update", "runs.finish", "erasures.delete_sessions"])
async def test_what_needs_a_transaction_is_not_done_alone(name: str, database: Database, stranger: Caller) -> None:
    rows = database.statements(stranger.tenant_id).users._connection  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(ValueError, match="part of a transaction"):
        await rows.fetch(app_queries()[name], stranger.tenant_id)


async def test_alone_a_query_names_its_own_tenant(database: Database, stranger: Caller, planted: Planted) -> None:
    rows = database.statements(stranger.tenant_id).users._connection  # pyright: ignore[reportPrivateUsage]
    for values in ((), (planted.caller.tenant_id, planted.contract.id)):
        with pytest.raises(ValueError, match="is the tenant"):
            await rows.fetch(app_queries()["agents.get"], *values)


async def test_a_transaction_without_a_tenant_finds_nothing(
    planted: Planted, owner: Connection, database_url: str
) -> None:
    found: list[str] = []
    for name, values in arguments(planted).items():
        transaction = owner.transaction()
        await transaction.start()
        try:
            await owner.execute(f"SET LOCAL ROLE {user_of(Logins.derived(database_url).app)}")
            rows = await owner.fetch(app_queries()[name], planted.caller.tenant_id, *values)
            if Tried([tuple(row.values()) for row in rows], changed=False).found(planted):
                found.append(name)
        except asyncpg.InsufficientPrivilegeError:
            pass
        finally:
            await transaction.rollback()
    assert not found
