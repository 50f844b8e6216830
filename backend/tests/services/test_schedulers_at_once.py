"""Schedulers of several processes at once, killed and started anew: one order for each tick."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from backend.errors import DatabaseUnavailable
from backend.services.scheduler import Scheduler
from backend.stores.database import Database
from backend.stores.pool import open_pool
from backend.stores.roles import Logins
from backend.telemetry import Metrics
from backend.tests.factories import TenantFactory
from backend.tests.services.scheduler_process import PAUSE_SECONDS, SchedulerProcess
from backend.tests.services.scheduling import Desk, make_scheduled, running, taken

if TYPE_CHECKING:
    from asyncpg import Connection

DAY = timedelta(days=1)


@pytest.fixture
def desk(owner: Connection) -> Desk:
    return Desk(owner)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def woken() -> list[int]:
    return []


@pytest.fixture
def scheduler(database: Database, metrics: Metrics, woken: list[int]) -> Scheduler:
    return Scheduler(database, lambda: woken.append(1), metrics, pause_seconds=PAUSE_SECONDS)


async def test_a_hundred_ticks_of_several_processes_make_a_hundred_orders(
    database: Database, tenant: TenantFactory, desk: Desk, scheduler: Scheduler
) -> None:
    caller = await tenant()
    agents = [await make_scheduled(database, caller) for _ in range(5)]
    await scheduler.step()
    others = [Scheduler(database, lambda: None, Metrics(), pause_seconds=PAUSE_SECONDS) for _ in range(4)]
    async with running(*others):
        for ticks in range(1, 21):
            await desk.set_back(*agents)
            await taken(desk, agents, ticks)
    assert await desk.ordered() == dict.fromkeys(agents, 20)
    assert [(await desk.row(one))["ticks"] for one in agents] == [20] * 5
    assert len({(one["agent"], one["tick"]) for one in await desk.orders()}) == 100


async def test_all_who_see_the_same_tick_at_once_take_it_once(
    database: Database, tenant: TenantFactory, desk: Desk, scheduler: Scheduler
) -> None:
    agents = [await make_scheduled(database, await tenant()) for _ in range(10)]
    await scheduler.step()
    for ticks in range(1, 6):
        await desk.set_back(*agents)
        await asyncio.gather(*(Scheduler(database, lambda: None, Metrics()).step() for _ in range(4)))
        assert await desk.ordered() == dict.fromkeys(agents, ticks)


async def test_two_processes_that_are_killed_and_started_anew(
    database_url: str, database: Database, tenant: TenantFactory, desk: Desk, scheduler: Scheduler
) -> None:
    """A hundred ticks; in their middle the first of two processes dies, and a third comes for the other."""
    agents = [await make_scheduled(database, await tenant()) for _ in range(5)]
    await scheduler.step()

    async def tick(*numbers: int) -> None:
        for ticks in numbers:
            await desk.set_back(*agents)
            await taken(desk, agents, ticks)

    with (
        SchedulerProcess(database_url, "America/New_York") as first,
        SchedulerProcess(database_url, "Asia/Kolkata") as second,
    ):
        await first.started()
        await second.started()
        await tick(*range(1, 7))
        await desk.set_back(*agents)
        await asyncio.sleep(PAUSE_SECONDS)  # so that it is about to look, or has
        first.kill()
        await taken(desk, agents, 7)
        with SchedulerProcess(database_url) as third:
            await tick(*range(8, 12))
            await third.started()
            second.kill()
            await tick(*range(12, 21))
    assert await desk.ordered() == dict.fromkeys(agents, 20)
    assert [(await desk.row(one))["ticks"] for one in agents] == [20] * 5
    assert len({(one["agent"], one["tick"]) for one in await desk.orders()}) == 100


async def test_a_tick_that_was_due_while_nobody_was_there_is_taken_after_the_restart(
    database_url: str, database: Database, tenant: TenantFactory, desk: Desk, scheduler: Scheduler
) -> None:
    agent = await make_scheduled(database, await tenant())
    await scheduler.step()
    await desk.set_back(agent)
    with SchedulerProcess(database_url) as process:
        await process.started()
    assert await desk.ordered() == {agent: 1}
    assert await scheduler.step() == 0


async def test_killed_between_tick_and_order_there_is_neither(
    database: Database, tenant: TenantFactory, desk: Desk, scheduler: Scheduler
) -> None:
    """The statement is stopped after it has taken the tick, while it writes the order: both are undone."""
    agent = await make_scheduled(database, await tenant())
    await scheduler.step()
    due = await desk.set_back(agent)
    async with orders_held(desk.owner):
        looking = asyncio.create_task(scheduler.step())
        await held_up(desk.owner)
        assert await desk.owner.fetchval(f"SELECT count(pg_terminate_backend(pid)) {_HELD_UP}") == 1
        with pytest.raises(DatabaseUnavailable):
            await looking
    assert ((await desk.row(agent))["next_at"], await desk.orders()) == (due, [])
    await scheduler.step()
    assert await desk.ordered() == {agent: 1}


async def test_a_loop_that_is_cancelled_finishes_its_step(
    database: Database, tenant: TenantFactory, desk: Desk, scheduler: Scheduler
) -> None:
    agents = [await make_scheduled(database, await tenant()) for _ in range(3)]
    await scheduler.step()
    await desk.set_back(*agents)
    async with orders_held(desk.owner):
        loop = asyncio.create_task(scheduler.run())
        await held_up(desk.owner)
        loop.cancel()
    await asyncio.wait([loop])
    assert loop.cancelled()
    assert await desk.ordered() == dict.fromkeys(agents, 1)


_HELD_UP = "FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


@asynccontextmanager
async def orders_held(owner: Connection) -> AsyncGenerator[None]:
    """Whoever writes an order waits in the middle of it."""
    await owner.execute(
        "CREATE FUNCTION held() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN new; END $$;"
        "CREATE TRIGGER held BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION held();"
        "SELECT pg_advisory_lock(4711)"
    )
    try:
        yield
    finally:
        await owner.execute("SELECT pg_advisory_unlock(4711)")
        await owner.execute("DROP TRIGGER held ON outbox; DROP FUNCTION held()")


async def held_up(owner: Connection) -> None:
    """Wait until somebody waits there."""
    async with asyncio.timeout(30):
        while not await owner.fetchval(f"SELECT count(*) {_HELD_UP}"):  # noqa: ASYNC110 — the server says so
            await asyncio.sleep(0.005)


async def test_the_loop_survives_the_loss_of_the_database(
    database_url: str, database: Database, tenant: TenantFactory, desk: Desk, scheduler: Scheduler
) -> None:
    agent = await make_scheduled(database, await tenant())
    await scheduler.step()
    logins = Logins.derived(database_url)
    app = await open_pool(logins.app, size=1, name="fragile")
    worker = await open_pool(logins.worker, size=1, name="fragile")
    fragile = Database(app, worker, acquire_seconds=0.2)
    try:
        async with running(Scheduler(fragile, lambda: None, Metrics(), pause_seconds=PAUSE_SECONDS)):
            await desk.owner.execute("ALTER DATABASE numen_tests CONNECTION LIMIT 0")
            await desk.owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fragile'"
            )
            await desk.set_back(agent)
            await asyncio.sleep(0.1)
            await desk.owner.execute("ALTER DATABASE numen_tests CONNECTION LIMIT -1")
            await taken(desk, [agent], 1)
    finally:
        await desk.owner.execute("ALTER DATABASE numen_tests CONNECTION LIMIT -1")
        await fragile.close()
    assert await desk.ordered() == {agent: 1}
