"""The outbox: at least once, again until it works, and no order stands in another's way."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from backend.errors import DatabaseUnavailable
from backend.services.memory.reindex import Reindex
from backend.services.outbox_relay import BATCH, OutboxRelay
from backend.services.readiness_service import LATE_SECONDS, ReadinessService
from backend.stores.database import Database
from backend.stores.pool import open_pool
from backend.stores.roles import Logins
from backend.stores.worker import Delivery
from backend.telemetry import Metrics
from backend.tests.fair_time import fair_timeout
from backend.tests.fakes import FakeIndex

if TYPE_CHECKING:
    from asyncpg import Connection

KIND = "note"


class Recipient:
    """Takes orders and remembers them; fails or breaks for the subjects that it was told of."""

    def __init__(self) -> None:
        self.taken: Counter[UUID] = Counter()
        self.failing: set[UUID] = set()
        self.breaking: Exception | None = None

    async def deliver(self, orders: Sequence[Delivery]) -> Mapping[int, str]:
        if self.breaking is not None:
            raise self.breaking
        await asyncio.sleep(0)
        failures = {one.id: "refused" for one in orders if one.subject_id in self.failing}
        self.taken.update(one.subject_id for one in orders if one.id not in failures)
        return failures


@pytest.fixture
def recipient() -> Recipient:
    return Recipient()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def relay(database: Database, recipient: Recipient, metrics: Metrics) -> OutboxRelay:
    return OutboxRelay(database, {KIND: recipient.deliver}, metrics)


async def order(owner: Connection, count: int = 1, kind: str = KIND) -> list[UUID]:
    subjects = [uuid4() for _ in range(count)]
    await owner.executemany(
        "INSERT INTO outbox (tenant_id, kind, subject_id) VALUES ($1, $2, $3)",
        [(uuid4(), kind, one) for one in subjects],
    )
    return subjects


async def make_due(owner: Connection) -> None:
    await owner.execute("UPDATE outbox SET available_at = now()")


async def waiting(owner: Connection) -> set[UUID]:
    return {UUID(int=row["subject_id"].int) for row in await owner.fetch("SELECT subject_id FROM outbox")}


@asynccontextmanager
async def running(relay: OutboxRelay) -> AsyncGenerator[None]:
    task = asyncio.create_task(relay.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_what_is_delivered_is_struck_out(relay: OutboxRelay, recipient: Recipient, owner: Connection) -> None:
    subjects = await order(owner, 120)
    await relay.drain(10)
    assert recipient.taken == Counter(subjects)
    assert await waiting(owner) == set()
    assert await relay.step() == 0


async def test_relays_at_once_deliver_each_order_once(
    database: Database, recipient: Recipient, metrics: Metrics, owner: Connection
) -> None:
    subjects = await order(owner, 300)
    relays = [OutboxRelay(database, {KIND: recipient.deliver}, metrics) for _ in range(4)]
    await asyncio.gather(*(one.drain(10) for one in relays))
    assert recipient.taken == Counter(subjects)


async def test_who_drains_waits_for_what_is_being_delivered(
    database: Database, metrics: Metrics, owner: Connection
) -> None:
    """It is claimed already, so there is nothing left to claim; it is not delivered for that."""
    begun, go, taken = asyncio.Event(), asyncio.Event(), list[int]()

    async def slowly(orders: Sequence[Delivery]) -> Mapping[int, str]:
        begun.set()
        await go.wait()
        taken.extend(one.id for one in orders)
        return {}

    relay = OutboxRelay(database, {KIND: slowly}, metrics)
    await order(owner)
    async with running(relay):
        await begun.wait()
        draining = asyncio.create_task(relay.drain(30))
        await asyncio.wait([draining], timeout=0.05)
        assert not draining.done()
        go.set()
        await draining
    assert len(taken) == 1
    assert await waiting(owner) == set()


async def test_a_failed_order_waits_longer_each_time_and_then_arrives(
    relay: OutboxRelay, recipient: Recipient, metrics: Metrics, owner: Connection
) -> None:
    (bad,), good = await order(owner), await order(owner, 3)
    recipient.failing = {bad}
    pauses: list[float] = []
    for _ in range(12):
        await make_due(owner)
        assert await relay.step() >= 1
        pauses.append(
            await owner.fetchval("SELECT extract(epoch FROM available_at - clock_timestamp())::float8 FROM outbox")
        )
    assert recipient.taken == Counter(good)
    assert pauses[:9] == sorted(pauses[:9])
    assert 0 < pauses[0] <= 0.5
    assert pauses[-1] < 300
    assert await owner.fetchval("SELECT last_error FROM outbox") == "refused"
    assert await relay.step() == 0  # it is not due
    assert 'numen_outbox_failures_total{kind="note"} 12.0' in metrics.exposition().decode()
    recipient.failing = set()
    await make_due(owner)
    await relay.step()
    assert recipient.taken == Counter([bad, *good])


async def test_a_kind_that_breaks_does_not_stop_the_others(
    database: Database, recipient: Recipient, metrics: Metrics, owner: Connection
) -> None:
    poison = Recipient()
    poison.breaking = RuntimeError("unexpected")
    relay = OutboxRelay(database, {"poison": poison.deliver, KIND: recipient.deliver}, metrics)
    broken = await order(owner, 3, "poison")
    good = await order(owner, 3)
    await relay.step()
    assert recipient.taken == Counter(good)
    assert await waiting(owner) == set(broken)
    told = {row["last_error"] for row in await owner.fetch("SELECT last_error FROM outbox")}
    assert told == {"RuntimeError: unexpected"}
    assert await relay.step() == 0
    poison.breaking = None
    await make_due(owner)
    await relay.step()
    assert poison.taken == Counter(broken)


async def test_a_relay_leaves_the_orders_of_others_alone(
    database: Database, recipient: Recipient, metrics: Metrics, owner: Connection
) -> None:
    theirs = Recipient()
    ahead = await order(owner, 3 * BATCH, "theirs")
    ours = await order(owner, 2)
    relay = OutboxRelay(database, {KIND: recipient.deliver}, metrics)
    other = OutboxRelay(database, {"theirs": theirs.deliver, "rare": theirs.deliver}, metrics, batch=64, rest=0)
    assert await relay.step() == 2
    assert recipient.taken == Counter(ours)
    assert await waiting(owner) == set(ahead)
    assert await owner.fetchval("SELECT count(*) FROM outbox WHERE attempts > 0 OR leased_until IS NOT NULL") == 0
    assert ((await relay.backlog()).pending, (await other.backlog()).pending) == (0, len(ahead))
    told = metrics.exposition().decode()
    assert 'numen_outbox_pending{kind="theirs"} 30.0' in told
    assert 'numen_outbox_pending{kind="rare"} 0.0' in told
    late = await order(owner, 1, "rare")
    assert await other.step() == len(ahead) + 1  # one batch of its own size, of both its kinds
    assert theirs.taken == Counter([*ahead, *late])


async def test_what_was_leased_for_longer_is_not_taken_over(
    database: Database, recipient: Recipient, metrics: Metrics, owner: Connection
) -> None:
    await order(owner)
    held: list[float] = []

    async def look(orders: Sequence[Delivery]) -> Mapping[int, str]:
        held.append(
            await owner.fetchval("SELECT extract(epoch FROM leased_until - clock_timestamp())::float8 FROM outbox")
        )
        return {}

    assert await OutboxRelay(database, {KIND: look}, metrics, lease_seconds=300).step() == 1
    assert 290 < held[0] <= 300


async def test_a_lease_that_ran_out_is_taken_over(
    relay: OutboxRelay, recipient: Recipient, owner: Connection, database: Database
) -> None:
    subjects = await order(owner, 2)
    async with database.worker() as worker:
        assert len(await worker.claim_deliveries(timedelta(seconds=30), 50, [KIND])) == 2  # and is killed
    assert await relay.step() == 0
    await owner.execute("UPDATE outbox SET leased_until = clock_timestamp() - interval '1 ms'")
    await relay.step()
    assert recipient.taken == Counter(subjects)


async def test_the_only_server_takes_over_at_once(
    relay: OutboxRelay, recipient: Recipient, owner: Connection, database: Database
) -> None:
    await order(owner, 2)
    async with database.worker() as worker:
        await worker.claim_deliveries(timedelta(seconds=30), 50, [KIND])
        await worker.release_deliveries()
    assert await relay.step() == 2


async def all_delivered(owner: Connection) -> None:
    while await waiting(owner):  # noqa: ASYNC110 — the rows say so
        await asyncio.sleep(0.01)


async def test_the_loop_delivers_when_it_is_woken(relay: OutboxRelay, recipient: Recipient, owner: Connection) -> None:
    async with running(relay), fair_timeout(4):  # by itself it would look once a second
        for _ in range(5):
            subjects = await order(owner, 2)
            relay.wake()
            await all_delivered(owner)
            assert set(subjects) <= set(recipient.taken)


async def test_the_loop_delivers_many_without_being_woken_again(
    relay: OutboxRelay, recipient: Recipient, owner: Connection
) -> None:
    subjects = await order(owner, 260)
    async with running(relay), fair_timeout(4):
        relay.wake()
        await all_delivered(owner)
    assert recipient.taken == Counter(subjects)


async def test_a_loop_that_is_cancelled_finishes_its_step(database: Database, owner: Connection) -> None:
    await order(owner, 2)
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(orders: Sequence[Delivery]) -> Mapping[int, str]:
        begun.set()
        await go.wait()
        return {}

    async with running(OutboxRelay(database, {KIND: slow}, Metrics())):
        await begun.wait()
        asyncio.get_running_loop().call_later(0.05, go.set)
    assert await waiting(owner) == set()


def ready_service(database: Database, relay: OutboxRelay) -> ReadinessService:
    """With an index that waits for nothing."""
    metrics = Metrics()
    memories = OutboxRelay(database, {"memory.index": Recipient().deliver}, metrics)
    reindex = Reindex(database, FakeIndex(), memories.wake)
    reindex.away = ""
    return ReadinessService(database, relay, memories, reindex)


async def test_the_loop_survives_the_loss_of_the_database(
    database_url: str, recipient: Recipient, metrics: Metrics, owner: Connection
) -> None:
    logins = Logins.derived(database_url)
    app = await open_pool(logins.app, size=1, name="fragile")
    worker = await open_pool(logins.worker, size=1, name="fragile")
    database = Database(app, worker, acquire_seconds=0.2)
    relay = OutboxRelay(database, {KIND: recipient.deliver}, metrics)
    readiness = ready_service(database, relay)
    try:
        await owner.execute("ALTER DATABASE numen_tests CONNECTION LIMIT 0")
        await owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fragile'")
        subjects = await order(owner, 2)
        with pytest.raises(DatabaseUnavailable):
            await relay.step()
        await relay.drain(1)
        down = await readiness.check()
        assert (down.status, set(down.dependencies)) == ("down", {"database"})
        async with running(relay):
            relay.wake()
            await asyncio.sleep(0.1)
            await owner.execute("ALTER DATABASE numen_tests CONNECTION LIMIT -1")
            async with asyncio.timeout(30):
                await all_delivered(owner)
        assert recipient.taken == Counter(subjects)
        assert (await readiness.check()).status == "ready"
    finally:
        await owner.execute("ALTER DATABASE numen_tests CONNECTION LIMIT -1")
        await database.close()


async def test_what_waits_too_long_is_told_and_does_not_stop_traffic(
    relay: OutboxRelay, database: Database, metrics: Metrics, owner: Connection
) -> None:
    readiness = ready_service(database, relay)
    assert (await readiness.check()).dependencies["mirror"].status == "ok"
    await order(owner, 2)
    await owner.execute("UPDATE outbox SET created_at = now() - $1::interval", timedelta(seconds=LATE_SECONDS + 1))
    found = await readiness.check()
    assert (found.status, found.dependencies["mirror"].status) == ("ready", "late")
    assert "2 waiting" in (found.dependencies["mirror"].detail or "")
    assert 'numen_outbox_pending{kind="note"} 2.0' in metrics.exposition().decode()
