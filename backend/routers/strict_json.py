"""Strict JSON for every route that takes a body, parsed exactly once.

`StrictRoute` is the place for it, not a middleware: a middleware would have to hand bytes on, which FastAPI would parse
a second time with `json.loads` (that takes NaN and lone surrogates), and requests without a body would pay for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, cast

import orjson
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from backend.errors import FieldError, Invalid
from backend.routers.direct_dependencies import ask, split
from backend.routers.http_errors import MalformedBody, UnsupportedMedia
from backend.routers.validation import pointer_to

DEEPEST = 64
"""How many levels of objects and lists a body may have."""
MOST_CONTAINERS = 20_000
"""How many objects and lists a body may have. A megabyte of empty lists would hold the server for a quarter second."""

# One that is never closed matches to the end: without that, the search would start anew at each of its quotes.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRoute(APIRoute):
    """For `APIRouter(route_class=StrictRoute)`: the body is JSON of the strict kind, or the route is not called.

    Errors: `UnsupportedMedia` (content type), `MalformedBody` (no JSON), `Invalid` (U+0000, too deep).
    """

    def get_route_handler(self) -> Handler:
        handle = self._solving_handler()
        if self.body_field is None:
            return handle

        async def strict(request: Request) -> Response:
            checked = _StrictRequest(request.scope, request.receive)
            await checked.read()
            return await handle(checked)

        return strict

    def _solving_handler(self) -> Handler:
        whole = self.dependant
        self.dependant, asked = split(whole)
        handle = super().get_route_handler()
        self.dependant = whole  # for the OpenAPI document
        if not asked:
            return handle

        async def asking(request: Request) -> Response:
            await ask(asked, request)
            return await handle(request)

        return asking


class _StrictRequest(Request):
    # FastAPI asks a request for body() and then for json(); the latter answers from here.
    document: Any = None

    async def read(self) -> None:
        body = await self.body()
        if not body:
            return  # FastAPI says that it is missing, or the route does not mind
        if not _is_json(self.headers.get("content-type", "")):
            raise UnsupportedMedia("Send the body as JSON, with Content-Type: application/json.")
        self.document = parse_strictly(body)

    async def json(self) -> Any:
        return self.document


def _is_json(content_type: str) -> bool:
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        return False
    _, named, charset = parameters.lower().partition("charset=")
    return not named or charset.strip().strip('"') in ("utf-8", "utf8")


def parse_strictly(body: bytes) -> Any:
    """The JSON document, free of what PostgreSQL cannot store and of what we could not write back.

    Of a repeated key the last value counts, as in every parser that our clients and PostgreSQL use.
    Errors: `MalformedBody`, `Invalid`.
    """
    # A level and a container need a bracket, and only an escape can spell U+0000: most bodies need no closer look.
    brackets = body.count(b"[") + body.count(b"{")
    if brackets > MOST_CONTAINERS and _containers(body) > MOST_CONTAINERS:
        raise _refused("", f"must not have more than {MOST_CONTAINERS} objects and lists")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        place = "" if error.pos < 0 else f" (near character {error.pos})"
        raise MalformedBody(f"The body is not valid JSON in UTF-8{place}.") from None
    if brackets > DEEPEST and _is_too_deep(document):
        raise _refused("", f"must not be nested deeper than {DEEPEST} levels")
    if b"\\" in body and b"\\u0000" in body and (steps := _steps_to_nul(document)) is not None:
        raise _refused(pointer_to(steps), "must not contain the character U+0000")
    return document


def _refused(pointer: str, detail: str) -> Invalid:
    return Invalid(f"{pointer or 'The body'} {detail}.", [FieldError(pointer, detail)])


def _containers(body: bytes) -> int:
    outside_strings = _STRING.sub(b"", body)
    return outside_strings.count(b"[") + outside_strings.count(b"{")


def _is_too_deep(document: Any) -> bool:
    level: list[Any] = [document] if isinstance(document, dict | list) else []
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _values(outer) if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _values(container: Any) -> Iterable[Any]:
    return cast("dict[str, Any]", container).values() if isinstance(container, dict) else container


def _steps_to_nul(value: Any) -> tuple[str | int, ...] | None:
    """The way to the first U+0000, in a value or in a key. Recursion is as deep as the document, which was measured."""
    if isinstance(value, str):
        return () if "\0" in value else None
    items: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        if any("\0" in key for key in members):
            return ()
        items = members.items()
    elif isinstance(value, list):
        items = enumerate(cast("list[Any]", value))
    for step, inner in items:
        found = _steps_to_nul(inner)
        if found is not None:
            return (step, *found)
    return None
