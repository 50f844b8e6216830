"""A person is taken out of every table at once, and out of everything else in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from backend.errors import Conflict, Forbidden, IndexUnavailable, NotFound, UserNotFound
from backend.models.namespace import Namespace
from backend.models.tenant import ADMIN_USER_ID, DEFAULT_TENANT_ID, ApiKeyCreate, Caller, Role, RoleName
from backend.services.erasure_job import EXTERNAL_DATABASE, KIND, ErasureJob
from backend.stores.agents import Author
from backend.stores.database import Database
from backend.stores.worker import Delivery
from backend.tests.factories import TenantFactory, make_default_tenant, make_user
from backend.tests.fakes import FakeIndex
from backend.tests.models.contracts import contract
from backend.tests.services.access import bearer
from backend.tests.services.erasing import WORDS, House, Scrubber

if TYPE_CHECKING:
    from asyncpg import Connection

OTHERS = "Somebody-else-entirely"


@pytest.fixture
async def house(database: Database, tenant: TenantFactory, owner: Connection) -> House:
    caller = await tenant()
    metadata = {"tenant_id": caller.tenant_id, "owner_id": caller.user_id}
    agent = contract(id=uuid4(), metadata=metadata)
    async with database.tenant(caller.tenant_id) as tx:
        await tx.agents.insert(agent, "Created", Author(caller.user_id))
    return House(database, owner, caller, agent.id)


# --- what goes, and what stays ---


async def test_the_words_are_gone_with_the_request_and_others_keep_theirs(house: House) -> None:
    planted, other = await house.plant(), await house.plant(OTHERS)
    before = (await house.everything()).count(OTHERS)
    assert WORDS in await house.everything()
    erasure = await house.service.erase(house.owner, planted.user_id)
    assert (erasure.status, erasure.user_id, erasure.requested_by) == (
        "pending", planted.user_id, house.owner.user_id,
    )  # fmt: skip
    assert WORDS not in await house.everything()
    assert (await house.everything()).count(OTHERS) == before
    assert house.orders == 1
    assert await house.deliver() == {}
    assert set(house.index.points) == {*other.memories, other.agent_memory}
    assert WORDS not in await house.everything()
    assert (await house.everything()).count(OTHERS) == before


async def test_the_certificate_counts_every_store(house: House) -> None:
    planted = await house.plant()
    erasure = await house.service.erase(house.owner, planted.user_id)
    assert (await house.service.get(house.owner, erasure.id)).certificate is None
    assert await house.deliver() == {}
    certificate = await house.certificate(erasure)
    removed = {one.store: one.removed for one in certificate.stores}
    none = {"agents": 0, "agent_versions": 0, "server_memory": 0}
    assert removed == {**planted.rows, **none, "search_index": 4, "database_files": 7}
    assert all(one.found_after == 0 for one in certificate.stores)
    assert certificate.requested_at == erasure.created_at
    assert EXTERNAL_DATABASE not in certificate.not_verified
    assert str(planted.user_id) not in certificate.model_dump_json()
    assert house.forgotten == 1


async def test_files_that_are_not_ours_are_said_to_be_the_operators(house: House) -> None:
    house.scrubber = None
    erasure = await house.service.erase(house.owner, (await house.plant()).user_id)
    assert await house.deliver() == {}
    certificate = await house.certificate(erasure)
    assert EXTERNAL_DATABASE in certificate.not_verified
    assert "database_files" not in {one.store for one in certificate.stores}


async def test_every_table_that_names_a_person_is_searched_again(house: House) -> None:
    """A table that is new, and names people, must be told of to the erasure."""
    columns = ("user_id", "owner_id", "created_by", "changed_by", "actor_id", "email")
    named = await house.rows.fetch(
        "SELECT DISTINCT table_name FROM information_schema.columns WHERE table_schema = 'public' AND"
        " column_name = ANY ($1)", columns,
    )  # fmt: skip
    async with house.database.tenant(house.owner.tenant_id) as tx:
        searched = set(await tx.erasures.found(house.owner.user_id, []))
    # An erasure names who was erased by an id that nobody has any more; that is what it is for.
    assert {row["table_name"] for row in named} - {"erasures"} <= searched


async def test_agents_stay_and_belong_to_nobody(house: House) -> None:
    person = await make_user(house.database, house.owner.tenant_id)
    agent = contract(id=uuid4(), metadata={"tenant_id": person.tenant_id, "owner_id": person.user_id})
    async with house.database.tenant(person.tenant_id) as tx:
        await tx.agents.insert(agent, "Created", Author(person.user_id))
    erasure = await house.service.erase(house.owner, person.user_id)
    assert await house.deliver() == {}
    removed = {one.store: one.removed for one in (await house.certificate(erasure)).stores}
    assert (removed["agents"], removed["agent_versions"]) == (1, 1)
    everything = await house.rows.fetchval(
        "SELECT string_agg(t::text, ' ') FROM (SELECT a::text FROM agents a UNION ALL SELECT v::text FROM"
        " agent_versions v UNION ALL SELECT u::text FROM users u) t"
    )
    assert str(person.user_id) not in everything
    async with house.database.tenant(person.tenant_id) as tx:
        versions, _ = await tx.agents.versions(agent.id, 10, 0)
    found = await house.rows.fetchrow(
        "SELECT owner_id::text, contract #>> '{metadata,owner_id}' AS in_contract FROM agents WHERE id = $1", agent.id
    )
    assert found is not None
    assert found["owner_id"] == found["in_contract"] != str(person.user_id)
    assert [one.created_by for one in versions] == [None]


async def test_answers_stored_for_others_that_name_the_person_go_too(house: House) -> None:
    planted = await house.plant()
    for key, body in (("about them", f'{{"user_id": "{planted.user_id}"}}'), ("of somebody", '{"user_id": "x"}')):
        await house.rows.execute(
            "INSERT INTO idempotency_keys (tenant_id, user_id, key, request_hash, leased_until, body)"
            " VALUES ($1, $2, $3, '', now(), $4)",
            house.owner.tenant_id, house.owner.user_id, key, body.encode(),
        )  # fmt: skip
    await house.service.erase(house.owner, planted.user_id)
    assert [row["key"] for row in await house.rows.fetch("SELECT key FROM idempotency_keys")] == ["of somebody"]


# --- who may ---


async def test_a_member_erases_themselves_and_nobody_else(house: House) -> None:
    planted, colleague = await house.plant(), await make_user(house.database, house.owner.tenant_id)
    myself = Caller(planted.tenant_id, planted.user_id, Role.MEMBER)
    for whose in (colleague.user_id, uuid4()):
        with pytest.raises(UserNotFound):
            await house.service.erase(myself, whose)
    assert (await house.service.erase(myself, planted.user_id)).user_id == planted.user_id


async def test_another_tenants_person_is_nobody(house: House, tenant: TenantFactory) -> None:
    stranger = await tenant()
    erasure = await house.service.erase(house.owner, (await house.plant()).user_id)
    with pytest.raises(NotFound) as foreign:
        await house.service.erase(house.owner, stranger.user_id)
    with pytest.raises(NotFound) as absent:
        await house.service.erase(house.owner, uuid4())
    assert foreign.value.detail == absent.value.detail
    with pytest.raises(NotFound):
        await house.service.get(stranger, erasure.id)
    with pytest.raises(NotFound):
        await house.service.get(Caller(house.owner.tenant_id, uuid4(), Role.MEMBER), erasure.id)


async def test_asking_again_tells_of_the_first_time(house: House) -> None:
    planted = await house.plant()
    first = await house.service.erase(house.owner, planted.user_id)
    assert await house.service.erase(house.owner, planted.user_id) == first
    await house.deliver()
    again = await house.service.erase(house.owner, planted.user_id)
    assert (again.id, again.status) == (first.id, "done")
    assert house.orders == 1


async def test_the_last_owner_stays(house: House) -> None:
    await house.access.create_key(house.owner, ApiKeyCreate(name="mine", role="owner"))
    with pytest.raises(Conflict, match="last key"):
        await house.service.erase(house.owner, house.owner.user_id)
    other = await make_user(house.database, house.owner.tenant_id, Role.OWNER)
    await house.access.create_key(other, ApiKeyCreate(name="theirs", role="owner"))
    assert (await house.service.erase(house.owner, house.owner.user_id)).status == "pending"


@pytest.mark.parametrize(("role", "holder", "allowed"), [("admin", "owner", False), ("admin", "admin", True)])
async def test_nobody_erases_somebody_above_them(house: House, role: RoleName, holder: RoleName, allowed: bool) -> None:
    for person in (house.owner, await make_user(house.database, house.owner.tenant_id, Role.OWNER)):
        await house.access.create_key(person, ApiKeyCreate(name="a key", role=holder))
    caller = Caller(house.owner.tenant_id, uuid4(), Role.named(role))
    if allowed:
        assert await house.service.erase(caller, house.owner.user_id)
    else:
        with pytest.raises(Forbidden, match="owner"):
            await house.service.erase(caller, house.owner.user_id)


async def test_who_the_server_acts_as_stays(house: House) -> None:
    admin = await make_default_tenant(house.database)
    assert (admin.tenant_id, admin.user_id) == (DEFAULT_TENANT_ID, ADMIN_USER_ID)
    with pytest.raises(Conflict, match="acts as"):
        await house.service.erase(admin, ADMIN_USER_ID)


# --- afterwards ---


async def test_the_person_who_comes_back_is_another(house: House) -> None:
    key = await house.access.create_key(house.owner_with_act_as, ApiKeyCreate(name="product", scopes=["act_as"]))
    before = await house.access.authenticate(bearer(key.key, "customer-1"))
    await house.service.erase(house.owner, before.user_id)
    after = await house.access.authenticate(bearer(key.key, "customer-1"))
    assert after.user_id != before.user_id


async def test_keys_and_what_was_believed_are_gone_at_once(house: House) -> None:
    person = await make_user(house.database, house.owner.tenant_id)
    key = await house.access.create_key(Caller(person.tenant_id, person.user_id, Role.OWNER), ApiKeyCreate(name="k"))
    assert (await house.access.authenticate(bearer(key.key))).user_id == person.user_id
    await house.service.erase(house.owner, person.user_id)
    with pytest.raises(Exception, match="no such API key"):
        await house.access.authenticate(bearer(key.key))


async def test_who_was_let_in_before_leaves_no_trace_after(house: House) -> None:
    """Another process believes for seconds that the person exists."""
    person = await make_user(house.database, house.owner.tenant_id)
    await house.service.erase(house.owner, person.user_id)
    with pytest.raises(Forbidden, match="erased"):
        async with house.database.tenant(person.tenant_id) as tx:
            await tx.threads.insert(uuid4(), house.agent_id, person.user_id, WORDS)
    with pytest.raises(Forbidden, match="erased"):
        async with house.database.tenant(person.tenant_id) as tx:
            await tx.idempotency.claim(person.user_id, WORDS, b"", timedelta(seconds=1))
    assert WORDS not in await house.everything()


async def test_a_row_that_is_being_stored_goes_too(house: House) -> None:
    """Whoever was first is waited for, so that nothing slips in between."""
    person = await make_user(house.database, house.owner.tenant_id)
    thread_id = uuid4()
    stored, erased = asyncio.Event(), asyncio.Event()

    async def store() -> None:
        async with house.database.tenant(person.tenant_id) as tx:
            await tx.threads.insert(thread_id, house.agent_id, person.user_id, WORDS)
            stored.set()
            await asyncio.wait([asyncio.create_task(erased.wait())], timeout=0.3)

    storing = asyncio.create_task(store())
    await stored.wait()
    await house.service.erase(house.owner, person.user_id)
    erased.set()
    await storing
    assert WORDS not in await house.everything()


# --- what goes wrong ---


async def test_an_index_that_is_away_is_waited_for(house: House) -> None:
    planted = await house.plant()
    house.index.away = True
    erasure = await house.service.erase(house.owner, planted.user_id)
    for _ in range(2):
        assert await house.deliver()
        assert (await house.service.get(house.owner, erasure.id)).status == "pending"
    assert not isinstance(house.scrubber, Scrubber) or not house.scrubber.asked
    house.index.away = False
    assert await house.deliver() == {}
    assert {one.store: one.removed for one in (await house.certificate(erasure)).stores}["search_index"] == 4


class DyingIndex(FakeIndex):
    """An index whose server dies at the n-th thing it is asked to take out."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at

    async def remove(self, ids: Sequence[UUID]) -> None:
        self.left -= 1
        if self.left == 0:
            raise IndexUnavailable("it died")
        await super().remove(ids)


@pytest.mark.parametrize("at", range(1, 6))
async def test_counts_are_right_however_often_a_step_is_taken(house: House, at: int) -> None:
    house.index = DyingIndex(at)
    planted = await house.plant()
    erasure = await house.service.erase(house.owner, planted.user_id)
    failed = 0
    while await house.deliver():
        failed += 1
    assert failed == (1 if at <= 4 else 0)  # three namespaces, and the memories that are in none of them
    assert {one.store: one.removed for one in (await house.certificate(erasure)).stores}["search_index"] == 4
    assert not house.index.points


async def test_files_in_use_are_waited_for(house: House) -> None:
    assert isinstance(house.scrubber, Scrubber)
    planted = await house.plant()
    house.scrubber.away = True
    erasure = await house.service.erase(house.owner, planted.user_id)
    assert list((await house.deliver()).values()) == ["the files are in use"]
    house.scrubber.away, house.scrubber.still_in = False, ["base/1/2"]
    (reason,) = (await house.deliver()).values()
    assert "database_files" in reason
    house.scrubber.still_in = []
    assert await house.deliver() == {}
    assert (await house.certificate(erasure)).stores
    assert {planted.threads[0].bytes, planted.threads[1].bytes} <= set(house.scrubber.asked[0])


async def test_what_is_being_delivered_about_them_comes_first(house: House) -> None:
    """A memory on its way into the index must not arrive there after everything was taken out."""
    planted = await house.plant()
    await house.rows.execute(
        "INSERT INTO outbox (tenant_id, kind, subject_id, leased_until)"
        " VALUES ($1, 'memory.index', $2, now() + interval '1 minute')",
        planted.tenant_id, planted.memories[0],
    )  # fmt: skip
    erasure = await house.service.erase(house.owner, planted.user_id)
    (reason,) = (await house.deliver()).values()
    assert "being delivered" in reason
    assert house.index.points
    await house.put(planted.memories[0], Namespace(planted.tenant_id, planted.agent_id, "user", planted.user_id))
    await house.rows.execute("DELETE FROM outbox WHERE kind = 'memory.index'")
    assert await house.deliver() == {}
    assert not house.index.points
    assert (await house.certificate(erasure)).stores


async def test_several_at_once_are_scrubbed_once(house: House) -> None:
    assert isinstance(house.scrubber, Scrubber)
    people = [await house.plant(f"{WORDS}-{number}") for number in range(3)]
    erasures = [await house.service.erase(house.owner, one.user_id) for one in people]
    assert await house.deliver() == {}
    assert len(house.scrubber.asked) == 1
    for erasure in erasures:
        assert (await house.certificate(erasure)).stores


async def test_an_order_that_comes_twice_changes_nothing(house: House) -> None:
    erasure = await house.service.erase(house.owner, (await house.plant()).user_id)
    async with house.database.worker() as worker:
        (claimed,) = await worker.claim_deliveries(timedelta(seconds=30), 10, [KIND])
    job = ErasureJob(house.database, house.index, house.scrubber, house.clock)
    assert await job.deliver([claimed]) == {}
    first = await house.certificate(erasure)
    assert await job.deliver([claimed]) == {}
    assert await house.certificate(erasure) == first
    assert isinstance(claimed, Delivery)


async def test_two_at_once_erase_once(house: House) -> None:
    planted = await house.plant()
    asked = await asyncio.gather(*(house.service.erase(house.owner, planted.user_id) for _ in range(4)))
    assert len({one.id for one in asked}) == 1
