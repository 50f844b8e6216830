"""One effect for each key: leases, fences, answers, and what time and crashes do to them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from backend.errors import IdempotencyKeyReused, RequestInProgress
from backend.models.tenant import Caller
from backend.services.idempotency_service import Claim, IdempotencyService, Repeat, StoredAnswer
from backend.stores.database import Database
from backend.tests.factories import TenantFactory, make_user

if TYPE_CHECKING:
    from asyncpg import Connection

HASH, OTHER_HASH = b"a" * 32, b"b" * 32
ANSWER = StoredAnswer(201, {"content-type": "application/json", "location": "/x"}, b'{"id": 1}')
RUN_OUT = "UPDATE idempotency_keys SET leased_until = clock_timestamp() - interval '1 millisecond'"


@pytest.fixture
def service(database: Database) -> IdempotencyService:
    return IdempotencyService(database)


async def claimed(service: IdempotencyService, caller: Caller, key: str = "key") -> Claim:
    claim = await service.claim(caller, key, HASH)
    assert isinstance(claim, Claim)
    return claim


async def test_the_answer_is_given_again(service: IdempotencyService, tenant: TenantFactory) -> None:
    caller = await tenant()
    async with await claimed(service, caller) as claim:
        assert await claim.finish(ANSWER)
    assert await service.claim(caller, "key", HASH) == ANSWER
    assert await service.claim(caller, "key", HASH) == ANSWER


async def test_of_thirty_at_once_one_works(service: IdempotencyService, tenant: TenantFactory) -> None:
    caller = await tenant()
    tries = await asyncio.gather(*(service.claim(caller, "key", HASH) for _ in range(30)), return_exceptions=True)
    assert len([one for one in tries if isinstance(one, Claim)]) == 1
    refused = [one for one in tries if isinstance(one, RequestInProgress)]
    assert len(refused) == 29
    assert refused[0].context["retry_after"] >= 1


async def test_another_request_under_the_key_is_refused_in_every_state(
    service: IdempotencyService, tenant: TenantFactory, owner: Connection
) -> None:
    caller = await tenant()
    claim = await claimed(service, caller)
    with pytest.raises(IdempotencyKeyReused):
        await service.claim(caller, "key", OTHER_HASH)
    await owner.execute(RUN_OUT)
    with pytest.raises(IdempotencyKeyReused):
        await service.claim(caller, "key", OTHER_HASH)
    await claim.finish(ANSWER)
    with pytest.raises(IdempotencyKeyReused):
        await service.claim(caller, "key", OTHER_HASH)


async def test_a_key_belongs_to_one_user_of_one_tenant(
    service: IdempotencyService, tenant: TenantFactory, database: Database
) -> None:
    first, elsewhere = await tenant(), await tenant()
    colleague = await make_user(database, first.tenant_id)
    operations = {(await claimed(service, caller)).operation_id for caller in (first, elsewhere, colleague)}
    assert len(operations) == 3


async def test_a_failure_lets_the_next_try_work_under_the_same_id(
    service: IdempotencyService, tenant: TenantFactory
) -> None:
    caller = await tenant()
    tried: list[UUID] = []

    async def fail() -> None:
        async with await claimed(service, caller) as claim:
            tried.append(claim.operation_id)
            raise ZeroDivisionError

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await fail()
    assert len(set(tried)) == 1


async def test_a_cancelled_try_lets_the_next_one_work(service: IdempotencyService, tenant: TenantFactory) -> None:
    caller, working = await tenant(), asyncio.Event()

    async def work() -> None:
        async with await claimed(service, caller):
            working.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await working.wait()
    task.cancel()
    await asyncio.wait([task])
    await claimed(service, caller)


@pytest.mark.parametrize("moments", range(1, 6))
async def test_a_try_that_is_cancelled_while_it_keeps_its_answer_lets_the_next_one_work(
    service: IdempotencyService, tenant: TenantFactory, moments: int
) -> None:
    caller, keeping = await tenant(), asyncio.Event()

    async def work() -> None:
        async with await claimed(service, caller) as claim:
            keeping.set()
            await claim.finish(ANSWER)

    task = asyncio.create_task(work())
    await keeping.wait()
    for _ in range(moments):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    again = await service.claim(caller, "key", HASH)
    assert isinstance(again, Claim) or again == ANSWER


async def test_after_a_crash_the_lease_runs_out_and_one_takes_over_under_the_same_id(
    service: IdempotencyService, tenant: TenantFactory, owner: Connection
) -> None:
    caller = await tenant()
    crashed = await claimed(service, caller)  # never settled: its process is gone
    with pytest.raises(RequestInProgress):
        await service.claim(caller, "key", HASH)
    await owner.execute(RUN_OUT)
    tries = await asyncio.gather(*(service.claim(caller, "key", HASH) for _ in range(10)), return_exceptions=True)
    (second,) = (one for one in tries if isinstance(one, Claim))
    assert second.operation_id == crashed.operation_id


async def test_who_slept_past_its_lease_neither_answers_nor_releases(
    service: IdempotencyService, tenant: TenantFactory, owner: Connection
) -> None:
    caller = await tenant()
    sleeper = await claimed(service, caller)
    await owner.execute(RUN_OUT)
    second = await claimed(service, caller)
    assert not await sleeper.finish(StoredAnswer(200, {}, b"late"))
    await sleeper.release()
    with pytest.raises(RequestInProgress):
        await service.claim(caller, "key", HASH)
    assert await second.finish(ANSWER)
    assert await service.claim(caller, "key", HASH) == ANSWER


async def test_a_lease_is_renewed_while_the_work_goes_on(
    database: Database, tenant: TenantFactory, owner: Connection
) -> None:
    service, caller = IdempotencyService(database, lease=timedelta(seconds=0.5)), await tenant()
    async with asyncio.timeout(30):
        async with await claimed(service, caller) as claim:
            first = await owner.fetchval("SELECT leased_until FROM idempotency_keys")
            await owner.execute("SELECT pg_sleep_until($1)", first)
            with pytest.raises(RequestInProgress):
                await service.claim(caller, "key", HASH)
            assert await claim.finish(ANSWER)
    assert await service.claim(caller, "key", HASH) == ANSWER


async def test_a_settled_claim_leaves_no_task_behind(service: IdempotencyService, tenant: TenantFactory) -> None:
    caller, before = await tenant(), asyncio.all_tasks()
    for key, settle in (("a", True), ("b", False)):
        async with await claimed(service, caller, key) as claim:
            assert len(asyncio.all_tasks() - before) == 1
            if settle:
                await claim.finish(ANSWER)
        assert asyncio.all_tasks() == before


async def test_work_whose_answer_is_not_kept_is_done_again_under_the_same_id(
    service: IdempotencyService, tenant: TenantFactory
) -> None:
    caller = await tenant()
    async with await claimed(service, caller) as claim:
        await claim.finish_without_answer()
    assert await service.claim(caller, "key", HASH) == Repeat(claim.operation_id)
    with pytest.raises(IdempotencyKeyReused):
        await service.claim(caller, "key", OTHER_HASH)


async def test_keys_are_forgotten_after_a_day(
    service: IdempotencyService, tenant: TenantFactory, owner: Connection
) -> None:
    caller = await tenant()
    for key in ("old", "young"):
        async with await claimed(service, caller, key) as claim:
            await claim.finish(ANSWER)
    await owner.execute(
        "UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 second' WHERE key = 'old'"
    )
    await service.forget_old()
    assert isinstance(await service.claim(caller, "old", OTHER_HASH), Claim)
    assert await service.claim(caller, "young", HASH) == ANSWER
