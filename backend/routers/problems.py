"""The one map from errors to HTTP (RFC 9457): for routes, middleware, event streams and stored runs.

Of an invalid body `errors` says where by JSON pointer, of an invalid parameter by `in` and `name`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast
from urllib.parse import quote

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from backend.errors import (
    Conflict,
    ConversationEnded,
    DatabaseUnavailable,
    FieldError,
    Forbidden,
    Invalid,
    ModelError,
    ModelTimeout,
    ModelUnavailable,
    NotFound,
    NumenError,
    PreconditionFailed,
    SignatureRefused,
    SpeechError,
    SpeechTimeout,
    SpeechUnavailable,
    ToolError,
    TooManyConversations,
    Unauthenticated,
    Unavailable,
    UnknownVoice,
)
from backend.models.problem import Problem
from backend.routers.http_errors import (
    BodyTooLarge,
    HeaderTooLarge,
    MalformedBody,
    MalformedRequest,
    MalformedUrl,
    MethodNotAllowed,
    NotAcceptable,
    NotAcceptedByFramework,
    ParameterError,
    RangeNotSatisfiable,
    RequestTimeout,
    RouteNotFound,
    UnsupportedMedia,
    UpgradeRequired,
)
from backend.routers.validation import refused_values
from backend.telemetry import current_request_id

PROBLEM_MEDIA_TYPE = "application/problem+json"
_LONGEST_INSTANCE = 2_000


class Kind(NamedTuple):
    """How a kind of error is answered: the status, and what the caller can do about it."""

    status: int
    advice: str


KINDS: dict[type[NumenError], Kind] = {
    NumenError: Kind(500, "The fault is ours and has been logged. Quote the request id when you report it."),
    NotFound: Kind(404, "Check the id. What belongs to somebody else looks the same as what does not exist."),
    Invalid: Kind(422, "Correct the values named in `errors` and send the request again."),
    Conflict: Kind(409, "Read the current state, then decide whether the request still makes sense."),
    PreconditionFailed: Kind(412, "Read it again and repeat the change with the new ETag in If-Match."),
    Unauthenticated: Kind(401, "Send `Authorization: Bearer <API key or token>` that is valid."),
    SignatureRefused: Kind(401, "Sign the bytes of the body with the webhook's secret, and send a clock's right time."),
    Forbidden: Kind(403, "Ask an admin of your tenant for a key or a role that may do this."),
    Unavailable: Kind(503, "Send the request again after the seconds in Retry-After."),
    ModelError: Kind(502, "Your message is kept. Send the request again with the same Idempotency-Key."),
    ModelTimeout: Kind(504, "Your message is kept. Send the request again with the same Idempotency-Key."),
    ModelUnavailable: Kind(503, "Your message is kept. Send the request again, with the same Idempotency-Key, later."),
    SpeechError: Kind(502, "Try again; the text is kept. The detail says what the provider answered."),
    SpeechTimeout: Kind(504, "Try again, or say less at once."),
    UnknownVoice: Kind(422, "Name another voice in the contract; GET /api/v1/voices lists the ones there are."),
    SpeechUnavailable: Kind(503, "Try again later; the detail names the setting when a key is missing."),
    ToolError: Kind(502, "Look at the run's steps, and at the server of the tool."),
    TooManyConversations: Kind(429, "End another conversation, or try again later."),
    ConversationEnded: Kind(409, "Begin another conversation; the thread goes on where this one ended."),
    MalformedUrl: Kind(400, "Percent-encode the address as UTF-8, without control characters."),
    MalformedBody: Kind(400, "Send one JSON document in UTF-8; NaN, Infinity and lone surrogates are not JSON."),
    MalformedRequest: Kind(400, "Send HTTP/1.1."),
    MethodNotAllowed: Kind(405, "Use one of the methods in the Allow header."),
    NotAcceptable: Kind(406, "Ask in Accept for what the detail names."),
    RequestTimeout: Kind(408, "Send the whole request without pauses."),
    BodyTooLarge: Kind(413, "Send less at once."),
    UnsupportedMedia: Kind(415, "Send `Content-Type: application/json`, and no Content-Encoding."),
    RangeNotSatisfiable: Kind(416, "Ask for bytes before the end; `length` says where that is."),
    UpgradeRequired: Kind(426, "Connect with a WebSocket client."),
    HeaderTooLarge: Kind(431, "Send a shorter header."),
    NotAcceptedByFramework: Kind(400, "Read the detail."),
}
_RETRY_SECONDS = 1


def kind_of(error: type[NumenError]) -> Kind:
    """How this class is answered: as its nearest ancestor in `KINDS`, so that a new error needs no new line."""
    return next(KINDS[ancestor] for ancestor in error.__mro__ if ancestor in KINDS)


def status_of(error: NumenError) -> int:
    """The HTTP status of the error."""
    return error.status if isinstance(error, NotAcceptedByFramework) else kind_of(type(error)).status


def problem_body(error: NumenError, *, instance: str | None = None, request_id: str | None = None) -> dict[str, Any]:
    """The members of the answer; also the data of `run.failed` and what is stored of a failed run.

    The request id is the current task's unless given. A `NotFound` shows no context: another tenant's id must not
    answer otherwise than one that does not exist.
    """
    body: dict[str, Any] = {} if isinstance(error, NotFound) else dict(error.context)
    body |= {
        "type": f"/problems/{error.code}",
        "title": error.title,
        "status": status_of(error),
        "code": error.code,
        "detail": error.detail,
    }
    if instance is not None:
        body["instance"] = instance
    request_id = request_id or current_request_id()
    if request_id is not None:
        body["request_id"] = request_id
    if isinstance(error, Invalid) and error.errors:
        body["errors"] = [_field(one) for one in error.errors]
    return body


def problem_response(
    error: NumenError, scope: Scope | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer to a request that ended in this error, with the headers that belong to its status."""
    body = problem_body(error, instance=None if scope is None else instance_of(scope))
    status: int = body["status"]
    sent = dict(headers or {})
    retry_after = error.context.get("retry_after", _RETRY_SECONDS if status == 503 else None)
    if isinstance(retry_after, int | float):
        sent["retry-after"] = str(max(0, math.ceil(retry_after)))
    if status == 426:
        sent["upgrade"], sent["connection"] = "websocket", "upgrade"
    if status == 401:
        sent["www-authenticate"] = "Webhook-Signature" if isinstance(error, SignatureRefused) else "Bearer"
    return Response(_written(body), status, sent, PROBLEM_MEDIA_TYPE)


def _written(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body, default=str)
    except orjson.JSONEncodeError:  # a lone surrogate or an integer over 64 bits: the answer must still go out
        return json.dumps(body, default=str).encode()


def install_problems(app: FastAPI) -> None:
    """Let this app answer every error as a problem, and describe the shape in its OpenAPI document.

    What is no `NumenError` and no refusal of the framework is left to the seam in `request_context.py`.
    """
    app.add_exception_handler(NumenError, _on_numen_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(WebSocketRequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.openapi = _with_problem_schema(app.openapi)


def problem_responses(*errors: type[NumenError]) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses=`: each status that these errors have, with an example of each."""
    by_status: dict[int, list[type[NumenError]]] = {}
    for error in errors:
        by_status.setdefault(kind_of(error).status, []).append(error)
    return {status: _documented(status, kinds) for status, kinds in sorted(by_status.items())}


def _documented(status: int, kinds: list[type[NumenError]]) -> dict[str, Any]:
    examples = {
        kind.code: {
            "summary": kind.title,
            "value": {
                "type": f"/problems/{kind.code}",
                "title": kind.title,
                "status": status,
                "code": kind.code,
                "detail": kind_of(kind).advice,
                "request_id": "5f0c2f6c4f4b4b5c9a2f6f0a1c3d5e7f",
            },
        }
        for kind in kinds
    }
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": ". ".join(kind.title for kind in kinds),
        "content": {PROBLEM_MEDIA_TYPE: {"schema": schema, "examples": examples}},
    }


PROBLEM_RESPONSES = problem_responses(
    MalformedUrl, MalformedBody, Unauthenticated, Forbidden, RequestTimeout, BodyTooLarge, UnsupportedMedia, Invalid,
    NumenError, DatabaseUnavailable,
)  # fmt: skip
"""What every route of the API can answer; for `include_router(responses=...)`."""


def _with_problem_schema(openapi: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    def document() -> dict[str, Any]:
        described = openapi()
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas: dict[str, Any] = described.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(schema.pop("$defs", {}))
        schemas["Problem"] = schema
        return described

    return document


def _field(error: FieldError) -> dict[str, str]:
    if isinstance(error, ParameterError):
        return {"pointer": error.pointer, "in": error.location, "name": error.name, "detail": error.detail}
    return {"pointer": error.pointer, "detail": error.detail}


def instance_of(scope: Scope) -> str:
    """The path that was asked for, percent-encoded, without the query."""
    raw = cast("bytes | None", scope.get("raw_path"))
    path = quote(scope.get("path", "/")) if raw is None else quote(raw, safe="/%:@!$&'()*+,;=-._~")
    return path[:_LONGEST_INSTANCE]


async def _on_numen_error(request: Request, error: Exception) -> Response:
    return problem_response(cast("NumenError", error), request.scope)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    refused = cast("RequestValidationError | WebSocketRequestValidationError", error)
    return problem_response(refused_values(refused), request.scope)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    refusal = cast("HTTPException", error)
    match refusal.status_code:
        case 404:
            return problem_response(RouteNotFound("Nothing answers at this address."), request.scope)
        case 405:
            methods = _methods(request)
            problem = MethodNotAllowed(f"This address takes {methods}, not {request.method}.")
            return problem_response(problem, request.scope, {"allow": methods})
        case 413:
            return problem_response(BodyTooLarge("The body is larger than this server takes."), request.scope)
        case status:
            problem = NotAcceptedByFramework(str(refusal.detail), status)
            return problem_response(problem, request.scope, refusal.headers)


def _methods(request: Request) -> str:
    """Every method of the address: the framework names only those of the first route that has it."""
    path = request.url.path
    methods: set[str] = set()
    for context in iter_route_contexts(request.app.routes):
        if context.methods and context.path_regex.match(path):
            methods |= context.methods
    return ", ".join(sorted(methods))
