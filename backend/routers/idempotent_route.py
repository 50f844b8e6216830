"""Idempotency-Key for every POST: a repeated request gets the first one's answer, and nothing happens twice.

The dependency claims the key (it needs the caller), the route settles the claim (it sees the answer). Requests without
the header cost neither.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from backend.errors import Invalid
from backend.models.tenant import Caller
from backend.routers.http_errors import ParameterError
from backend.routers.strict_json import Handler, StrictRoute
from backend.services.idempotency_service import Claim, StoredAnswer

if TYPE_CHECKING:
    from backend.services.idempotency_service import IdempotencyService

_HEADER = b"idempotency-key"
_FORM = re.compile("[!-~]{1,255}")
_KEPT_HEADERS = ("content-type", "etag", "location")
Parameter = dict[str, Any]
"""A parameter as the OpenAPI document has it."""


def header_parameter(name: str, description: str, example: str, **schema: Any) -> Parameter:
    """A header that a dependency reads by itself: as a declared one it would cost each request ten times as much."""
    schema = {"type": "string", "minLength": 1, **schema}
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema,
            "example": example}  # fmt: skip


IDEMPOTENCY_KEY = header_parameter(
    "Idempotency-Key",
    "Any text of your own, new for each intention: a repeated request gets the first answer and does nothing twice.",
    "order-4711",
    maxLength=255,
    pattern="^[!-~]+$",
)


class Replay(Exception):
    """No error: it carries the stored answer past the handler, to the route."""

    def __init__(self, answer: StoredAnswer) -> None:
        super().__init__()
        self.answer = answer


class IdempotentRoute(StrictRoute):
    """A route with strict JSON whose POST honours Idempotency-Key, if its handler takes the `Operation` dependency.

    Dependencies that read headers by themselves have them in an attribute `parameters`, for the OpenAPI document.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        read = [one for asked in self.dependant.dependencies for one in getattr(asked.call, "parameters", ())]
        if read:
            extra = self.openapi_extra or {}
            self.openapi_extra = {**extra, "parameters": [*extra.get("parameters", ()), *read]}

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        if "POST" not in (self.methods or ()):
            return handle

        async def idempotent(request: Request) -> Response:
            if idempotency_key(request) is None:
                return await handle(request)
            async with AsyncExitStack() as claims:  # releases on leaving what was not finished
                request.state.claims = claims
                try:
                    response = await handle(request)
                except Replay as replay:
                    return _replayed(replay.answer)
                await _settle(request, response)
                return response

        return idempotent


async def claim_operation(
    request: Request, service: IdempotencyService, caller: Caller, *, keeps_answer: bool
) -> UUID | None:
    """The id of what this request does, the same for every repeat; None without the header.

    Errors: `Replay` (to be handled by the route), `Invalid` for a malformed key, and those of `claim`.
    """
    key = idempotency_key(request)
    if key is None:
        return None
    if not _FORM.fullmatch(key):
        detail = "must be 1 to 255 visible ASCII characters"
        raise Invalid(
            f"Idempotency-Key {detail}.", [ParameterError("", detail, location="header", name="Idempotency-Key")]
        )
    claimed = await service.claim(caller, key, await _fingerprint(request))
    if isinstance(claimed, StoredAnswer):
        raise Replay(claimed)
    if isinstance(claimed, Claim):
        request.state.claim = await request.state.claims.enter_async_context(claimed)
        request.state.keeps_answer = keeps_answer
    return claimed.operation_id


def idempotency_key(request: Request) -> str | None:
    """The header's value; several are one malformed value."""
    found = [value for name, value in request.scope["headers"] if name == _HEADER]
    return b"\n".join(found).decode("latin-1") if found else None


async def _fingerprint(request: Request) -> bytes:
    # The raw address: /a%2Fb and /a/b are two. Lengths keep the parts apart.
    scope = request.scope
    address: bytes = scope.get("raw_path") or scope["path"].encode()
    digest = hashlib.sha256()
    for part in (scope["method"].encode(), address, scope["query_string"], await request.body()):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


async def _settle(request: Request, response: Response) -> None:
    claim: Claim | None = getattr(request.state, "claim", None)
    if claim is None or not 200 <= response.status_code < 300:
        return
    if isinstance(response, StreamingResponse) or not request.state.keeps_answer:
        await claim.finish_without_answer()
        return
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    await claim.finish(StoredAnswer(response.status_code, headers, bytes(response.body)))


def _replayed(answer: StoredAnswer) -> Response:
    return Response(answer.body, answer.status, {**answer.headers, "idempotent-replayed": "true"})
