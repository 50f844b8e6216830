"""What the scheduler ordered is started in the owner's name, the same run however often the order comes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

import pytest

from backend.errors import AgentInactive, AgentNotFound, DatabaseUnavailable, NumenError, ShuttingDown
from backend.models.run import Run
from backend.services.outbox_relay import OutboxRelay
from backend.services.run_orders import RunOrder
from backend.services.scheduled_runs import KIND, ScheduledRuns
from backend.services.scheduler import Scheduler
from backend.stores.database import Database
from backend.stores.worker import Delivery
from backend.telemetry import Metrics
from backend.tests.factories import TenantFactory
from backend.tests.fixtures_logs import Logs
from backend.tests.services.run_starter import Starter
from backend.tests.services.scheduling import DAILY, Desk, make_scheduled, utc

if TYPE_CHECKING:
    from asyncpg import Connection

DAY = timedelta(days=1)


class House:
    """A scheduler, the relay of its orders, and who starts runs."""

    def __init__(self, database: Database, owner: Connection) -> None:
        self.database = database
        self.desk = Desk(owner)
        self.starter = Starter()
        self.runs = ScheduledRuns(database, self.starter)
        self.metrics = Metrics()
        self.relay = OutboxRelay(database, {KIND: self.runs.deliver}, self.metrics)
        self.scheduler = Scheduler(database, self.relay.wake, self.metrics)

    async def tick(self, agent_id: UUID, to: datetime | None = None) -> datetime:
        """A tick that is due is ordered; which it is."""
        await self.scheduler.step()
        due = await self.desk.set_back(agent_id, to=to)
        await self.scheduler.step()
        return due

    async def due_again(self) -> None:
        await self.desk.owner.execute("UPDATE outbox SET available_at = now(), leased_until = NULL")

    async def audited(self, agent_id: UUID) -> list[dict[str, object]]:
        rows = await self.desk.owner.fetch(
            "SELECT actor_id, detail ->> 'missed' AS missed, detail ->> 'tick' AS tick, detail ->> 'first_missed' AS"
            " first, detail ->> 'last_missed' AS last FROM audit_log"
            " WHERE subject_id = $1 AND action = 'schedule.missed' ORDER BY created_at", agent_id,
        )  # fmt: skip
        return [dict(row) for row in rows]


@pytest.fixture
def house(database: Database, owner: Connection) -> House:
    return House(database, owner)


async def test_a_tick_is_a_run_of_the_owner(house: House, tenant: TenantFactory) -> None:
    caller = await tenant()
    agent = await make_scheduled(house.database, caller)
    tick = await house.tick(agent)
    assert await house.relay.step() == 1
    [order] = house.starter.orders
    assert (order.tenant_id, order.user_id, order.agent_id) == (caller.tenant_id, caller.user_id, agent)
    assert (order.input, order.trigger) == ("", "schedule")
    assert order.metadata["trigger"] == "schedule"
    assert utc(order.metadata["scheduled_for"]) == tick
    assert order.operation_id == uuid5(agent, tick.isoformat())
    assert await house.desk.orders() == []


async def test_an_order_that_comes_again_is_the_same_run(house: House, tenant: TenantFactory) -> None:
    """The server is lost after the run was started and before the order was struck out."""
    agent = await make_scheduled(house.database, await tenant())
    await house.tick(agent)
    house.starter.breaks_after = DatabaseUnavailable("away")
    await house.relay.step()
    assert len(await house.desk.orders()) == 1
    house.starter.breaks_after = None
    await house.due_again()
    await house.relay.step()
    await house.tick(agent)
    await house.relay.step()
    assert len(house.starter.orders) == 3
    assert len(house.starter.runs) == 2
    assert await house.desk.orders() == []


async def test_missed_ticks_are_in_the_audit_log_once(house: House, tenant: TenantFactory) -> None:
    caller = await tenant()
    agent = await make_scheduled(house.database, caller, DAILY)
    await house.scheduler.step()
    today = (await house.desk.row(agent))["next_at"] - DAY
    await house.tick(agent, today - 2 * DAY)
    house.starter.fails_with = ShuttingDown("stopping")
    await house.relay.step()
    house.starter.fails_with = None
    await house.due_again()
    await house.relay.step()
    [entry] = await house.audited(agent)
    assert (entry["actor_id"], entry["missed"]) == (caller.user_id, "2")
    told = [utc(str(entry[name])) for name in ("tick", "first", "last")]
    assert told == [today, today - 2 * DAY, today - DAY]
    assert len(house.starter.orders) == 1
    await house.tick(agent, today)  # none was missed before this one
    await house.tick(agent, today - 5 * DAY)
    await house.relay.step()
    assert len(await house.audited(agent)) == 1, "the same tick, told twice"
    assert len(house.starter.orders) == 3


@pytest.mark.parametrize("change", ["inactive", "archived", "manual", "gone", "suspended"])
async def test_an_order_whose_agent_is_not_to_run_any_more_is_dropped(
    change: str, house: House, tenant: TenantFactory, logs: Logs
) -> None:
    agent = await make_scheduled(house.database, await tenant())
    await house.tick(agent)
    match change:
        case "manual":
            await house.desk.set_workflow(agent, trigger_type="manual")
        case "gone":
            await house.desk.owner.execute("DELETE FROM agents")
        case "suspended":
            await house.desk.owner.execute("UPDATE tenants SET status = 'suspended'")
        case _:
            await house.desk.set_status(agent, change)
    logs()
    assert await house.relay.step() == 1
    assert (house.starter.orders, await house.desk.orders()) == ([], [])
    assert [one["event"] for one in logs()] == ["scheduled run dropped"]


@pytest.mark.parametrize("refusal", [AgentInactive("off"), AgentNotFound("gone")])
async def test_a_run_that_is_refused_for_good_is_dropped(
    refusal: NumenError, house: House, tenant: TenantFactory, logs: Logs
) -> None:
    await house.tick(await make_scheduled(house.database, await tenant()))
    house.starter.fails_with = refusal
    logs()
    await house.relay.step()
    assert await house.desk.orders() == []
    assert [one.get("reason") for one in logs()] == [refusal.code]


async def test_one_order_that_fails_does_not_hold_up_the_others(house: House, tenant: TenantFactory) -> None:
    caller = await tenant()
    agents = [await make_scheduled(house.database, caller) for _ in range(3)]
    good, bad, last = [Delivery(n, caller.tenant_id, KIND, one, payload(), 1) for n, one in enumerate(agents)]

    async def start(order: RunOrder) -> Run:
        if order.agent_id == bad.subject_id:
            raise ShuttingDown("the server is stopping")
        return await house.starter(order)

    failures = await ScheduledRuns(house.database, start).deliver([good, bad, last])
    assert failures == {bad.id: "the server is stopping"}
    assert {one.agent_id for one in house.starter.orders} == {good.subject_id, last.subject_id}


def payload() -> dict[str, object]:
    return {"tick": "2026-11-22T09:00:00+00:00", "missed": 0, "first_missed": None, "last_missed": None}
