"""WebhookService: addresses where events come in, and the runs that they set off."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from backend.errors import (
    AgentArchived,
    AgentInactive,
    AgentNotFound,
    AgentTakesNoEvents,
    SecretAlreadyShown,
    SignatureRefused,
    WebhookNotFound,
)
from backend.models.agent_record import AgentRecord
from backend.models.tenant import Caller
from backend.models.webhook import EventAccepted, Webhook, WebhookCreate, WebhookCreated
from backend.ports import Clock
from backend.services.identifiers import new_id
from backend.services.run_orders import RunOrder, StartRun
from backend.services.webhook_signature import SignedEvent, new_secret, secret_text
from backend.stores.database import Database
from backend.stores.webhooks import NewWebhook
from backend.stores.worker import KnownWebhook

_NOBODYS = UUID(int=0)


@dataclass(frozen=True, slots=True)
class BelievedEvent:
    """An event with the webhook that it was really sent to."""

    webhook: KnownWebhook
    event: SignedEvent


class WebhookService:
    """Webhooks of agents whose contract says `trigger_type: event`, and what comes in through them."""

    def __init__(self, database: Database, start: StartRun, clock: Clock) -> None:
        self._database = database
        self._start = start
        self._clock = clock
        self._decoy = new_secret()

    async def create(
        self, caller: Caller, agent_id: UUID, wanted: WebhookCreate, operation_id: UUID | None = None
    ) -> WebhookCreated:
        """A webhook whose runs are the caller's, with its secret, which is shown this once.

        Errors: `AgentNotFound`, `AgentArchived`, `AgentTakesNoEvents`; `SecretAlreadyShown` when this operation made
        the webhook before.
        """
        secret = new_secret()
        new = NewWebhook(new_id(operation_id, "webhook"), agent_id, wanted.name, secret)
        async with self._database.tenant(caller.tenant_id) as tx:
            _refuse_for_good(await tx.agents.get(agent_id))
            made = await tx.webhooks.insert(new, caller.user_id, caller.api_key_id)
        if made is None:
            raise SecretAlreadyShown(
                "The first request with this Idempotency-Key made the webhook, and only its answer held the secret. If "
                "it did not reach you, delete the webhook and make another.",
                webhook_id=str(new.id),
            )
        return WebhookCreated(**made.model_dump(), secret=secret_text(secret))

    async def of_agent(self, caller: Caller, agent_id: UUID) -> list[Webhook]:
        """The agent's webhooks without their secrets, newest first. Errors: `AgentNotFound`."""
        async with self._database.tenant(caller.tenant_id) as tx:
            if await tx.agents.get(agent_id) is None:
                raise _no_agent()
            return await tx.webhooks.of_agent(agent_id)

    async def delete(self, caller: Caller, webhook_id: UUID) -> None:
        """Take nothing more from its sender. Errors: `WebhookNotFound`."""
        async with self._database.tenant(caller.tenant_id) as tx:
            if not await tx.webhooks.delete(webhook_id, caller.user_id, caller.api_key_id):
                raise WebhookNotFound("There is no webhook with this id.")

    async def believe(self, webhook_id: UUID | None, event: SignedEvent) -> BelievedEvent:
        """The event with the webhook that it was really sent to.

        Errors: `SignatureRefused`, the same for a webhook that is not there, a signature that does not fit, and an
        event that is too old or from the future.
        """
        async with self._database.worker() as worker:
            known = await worker.webhook_by_id(webhook_id or _NOBODYS)
        fits = event.fits(known.secret if known else self._decoy, self._clock.now())
        if known is None or not fits:
            raise SignatureRefused(
                "There is no such webhook, or the event is not signed with its secret, or its webhook-timestamp is "
                "more than five minutes away from now."
            )
        return BelievedEvent(known, event)

    async def receive(self, believed: BelievedEvent, document: str) -> EventAccepted:
        """Start the agent's run with this JSON text as its input; an event that comes again finds its run.

        Errors: `AgentTakesNoEvents`, `AgentInactive`, `AgentArchived`, and those of `StartRun`.
        """
        webhook, event_id = believed.webhook, believed.event.id
        async with self._database.tenant(webhook.tenant_id) as tx:
            if _refuse_for_good(await tx.agents.get(webhook.agent_id)).status != "active":
                raise AgentInactive("The agent is switched off. Set its status to active, and send the event again.")
            await tx.webhooks.touch(webhook.id)
        run = await self._start(
            RunOrder(
                tenant_id=webhook.tenant_id,
                user_id=webhook.user_id,
                agent_id=webhook.agent_id,
                input=document,
                metadata={"trigger": "event", "webhook_id": str(webhook.id), "event_id": event_id},
                operation_id=new_id(webhook.id, event_id),
                trigger="event",
            )
        )
        return EventAccepted(run_id=run.id, status=run.status)


def _refuse_for_good(agent: AgentRecord | None) -> AgentRecord:
    """The agent, if events can set it off, now or when it is switched on. Errors: those of `WebhookService.create`."""
    if agent is None:
        raise _no_agent()
    if agent.status == "archived":
        raise AgentArchived("The agent is archived. Set its status to active to use it again.")
    workflow = agent.contract().workflow
    trigger = workflow.trigger_type if workflow else None
    if trigger != "event":
        told = f"is {trigger}" if trigger else "is missing, with the whole workflow section"
        raise AgentTakesNoEvents(f"The agent's workflow.trigger_type {told}; events set off agents where it is event.")
    return agent


def _no_agent() -> AgentNotFound:
    return AgentNotFound("There is no agent with this id.")
