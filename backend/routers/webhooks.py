"""Webhooks over HTTP: making them, and `/api/v1/hooks/{webhook_id}`, where events come in."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
from fastapi import APIRouter

from backend.errors import (
    AgentArchived,
    AgentInactive,
    AgentNotFound,
    AgentTakesNoEvents,
    IdempotencyKeyReused,
    RequestInProgress,
    SecretAlreadyShown,
    SignatureRefused,
    WebhookNotFound,
)
from backend.models.webhook import EventAccepted, Webhook, WebhookCreate, WebhookCreated
from backend.routers.dependencies import Admin, SecretOperation, Webhooks
from backend.routers.idempotent_route import IdempotentRoute
from backend.routers.problems import PROBLEM_RESPONSES, problem_responses
from backend.routers.signed_events import Believed
from backend.routers.strict_json import parse_strictly

router = APIRouter(prefix="/api/v1", tags=["webhooks"], route_class=IdempotentRoute, responses=PROBLEM_RESPONSES)
_ANY_JSON: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {}, "example": {"type": "order.paid", "data": {"order": 4711}}}},
    }
}


@router.post(
    "/agents/{agent_id}/webhooks",
    status_code=201,
    operation_id="createWebhook",
    summary="Make a webhook",
    responses=problem_responses(
        AgentNotFound, AgentArchived, AgentTakesNoEvents, SecretAlreadyShown, RequestInProgress, IdempotencyKeyReused
    ),
)
async def create_webhook(
    caller: Admin, webhooks: Webhooks, agent_id: UUID, body: WebhookCreate, operation: SecretOperation
) -> WebhookCreated:
    """Make an address for one sender of events. Its secret is in this answer only.

    The agent's `workflow.trigger_type` must be `event`. Its runs are made in your name. To change the secret, make
    another webhook, use it, and delete the old one.
    """
    return await webhooks.create(caller, agent_id, body, operation)


@router.get(
    "/agents/{agent_id}/webhooks",
    operation_id="listWebhooks",
    summary="List an agent's webhooks",
    responses=problem_responses(AgentNotFound),
)
async def list_webhooks(caller: Admin, webhooks: Webhooks, agent_id: UUID) -> list[Webhook]:
    """Every webhook of the agent, newest first; never a secret."""
    return await webhooks.of_agent(caller, agent_id)


@router.delete(
    "/webhooks/{webhook_id}",
    status_code=204,
    operation_id="deleteWebhook",
    summary="Delete a webhook",
    responses=problem_responses(WebhookNotFound),
)
async def delete_webhook(caller: Admin, webhooks: Webhooks, webhook_id: UUID) -> None:
    """Take nothing more from its sender. Runs that its events have set off stay."""
    await webhooks.delete(caller, webhook_id)


@router.post(
    "/hooks/{webhook_id}",
    status_code=202,
    operation_id="receiveEvent",
    summary="Send an event to an agent",
    openapi_extra=_ANY_JSON,
    responses=problem_responses(SignatureRefused, AgentTakesNoEvents, AgentInactive, AgentArchived),
)
async def receive_event(webhooks: Webhooks, believed: Believed, webhook_id: UUID) -> EventAccepted:  # noqa: ARG001 — the signature's dependency reads it
    """Set the agent off with any JSON document as its input, signed as https://www.standardwebhooks.com says.

    No key is needed. The signature is over the body's bytes as they are sent. An event that is sent again, with the
    same `webhook-id` and a new timestamp, finds its run.
    """
    return await webhooks.receive(believed, orjson.dumps(parse_strictly(believed.event.body)).decode())
