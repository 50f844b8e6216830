"""Dependencies that need the connection only are called by the route itself: FastAPI's way costs a request more each.

FastAPI still knows them, for the OpenAPI document; it solves what is left: parameters, bodies, dependencies of others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import fields, replace
from functools import wraps
from typing import Any

from fastapi.dependencies.models import Dependant
from starlette.requests import Request

Asked = dict[str, Callable[[Request], Awaitable[Any]]]
_GIVEN = "numen.given"
_REQUEST = "the request"
_HARMLESS = {"name", "call", "http_connection_param_name", "request_param_name", "use_cache", "path",
             "parent_oauth_scopes"}  # fmt: skip
_PLAIN = Dependant()
_NOTHING: dict[str, Any] = {}


def split(whole: Dependant) -> tuple[Dependant, Asked]:
    """What FastAPI is to solve, and by name what `ask` is: in the end the endpoint gets both."""
    direct = [one for one in whole.dependencies if _is_direct(one)]
    asked: Asked = {one.name: _asker(one) for one in direct if one.name}
    if not asked or whole.call is None:
        return whole, {}
    endpoint, wanted = whole.call, whole.request_param_name

    @wraps(endpoint)
    async def with_given(**values: Any) -> Any:
        request: Request = values[wanted] if wanted else values.pop(_REQUEST)
        return await endpoint(**values, **request.scope[_GIVEN])

    rest = [one for one in whole.dependencies if one not in direct]
    return replace(whole, dependencies=rest, call=with_given, request_param_name=wanted or _REQUEST), asked


async def ask(asked: Asked, request: Request) -> None:
    """Call them in their order, before anything of the request is validated. Errors: theirs.

    Nothing is asked for a route of an included router, which FastAPI handles with all its dependencies by itself.
    """
    if request.scope.get("fastapi", _NOTHING).get("effective_route_context") is None:
        request.scope[_GIVEN] = {name: await one(request) for name, one in asked.items()}


def _is_direct(one: Dependant) -> bool:
    """Whether it is a coroutine function of the connection and nothing else."""
    return one.name is not None and all(
        (getattr(one, field.name) or None) == (getattr(_PLAIN, field.name) or None)
        for field in fields(one)
        if field.name not in _HARMLESS
    )


def _asker(one: Dependant) -> Callable[[Request], Awaitable[Any]]:
    call, name = one.call, one.http_connection_param_name or one.request_param_name
    if call is None or name is None:
        raise TypeError(f"{one.name} is no dependency of a connection")
    return lambda request: call(**{name: request})
