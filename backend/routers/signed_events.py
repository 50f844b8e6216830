"""Who sends an event: its signature is the credential, so that it needs no key and no key lets one in."""

from __future__ import annotations

from typing import Annotated, Any, cast
from uuid import UUID

from fastapi import Depends
from fastapi.openapi.models import APIKey, APIKeyIn
from fastapi.security.base import SecurityBase
from starlette.requests import Request

from backend.routers.dependencies import container
from backend.routers.idempotent_route import header_parameter
from backend.services.webhook_service import BelievedEvent
from backend.services.webhook_signature import SignedEvent
from backend.telemetry import bind_log_context

_NAMES = (b"webhook-id", b"webhook-timestamp", b"webhook-signature")


class SignedBySender(SecurityBase):
    """A dependency: the event, whose signature holds. It is asked before anything else is looked at."""

    parameters = (
        header_parameter(
            "webhook-id",
            "The event's id, the same each time it is sent: it sets off one run.",
            "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
            maxLength=255,
            pattern=r"^[!-\-/-~]+$",
        ),
        header_parameter("webhook-timestamp", "When it is sent, in seconds since 1970.", "1674087231"),
    )

    def __init__(self) -> None:
        self.scheme_name = "webhookSignature"
        self.model = APIKey(
            **cast("dict[str, Any]", {"in": APIKeyIn.header}),
            name="webhook-signature",
            description="`v1,` and the base64 of HMAC-SHA256 over `webhook-id.webhook-timestamp.body` with the secret "
            "of the webhook (what comes after `whsec_`, decoded); several with a space between, one of which must fit.",
        )

    async def __call__(self, request: Request) -> BelievedEvent:
        """The event. Errors: `SignatureRefused`."""
        event_id, timestamp, signatures = _headers(request)
        event = SignedEvent(event_id, timestamp, signatures, await request.body())
        believed = await container(request).webhooks.believe(_id_of(request), event)
        bind_log_context(tenant_id=str(believed.webhook.tenant_id))
        return believed


def _headers(request: Request) -> list[str]:
    """The three headers; one that is missing, or came twice, is empty, and then nothing fits."""
    found: dict[bytes, list[bytes]] = {name: [] for name in _NAMES}
    for name, value in request.scope["headers"]:
        if name in found:
            found[name].append(value)
    return [values[0].decode("latin-1") if len(values) == 1 else "" for values in found.values()]


def _id_of(request: Request) -> UUID | None:
    try:
        return UUID(request.path_params["webhook_id"])
    except ValueError:
        return None


Believed = Annotated[BelievedEvent, Depends(SignedBySender())]
