"""The way to the rows: nothing foreign after cancelled requests, nothing half written, outages told as outages."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import asyncpg
import pytest

from backend.embedded.postgres import EmbeddedPostgres
from backend.errors import DatabaseUnavailable, NumenError
from backend.models.tenant import Caller
from backend.stores.database import Database, TenantTransaction, inside_transaction
from backend.stores.pool import open_pool
from backend.stores.roles import Logins
from backend.stores.schema import bring_up_to_date, create_database
from backend.tests.factories import TenantFactory, make_tenant
from backend.tests.fair_time import fair_timeout
from backend.tests.temporary_folder import temporary_folder

if TYPE_CHECKING:
    from asyncpg import Connection

STORM = 1_000
STORM_TENANTS = 20
STORM_CONNECTIONS = 4
ALL_TENANTS_IN_SIGHT = "SELECT array_agg(id) FROM tenants"


class OtherUUID(UUID):
    """What a driver might give: it says of itself how it is written into SQL."""


def raw(tx: TenantTransaction) -> Connection:
    """The connection of a transaction, for statements that no store has."""
    return tx.users._connection  # pyright: ignore[reportPrivateUsage]


async def work(database: Database, caller: Caller, do: Callable[[TenantTransaction], Awaitable[object]]) -> None:
    """One transaction of the caller's tenant that makes a person and does something more."""
    async with database.tenant(caller.tenant_id) as tx:
        await tx.users.insert(uuid4(), None, "new one")
        await do(tx)


def killing(owner: Connection, *, then_ask: bool) -> Callable[[TenantTransaction], Awaitable[object]]:
    """Ends the transaction's server process, and perhaps goes on as if nothing had happened."""

    async def kill(tx: TenantTransaction) -> None:
        await owner.fetchval("SELECT pg_terminate_backend($1)", await raw(tx).fetchval("SELECT pg_backend_pid()"))
        if then_ask:
            await tx.users.standing(uuid4())

    return kill


@pytest.fixture
async def small(database_url: str) -> AsyncGenerator[Database]:
    """The same rows over four connections, and little patience."""
    logins = Logins.derived(database_url)
    app = await open_pool(logins.app, size=STORM_CONNECTIONS, name="small")
    worker = await open_pool(logins.worker, size=1, name="small worker")
    opened = Database(app, worker, acquire_seconds=0.3)
    yield opened
    await opened.close()


# --- tenants and the pool ---


async def test_a_storm_of_cancelled_requests_leaves_no_tenant_behind(database: Database, database_url: str) -> None:
    logins = Logins.derived(database_url)
    pool = await open_pool(logins.app, size=STORM_CONNECTIONS, name="storm")
    storm = Database(pool, pool)
    tenants = [(await make_tenant(database)).tenant_id for _ in range(STORM_TENANTS)]
    dice, foreign, whole = random.Random(3), [0], [0]  # noqa: S311 — a repeatable storm

    async def request(tenant_id: UUID, pause: float) -> None:
        async with storm.tenant(tenant_id) as tx:
            seen = await raw(tx).fetchval(ALL_TENANTS_IN_SIGHT)
            await raw(tx).execute("SELECT pg_sleep($1)", pause)
            seen += await raw(tx).fetchval(ALL_TENANTS_IN_SIGHT)
            foreign[0] += seen != [tenant_id, tenant_id]
            whole[0] += 1

    async def client(requests: int) -> None:
        for _ in range(requests):
            task = asyncio.create_task(request(dice.choice(tenants), dice.choice([0, 0, 0.001])))
            for _ in range(dice.choice([0, 1, 1, 1, 2, 3])):  # some are cancelled again while they clean up
                await asyncio.sleep(dice.random() * 0.004)
                task.cancel()
            await asyncio.wait([task])

    await asyncio.gather(*(client(STORM // 16) for _ in range(16)))
    assert foreign == [0]
    await nothing_was_left_behind(pool)
    for tenant_id in tenants:  # and it still serves
        await request(tenant_id, 0)
    assert foreign == [0]
    assert whole[0] > STORM_TENANTS
    await storm.close()


async def nothing_was_left_behind(pool: asyncpg.Pool) -> None:
    """Take every connection of the pool at once: none was lost, and none remembers a tenant or a transaction."""
    taken = [await pool.acquire(timeout=5) for _ in range(STORM_CONNECTIONS)]
    try:
        for one in taken:
            assert not one.is_in_transaction()
            assert await one.fetchval("SELECT current_setting('app.tenant_id', true)") in (None, "")
            assert await one.fetchval("SELECT count(*) FROM tenants") == 0
    finally:
        for one in taken:
            await pool.release(one)


async def test_the_storm_would_notice_a_tenant_that_stays(database_url: str, tenant: TenantFactory) -> None:
    """The control of the storm: a pool that resets nothing, and a setting for the session."""

    async def nothing(_: object) -> None: ...

    caller = await tenant()
    pool = await asyncpg.create_pool(
        Logins.derived(database_url).app, min_size=1, max_size=STORM_CONNECTIONS, reset=nothing
    )
    async with pool.acquire() as connection:
        await connection.execute(f"SET app.tenant_id = '{caller.tenant_id}'")
    with pytest.raises(AssertionError):
        await nothing_was_left_behind(pool)
    await pool.close()


async def test_a_transaction_sees_its_tenant_only(database: Database, tenant: TenantFactory) -> None:
    """The control of the storm: there is something to see."""
    one, other = await tenant(), await tenant()
    async with database.tenant(one.tenant_id) as first, database.tenant(other.tenant_id) as second:
        assert await raw(first).fetchval(ALL_TENANTS_IN_SIGHT) == [one.tenant_id]
        assert await raw(second).fetchval(ALL_TENANTS_IN_SIGHT) == [other.tenant_id]


@pytest.mark.parametrize("what", ["'; DROP TABLE agents; --", None, 7, OtherUUID(int=7)])
def test_only_a_uuid_is_a_tenant(what: object, database: Database) -> None:
    with pytest.raises(TypeError, match="a tenant is a UUID"):
        database.tenant(what)  # pyright: ignore[reportArgumentType]


# --- all or nothing ---


async def names(owner: Connection) -> list[str]:
    return [row["name"] for row in await owner.fetch("SELECT name FROM users WHERE name LIKE 'new%' ORDER BY name")]


async def test_a_transaction_is_written_as_a_whole(
    database: Database, tenant: TenantFactory, owner: Connection
) -> None:
    caller = await tenant()
    async with database.tenant(caller.tenant_id) as tx:
        await tx.users.insert(uuid4(), None, "new one")
        assert await names(owner) == []
    assert await names(owner) == ["new one"]


@pytest.mark.parametrize("error", [ValueError("ours"), asyncio.CancelledError(), KeyboardInterrupt()], ids=repr)
async def test_an_error_undoes_it_and_stays_what_it_is(
    error: BaseException, database: Database, tenant: TenantFactory, owner: Connection
) -> None:
    async def fail(_: TenantTransaction) -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        await work(database, await tenant(), fail)
    assert raised.value is error
    assert await names(owner) == []


async def test_a_refused_statement_undoes_what_came_before(
    small: Database, tenant: TenantFactory, owner: Connection
) -> None:
    async def refused(tx: TenantTransaction) -> None:
        await raw(tx).execute("INSERT INTO users (tenant_id) VALUES (current_setting('app.tenant_id')::uuid)")

    caller = await tenant()
    for _ in range(STORM_CONNECTIONS + 1):  # more often than there are connections: each comes back
        with pytest.raises(asyncpg.NotNullViolationError):
            await work(small, caller, refused)
    assert await names(owner) == []


async def test_a_constraint_that_waits_for_the_commit_undoes_it(
    small: Database, tenant: TenantFactory, owner: Connection
) -> None:
    await owner.execute(
        "CREATE TABLE late (id int PRIMARY KEY, next int REFERENCES late DEFERRABLE INITIALLY DEFERRED);"
        "GRANT INSERT, SELECT ON late TO numen_apps"
    )
    try:
        caller = await tenant()
        for _ in range(STORM_CONNECTIONS + 1):
            with pytest.raises(asyncpg.ForeignKeyViolationError):
                async with small.tenant(caller.tenant_id) as tx:
                    await raw(tx).execute("INSERT INTO late VALUES (1, 2)")
        assert await owner.fetchval("SELECT count(*) FROM late") == 0
    finally:
        await owner.execute("DROP TABLE late")


# --- the flag that keeps models out of transactions ---


async def test_a_task_knows_that_it_holds_a_transaction(database: Database, tenant: TenantFactory) -> None:
    caller = await tenant()
    assert not inside_transaction()
    async with database.tenant(caller.tenant_id):
        assert inside_transaction()
        async with database.tenant(caller.tenant_id):
            assert inside_transaction()
        assert inside_transaction()
    assert not inside_transaction()
    with pytest.raises(ValueError, match="left"):
        async with database.tenant(caller.tenant_id):
            raise ValueError("left")
    assert not inside_transaction()


async def test_another_task_does_not_hold_it(database: Database, tenant: TenantFactory) -> None:
    caller, opened, looked = await tenant(), asyncio.Event(), asyncio.Event()

    async def holder() -> None:
        async with database.tenant(caller.tenant_id):
            opened.set()
            await looked.wait()

    task = asyncio.create_task(holder())
    await opened.wait()
    assert not inside_transaction()
    looked.set()
    await task


# --- outages ---


async def ask(database: Database, caller: Caller) -> None:
    async with database.tenant(caller.tenant_id) as tx:
        await tx.users.standing(caller.user_id)


async def test_a_killed_connection_is_an_outage_and_the_next_request_works(
    small: Database, tenant: TenantFactory, owner: Connection
) -> None:
    caller = await tenant()
    for _ in range(STORM_CONNECTIONS + 1):
        with pytest.raises(DatabaseUnavailable):
            await work(small, caller, killing(owner, then_ask=True))
        assert not inside_transaction()
        await ask(small, caller)


async def test_a_connection_killed_before_the_commit_has_written_nothing(
    small: Database, tenant: TenantFactory, owner: Connection
) -> None:
    with pytest.raises(DatabaseUnavailable):
        await work(small, await tenant(), killing(owner, then_ask=False))
    assert await names(owner) == []


async def test_an_exhausted_pool_is_an_outage(small: Database, tenant: TenantFactory) -> None:
    caller, full, done = await tenant(), asyncio.Semaphore(0), asyncio.Event()

    async def hold() -> None:
        async with small.tenant(caller.tenant_id):
            full.release()
            await done.wait()

    holders = [asyncio.create_task(hold()) for _ in range(STORM_CONNECTIONS)]
    for _ in holders:
        await full.acquire()
    try:
        for attempt in (ask(small, caller), small.check()):
            async with fair_timeout(3):
                with pytest.raises(DatabaseUnavailable):
                    await attempt
    finally:
        done.set()
        await asyncio.gather(*holders)
    await ask(small, caller)
    await small.check()


async def test_a_closed_pool_is_an_outage(database_url: str, tenant: TenantFactory) -> None:
    logins, caller = Logins.derived(database_url), await tenant()
    pool = await open_pool(logins.app, size=1, name="closed")
    closed = Database(pool, pool)
    await ask(closed, caller)
    await closed.close()
    for attempt in (ask(closed, caller), closed.check()):
        with pytest.raises(DatabaseUnavailable):
            await attempt
    with pytest.raises(DatabaseUnavailable):
        async with closed.worker() as worker:
            await worker.waiting([])


async def test_mistakes_are_not_called_outages(small: Database, tenant: TenantFactory) -> None:
    caller = await tenant()
    mistakes: list[tuple[str, tuple[object, ...], type[Exception]]] = [
        ("SELECT $1::uuid", ("not a uuid",), asyncpg.DataError),
        ("SELECT $1::int", (), asyncpg.InterfaceError),
        ("SELECT 1", (1,), asyncpg.InterfaceError),
        ("SELECT nothing FROM nowhere", (), asyncpg.UndefinedTableError),
    ]
    for sql, values, kind in mistakes * 2:
        with pytest.raises(kind) as raised:
            async with small.tenant(caller.tenant_id) as tx:
                await raw(tx).fetchval(sql, *values)
        assert not isinstance(raised.value, NumenError)
    with pytest.raises(asyncpg.DataError):
        async with small.worker() as worker:
            await worker.key_by_prefix(b"bytes")  # pyright: ignore[reportArgumentType]


async def test_a_server_that_is_away_and_comes_back() -> None:
    with temporary_folder() as folder:
        server = EmbeddedPostgres(folder)
        await asyncio.to_thread(server.start)
        database = None
        try:
            await create_database(server.dsn(), "numen")
            logins = Logins.derived(server.dsn("numen"))
            await bring_up_to_date(logins)
            app, worker = (
                await open_pool(logins.app, size=2, name="app"),
                await open_pool(logins.worker, size=1, name="w"),
            )
            database = Database(app, worker)
            caller = await make_tenant(database)
            with pytest.raises(DatabaseUnavailable):
                await work(database, caller, lambda _: asyncio.to_thread(server.stop))
            for attempt in (ask(database, caller), database.check(), ask(database, caller)):
                with pytest.raises(DatabaseUnavailable) as told:
                    await attempt
                assert told.value.context == {"retry_after": 1}
            with pytest.raises(DatabaseUnavailable):
                async with database.worker() as store:
                    await store.waiting([])
            await asyncio.to_thread(server.start)
            async with fair_timeout(3):  # a twentieth of it on a quiet machine
                await ask(database, caller)
        finally:
            if database is not None:
                await database.close()
            await asyncio.to_thread(server.stop)
