"""Webhooks: made once with a secret that is shown once, believed only when signed, and one run for each event."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID, uuid4, uuid5

import pytest

from backend.errors import (
    AgentArchived,
    AgentInactive,
    AgentNotFound,
    AgentTakesNoEvents,
    Forbidden,
    SecretAlreadyShown,
    SignatureRefused,
    WebhookNotFound,
)
from backend.models.tenant import Caller
from backend.models.webhook import WebhookCreate, WebhookCreated
from backend.services.webhook_service import WebhookService
from backend.services.webhook_signature import SignedEvent, signature
from backend.stores.agents import Author
from backend.stores.database import Database
from backend.tests.factories import TenantFactory
from backend.tests.fakes import FrozenClock
from backend.tests.models.contracts import contract
from backend.tests.services.run_starter import Starter
from backend.tests.services.scheduling import Desk, make_worker

if TYPE_CHECKING:
    from asyncpg import Connection

EVENT = {"trigger_type": "event"}
WANTED = WebhookCreate(name="orders of the shop")
BODY = b'{"order": 4711}'


@dataclass
class House:
    """A tenant with an agent that events set off, and its webhooks."""

    database: Database
    desk: Desk
    caller: Caller
    agent: UUID
    clock: FrozenClock
    starter: Starter
    service: WebhookService

    async def make(self) -> WebhookCreated:
        return await self.service.create(self.caller, self.agent, WANTED)

    def signed(self, hook: WebhookCreated, event_id: str = "evt_1", body: bytes = BODY) -> SignedEvent:
        timestamp = str(int(self.clock.now().timestamp()))
        return SignedEvent(event_id, timestamp, signature(secret_of(hook), event_id, timestamp, body), body)

    async def send(self, hook: WebhookCreated, event_id: str = "evt_1") -> UUID:
        """The run that an event sets off."""
        believed = await self.service.believe(hook.id, self.signed(hook, event_id))
        return (await self.service.receive(believed, "{}")).run_id


def secret_of(hook: WebhookCreated) -> bytes:
    return base64.b64decode(hook.secret.removeprefix("whsec_"))


@pytest.fixture
async def house(database: Database, tenant: TenantFactory, owner: Connection) -> House:
    caller, clock, starter = await tenant(), FrozenClock(), Starter()
    agent = await make_worker(database, caller, EVENT)
    return House(database, Desk(owner), caller, agent, clock, starter, WebhookService(database, starter, clock))


async def audited(house: House, webhook_id: UUID) -> list[tuple[str, UUID, object]]:
    async with house.database.tenant(house.caller.tenant_id) as tx:
        return [(one["action"], one["actor_id"], one["detail"]) for one in await tx.audit.of_subject(webhook_id)]


# --- making them ---


async def test_a_webhook_is_made_shown_and_deleted(house: House) -> None:
    made, other = await house.make(), await house.make()
    assert (made.agent_id, made.user_id, made.name) == (house.agent, house.caller.user_id, "orders of the shop")
    assert made.secret != other.secret
    shown = await house.service.of_agent(house.caller, house.agent)
    assert [one.id for one in shown] == [other.id, made.id]
    assert shown[1].model_dump() == made.model_dump(exclude={"secret"})
    assert made.secret not in str(shown)
    await house.service.delete(house.caller, made.id)
    assert [one.id for one in await house.service.of_agent(house.caller, house.agent)] == [other.id]
    with pytest.raises(WebhookNotFound):
        await house.service.delete(house.caller, made.id)
    assert await audited(house, made.id) == [
        ("webhook.created", house.caller.user_id, {"name": "orders of the shop", "agent_id": str(house.agent)}),
        ("webhook.deleted", house.caller.user_id, {"agent_id": str(house.agent)}),
    ]


async def test_the_secret_is_shown_once(house: House) -> None:
    operation = uuid4()
    made = await house.service.create(house.caller, house.agent, WANTED, operation)
    with pytest.raises(SecretAlreadyShown) as again:
        await house.service.create(house.caller, house.agent, WANTED, operation)
    assert again.value.context == {"webhook_id": str(made.id)}
    assert len(await house.service.of_agent(house.caller, house.agent)) == 1
    assert len(await audited(house, made.id)) == 1
    assert await house.send(made)  # the secret of the first answer is still the one


@pytest.mark.parametrize("trigger", ["manual", "scheduled"])
async def test_only_agents_that_events_set_off_have_webhooks(trigger: str, house: House) -> None:
    workflow = {"trigger_type": trigger, **({"schedule": "0 9 * * *"} if trigger == "scheduled" else {})}
    agent = await make_worker(house.database, house.caller, workflow)
    with pytest.raises(AgentTakesNoEvents, match=f"trigger_type is {trigger}"):
        await house.service.create(house.caller, agent, WANTED)
    assert await house.service.of_agent(house.caller, agent) == []


async def test_an_agent_that_is_talked_to_has_no_webhooks(house: House) -> None:
    metadata = {"tenant_id": house.caller.tenant_id, "owner_id": house.caller.user_id}
    agent = contract(id=uuid4(), metadata=metadata)
    async with house.database.tenant(house.caller.tenant_id) as tx:
        await tx.agents.insert(agent, "Created", Author(house.caller.user_id))
    with pytest.raises(AgentTakesNoEvents, match="is missing"):
        await house.service.create(house.caller, agent.id, WANTED)


async def test_an_archived_agent_gets_no_webhook_and_one_that_is_off_does(house: House) -> None:
    await set_status(house, "inactive")
    assert await house.make()
    await set_status(house, "archived")
    with pytest.raises(AgentArchived):
        await house.make()


async def test_another_tenants_agents_and_webhooks_are_not_there(house: House, tenant: TenantFactory) -> None:
    stranger, made = await tenant(), await house.make()
    for agent in (house.agent, uuid4()):
        with pytest.raises(AgentNotFound):
            await house.service.create(stranger, agent, WANTED)
        with pytest.raises(AgentNotFound):
            await house.service.of_agent(stranger, agent)
    with pytest.raises(WebhookNotFound):
        await house.service.delete(stranger, made.id)
    assert await house.send(made)


async def test_who_was_erased_makes_no_webhook(house: House) -> None:
    gone = Caller(house.caller.tenant_id, uuid4(), house.caller.role)
    with pytest.raises(Forbidden, match="erased"):
        await house.service.create(gone, house.agent, WANTED)


# --- what comes in ---


async def test_an_event_is_a_run_in_the_name_of_who_made_the_webhook(house: House) -> None:
    made = await house.make()
    believed = await house.service.believe(made.id, house.signed(made))
    accepted = await house.service.receive(believed, '{"order":4711}')
    [order] = house.starter.orders
    assert (order.tenant_id, order.user_id, order.agent_id) == (
        house.caller.tenant_id, house.caller.user_id, house.agent,
    )  # fmt: skip
    assert (order.input, order.trigger) == ('{"order":4711}', "event")
    assert order.metadata == {"trigger": "event", "webhook_id": str(made.id), "event_id": "evt_1"}
    assert order.operation_id == uuid5(made.id, "evt_1")
    assert (accepted.run_id, accepted.status) == (house.starter.runs[order.operation_id].id, "running")
    [shown] = await house.service.of_agent(house.caller, house.agent)
    assert shown.last_used_at is not None


async def test_an_event_that_comes_again_finds_its_run(house: House) -> None:
    made, other = await house.make(), await house.make()
    first = await house.send(made)
    house.clock.advance(hours=7)  # the sender tries again, with a new timestamp
    assert await house.send(made) == first
    assert await house.send(made, "evt_2") != first
    assert await house.send(other) != first  # another sender's event of the same name
    assert len(house.starter.runs) == 3


async def test_all_that_is_not_believed_is_refused_alike(house: House) -> None:
    made, other = await house.make(), await house.make()
    event = house.signed(made)
    believed = await house.service.believe(made.id, event)
    assert (believed.webhook.id, believed.webhook.agent_id) == (made.id, house.agent)
    told: set[str] = set()
    for hook, one in (
        (uuid4(), event),
        (None, event),
        (other.id, event),
        (made.id, house.signed(other)),
        (made.id, SignedEvent(event.id, event.timestamp, event.signatures, b"{}")),
        (made.id, SignedEvent("", "", "", b"")),
    ):
        with pytest.raises(SignatureRefused) as refused:
            await house.service.believe(hook, one)
        told.add(f"{refused.value.detail} {refused.value.context}")
    house.clock.advance(seconds=301)
    with pytest.raises(SignatureRefused) as late:
        await house.service.believe(made.id, event)
    assert told == {f"{late.value.detail} {{}}"}
    assert house.starter.orders == []


@pytest.mark.parametrize("gone", ["deleted", "user", "tenant", "agent"])
async def test_a_webhook_that_is_gone_or_whose_people_are_suspended_is_unknown(gone: str, house: House) -> None:
    made = await house.make()
    match gone:
        case "deleted":
            await house.service.delete(house.caller, made.id)
        case "agent":
            await house.desk.owner.execute("DELETE FROM agents")
        case _:
            await house.desk.owner.execute(f"UPDATE {gone}s SET status = 'suspended'")  # noqa: S608 — one of the two above
    with pytest.raises(SignatureRefused):
        await house.service.believe(made.id, house.signed(made))


async def test_an_agent_that_takes_no_events_now_says_why(house: House) -> None:
    made = await house.make()
    believed = await house.service.believe(made.id, house.signed(made))
    await set_status(house, "inactive")
    with pytest.raises(AgentInactive):
        await house.service.receive(believed, "{}")
    await set_status(house, "archived")
    with pytest.raises(AgentArchived):
        await house.service.receive(believed, "{}")
    await set_status(house, "active")
    await house.desk.set_workflow(house.agent, trigger_type="manual")
    with pytest.raises(AgentTakesNoEvents, match="is manual"):
        await house.service.receive(believed, "{}")
    assert house.starter.orders == []
    await house.desk.set_workflow(house.agent, trigger_type="event")
    assert (await house.service.receive(believed, "{}")).status == "running"


async def set_status(house: House, status: str) -> None:
    """As the service that changes agents writes it: in the row and in the contract."""
    await house.desk.owner.execute(
        "UPDATE agents SET status = $1, contract = jsonb_set(contract, '{metadata,status}', to_jsonb($1::text))", status
    )
