"""Whoever sends events: signs them as Standard Webhooks says."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from uuid import uuid4

import httpx

from backend.services.webhook_signature import signature


@dataclass(frozen=True, slots=True)
class Sender:
    """Somebody with the id and the secret of a webhook, and no key."""

    http: httpx.AsyncClient
    webhook_id: str
    secret: str

    def headers(self, body: bytes, event_id: str | None = None, at: float | None = None) -> dict[str, str]:
        """The three headers of an event with this body, sent now or at another moment."""
        return signed_headers(self.secret, body, event_id, at)

    async def send(self, body: bytes, event_id: str | None = None, at: float | None = None) -> httpx.Response:
        """The answer to an event."""
        return await self.http.post(self.url, content=body, headers=self.headers(body, event_id, at))

    @property
    def url(self) -> str:
        """Where its events go."""
        return f"/api/v1/hooks/{self.webhook_id}"


def signed_headers(secret: str, body: bytes, event_id: str | None = None, at: float | None = None) -> dict[str, str]:
    """The headers of an event that is signed with this secret (`whsec_...`)."""
    event_id, timestamp = event_id or uuid4().hex, str(int(time.time() if at is None else at))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return {
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(key, event_id, timestamp, body),
        "content-type": "application/json",
    }
