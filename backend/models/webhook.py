"""Webhooks: addresses where events come in that set agents off."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

from backend.models.base import FrozenModel, example
from backend.models.run import RunStatus


class WebhookCreate(FrozenModel):
    """A webhook to make; the name is for people."""

    model_config = example(name="orders of the shop")

    name: Annotated[str, StringConstraints(min_length=1, max_length=255, strip_whitespace=True)]


_WEBHOOK: JsonDict = {
    "id": "9d2f6c3a-5b1e-4f7a-8c0d-1e2f3a4b5c6d",
    "agent_id": "6f1c2f9e-8a53-4c53-9b1e-2f6d2c1a7b10",
    "user_id": "660e8400-e29b-41d4-a716-446655440001",
    "name": "orders of the shop",
    "created_at": "2026-11-22T10:00:00Z",
    "last_used_at": "2026-11-22T10:05:00Z",
}


class Webhook(FrozenModel):
    """Where one sender's events come in: `POST /api/v1/hooks/{id}`. Its runs are made in the name of `user_id`."""

    model_config = ConfigDict(json_schema_extra={"examples": [_WEBHOOK]})

    id: UUID
    agent_id: UUID
    user_id: UUID
    name: str
    created_at: datetime
    last_used_at: datetime | None = Field(description="To the minute.")


class WebhookCreated(Webhook):
    """A new webhook with its secret, shown this once."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_WEBHOOK, "secret": "whsec_<base64>"}]})

    secret: str = Field(description="Signs the events, as https://www.standardwebhooks.com says: HMAC-SHA256.")


class EventAccepted(FrozenModel):
    """The run that an event has set off: `GET /api/v1/runs/{run_id}`, with a key."""

    model_config = example(run_id="c1e3a6d4-0c3f-4f57-9a1b-6a1f0e2d4c33", status="running")

    run_id: UUID
    status: RunStatus
