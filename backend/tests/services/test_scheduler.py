"""The scheduler: one order for each tick, however many processes look, and whatever happens to them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from backend.services.scheduler import BATCH, Scheduler
from backend.services.timetable import NEVER, Timetable
from backend.stores.database import Database
from backend.telemetry import Metrics
from backend.tests.factories import TenantFactory
from backend.tests.fixtures_logs import Logs
from backend.tests.services.scheduler_process import PAUSE_SECONDS
from backend.tests.services.scheduling import DAILY, SELDOM, Desk, make_scheduled, make_worker, running, taken, utc

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


# --- one tick ---


async def test_nothing_is_due_where_nothing_is_scheduled(
    scheduler: Scheduler, database: Database, tenant: TenantFactory, desk: Desk, woken: list[int]
) -> None:
    caller = await tenant()
    for workflow in ({"trigger_type": "manual"}, {"trigger_type": "event"}):
        await make_worker(database, caller, workflow)
    assert await scheduler.step() == 0
    assert (await desk.orders(), woken) == ([], [])


async def test_a_new_schedule_starts_from_now(
    scheduler: Scheduler, database: Database, tenant: TenantFactory, desk: Desk
) -> None:
    agent = await make_scheduled(database, await tenant(), "0 9 * * 1-5")
    assert await scheduler.step() == 1
    now = await desk.now()
    row = await desk.row(agent)
    assert (row["schedule"], row["next_at"]) == ("0 9 * * 1-5", Timetable("0 9 * * 1-5").after(now))
    assert (row["last_at"], row["ticks"], row["missed"]) == (None, 0, 0)
    assert await scheduler.step() == 0
    assert await desk.orders() == []


async def test_a_tick_is_ordered_once(
    scheduler: Scheduler, database: Database, tenant: TenantFactory, desk: Desk, metrics: Metrics, woken: list[int]
) -> None:
    agent = await make_scheduled(database, await tenant())
    await scheduler.step()
    due = await desk.set_back(agent)
    assert await scheduler.step() == 1
    [order] = await desk.orders()
    assert (order["agent"], order["missed"], order["first_missed"]) == (agent, 0, None)
    assert utc(order["tick"]) == due
    row = await desk.row(agent)
    assert (row["last_at"], row["next_at"]) == (due, Timetable(SELDOM).after(due))
    assert (row["ticks"], row["missed"], len(woken)) == (1, 0, 1)
    assert await scheduler.step() == 0
    assert len(await desk.orders()) == 1
    told = metrics.exposition().decode()
    assert "numen_schedule_ticks_total 1.0" in told
    assert "numen_schedule_missed_total 0.0" in told


async def test_the_loop_looks_by_itself(
    scheduler: Scheduler, database: Database, tenant: TenantFactory, desk: Desk
) -> None:
    async with running(scheduler):
        agent = await make_scheduled(database, await tenant())
        async with asyncio.timeout(30):
            while not await desk.row(agent):  # noqa: ASYNC110 — the rows say so
                await asyncio.sleep(0.005)
        await desk.set_back(agent)
        await taken(desk, [agent], 1)
    assert await desk.ordered() == {agent: 1}


async def test_more_than_one_look_can_hold(
    scheduler: Scheduler, database: Database, tenant: TenantFactory, desk: Desk
) -> None:
    caller = await tenant()
    agents = [await make_scheduled(database, caller) for _ in range(BATCH + 5)]
    assert await scheduler.step() == BATCH
    assert await scheduler.step() == 5
    await desk.set_back(*agents)
    async with running(scheduler):
        await taken(desk, agents, 1)
    assert await desk.ordered() == Counter(agents)


# --- what was missed ---


async def test_of_missed_ticks_the_latest_is_run_and_the_others_are_told(
    scheduler: Scheduler, database: Database, tenant: TenantFactory, desk: Desk, metrics: Metrics, logs: Logs
) -> None:
    caller = await tenant()
    agent = await make_scheduled(database, caller, DAILY)
    await scheduler.step()
    today = (await desk.row(agent))["next_at"] - DAY
    due = await desk.set_back(agent, to=today - 3 * DAY)
    logs()
    await scheduler.step()
    assert await scheduler.step() == 0
    [order] = await desk.orders()
    assert (utc(order["tick"]), order["missed"]) == (today, 3)
    assert (utc(order["first_missed"]), utc(order["last_missed"])) == (due, today - DAY)
    row = await desk.row(agent)
    assert (row["last_at"], row["next_at"]) == (today, today + DAY)
    assert (row["ticks"], row["missed"], row["last_missed"]) == (1, 3, today - DAY)
    [line] = [one for one in logs() if one["event"] == "scheduled runs were missed"]
    assert (line["level"], line["missed"], line["agent_id"]) == ("warning", 3, str(agent))
    assert "numen_schedule_missed_total 3.0" in metrics.exposition().decode()
    await desk.set_back(agent, to=today)
    await scheduler.step()
    row = await desk.row(agent)
    assert (row["ticks"], row["missed"], row["last_missed"]) == (2, 3, today - DAY)


# --- what changes ---


async def test_a_changed_schedule_starts_from_now(
    scheduler: Scheduler, database: Database, tenant: TenantFactory, desk: Desk
) -> None:
    agent = await make_scheduled(database, await tenant(), DAILY)
    await scheduler.step()
    await desk.set_back(agent, to=await desk.now() - 3 * DAY)  # its ticks since then are nobody's any more
    await desk.set_workflow(agent, schedule="30 4 1 1 *")
    await scheduler.step()
    now = await desk.now()
    row = await desk.row(agent)
    assert (row["schedule"], row["next_at"]) == ("30 4 1 1 *", Timetable("30 4 1 1 *").after(now))
    assert (row["missed"], await desk.orders()) == (0, [])


@pytest.mark.parametrize("change", ["inactive", "archived", "manual"])
async def test_who_is_not_to_run_any_more_gets_no_tick_and_starts_anew_later(
    change: str, scheduler: Scheduler, database: Database, tenant: TenantFactory, desk: Desk
) -> None:
    agent = await make_scheduled(database, await tenant())
    await scheduler.step()
    await desk.set_back(agent)
    await scheduler.step()
    if change == "manual":
        await desk.set_workflow(agent, trigger_type="manual")
    else:
        await desk.set_status(agent, change)
    await desk.set_back(agent, to=await desk.now() - DAY)
    assert await scheduler.step() == 1
    assert (await desk.row(agent))["next_at"] is None
    assert await scheduler.step() == 0
    await desk.set_status(agent, "active")
    await desk.set_workflow(agent, trigger_type="scheduled")
    await scheduler.step()
    row = await desk.row(agent)
    assert row["next_at"] > await desk.now()
    assert (row["ticks"], row["missed"], await desk.ordered()) == (1, 0, {agent: 1})


async def test_what_another_has_done_since_the_look_is_not_done_again(
    database: Database, tenant: TenantFactory, desk: Desk, scheduler: Scheduler
) -> None:
    """Two looked at the same time; what the slower one does afterwards is nothing, whatever it was about to do."""
    agents = [await make_scheduled(database, await tenant()) for _ in range(7)]
    ticked, changed, paused, begun, begun_again, renewed, resumed = agents
    await scheduler.step()
    await desk.set_back(ticked, changed, paused, begun_again)
    await desk.owner.execute("DELETE FROM agent_schedules WHERE agent_id = ANY ($1)", [begun, renewed])
    await desk.owner.execute("UPDATE agent_schedules SET schedule = 'before' WHERE agent_id = $1", begun_again)
    await desk.owner.execute("UPDATE agent_schedules SET next_at = NULL WHERE agent_id = $1", resumed)
    slow = _Held(database)
    looking = asyncio.create_task(Scheduler(slow.database, lambda: None, Metrics()).step())
    await slow.looked.wait()
    await desk.set_workflow(changed, schedule=DAILY)
    await desk.set_status(paused, "inactive")
    await scheduler.step()
    await desk.set_back(begun, begun_again, renewed, resumed, to=await desk.now() + DAY)
    await desk.set_workflow(renewed, schedule=DAILY)
    before = {one: await desk.row(one) for one in agents}
    slow.go_on.set()
    assert await looking == 7
    assert {one: await desk.row(one) for one in agents} == before
    assert await desk.ordered() == {ticked: 1}


async def test_who_is_switched_off_after_the_look_gets_no_tick(
    database: Database, tenant: TenantFactory, desk: Desk, scheduler: Scheduler
) -> None:
    off, on, other, new = [await make_scheduled(database, await tenant()) for _ in range(4)]
    await scheduler.step()
    due = await desk.set_back(off, on, other)
    await desk.set_status(on, "inactive")
    await desk.owner.execute("DELETE FROM agent_schedules WHERE agent_id = $1", new)
    slow = _Held(database)
    looking = asyncio.create_task(Scheduler(slow.database, lambda: None, Metrics()).step())
    await slow.looked.wait()
    await desk.set_status(off, "inactive")
    await desk.set_status(on, "active")  # it is due, and not to be paused any more
    await desk.set_workflow(other, schedule=DAILY)
    await desk.set_status(new, "archived")
    slow.go_on.set()
    assert await looking == 4
    assert [(await desk.row(one))["next_at"] for one in (off, on, other)] == [due] * 3
    assert (await desk.row(new), await desk.orders()) == ({}, [])


class _Held:
    """A database whose worker stops between having looked and doing anything."""

    def __init__(self, database: Database) -> None:
        self.looked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.database: Any = self
        self._database = database

    @asynccontextmanager
    async def worker(self) -> AsyncGenerator[Any]:
        async with self._database.worker() as worker:
            self._worker = worker
            yield self

    async def due_schedules(self, limit: int) -> Any:
        found = await self._worker.due_schedules(limit)
        self.looked.set()
        await self.go_on.wait()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._worker, name)


async def test_one_schedule_that_cannot_be_read_stops_no_other(
    scheduler: Scheduler, database: Database, tenant: TenantFactory, desk: Desk, logs: Logs
) -> None:
    caller = await tenant()
    odd, good = await make_scheduled(database, caller), await make_scheduled(database, caller)
    await desk.set_workflow(odd, schedule="every full moon")
    assert await scheduler.step() == 2
    assert (await desk.row(odd))["next_at"] == NEVER
    await desk.set_back(good)
    assert await scheduler.step() == 1
    assert await desk.ordered() == {good: 1}
    assert {one["event"] for one in logs()} == {"a schedule has no next time"}


async def test_a_clock_that_was_set_back_makes_no_tick_twice(
    scheduler: Scheduler, database: Database, tenant: TenantFactory, desk: Desk
) -> None:
    agent = await make_scheduled(database, await tenant())
    await scheduler.step()
    later = await desk.now() + timedelta(hours=1)  # it ticked when the clock said so
    await desk.owner.execute("UPDATE agent_schedules SET next_at = $1, last_at = $2", later + DAY, later)
    assert await scheduler.step() == 0
    await desk.set_workflow(agent, schedule="* * * * *")
    assert await scheduler.step() == 1
    assert (await desk.row(agent))["next_at"] > later
