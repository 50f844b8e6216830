"""Dependencies of the connection are called by the route, the others by FastAPI; the endpoint sees no difference."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query
from httpx import ASGITransport, AsyncClient, Response
from starlette.requests import HTTPConnection, Request

from backend.routers.strict_json import StrictRoute

calls: list[str] = []


async def _first(connection: HTTPConnection) -> str:
    calls.append("first")
    return connection.headers.get("who", "nobody")


async def _second(request: Request) -> str:
    calls.append("second")
    return request.method


async def _page(size: Annotated[int, Query(le=10)] = 5) -> int:
    calls.append("page")
    return size


async def _noted(connection: HTTPConnection) -> None:
    calls.append(f"noted {connection.url.path}")


First = Annotated[str, Depends(_first)]
Second = Annotated[str, Depends(_second)]
Page = Annotated[int, Depends(_page)]
router = APIRouter(route_class=StrictRoute)


@router.get("/all/{name}", dependencies=[Depends(_noted)])
async def everything(first: First, page: Page, second: Second, name: str, request: Request) -> list[str]:
    """Asks for everything, and for the request itself."""
    return [first, second, str(page), name, request.url.path]


@router.get("/one")
async def one(first: First) -> str:
    """Asks for one thing."""
    return first


@router.get("/none")
async def none(page: Page) -> int:
    """Asks for nothing of the connection."""
    return page


def app(*, included: bool = False) -> FastAPI:
    made = FastAPI()
    if included:
        made.include_router(router)
    else:
        made.router.routes.extend(router.routes)
    return made


async def answer(path: str, *, included: bool = False, **headers: str) -> Response:
    calls.clear()
    async with AsyncClient(transport=ASGITransport(app(included=included)), base_url="http://numen") as client:
        return await client.get(path, headers=headers)


async def test_the_endpoint_gets_what_it_asks_for() -> None:
    told = await answer("/all/ann?size=7", who="me")
    assert told.json() == ["me", "GET", "7", "ann", "/all/ann"]
    assert calls == ["first", "second", "noted /all/ann", "page"]
    assert (await answer("/one", who="me")).json() == "me"
    assert (await answer("/none?size=3")).json() == 3


async def test_in_an_included_router_they_are_asked_once_too() -> None:
    told = await answer("/all/ann?size=7", included=True, who="me")
    assert told.json() == ["me", "GET", "7", "ann", "/all/ann"]
    assert sorted(calls) == ["first", "noted /all/ann", "page", "second"]


async def test_who_is_calling_is_known_before_anything_is_validated() -> None:
    refused = await answer("/all/ann?size=70")
    assert (refused.status_code, calls[:2]) == (422, ["first", "second"])


async def test_the_document_still_knows_them() -> None:
    (route,) = [one for one in router.routes if getattr(one, "path", "") == "/all/{name}"]
    assert isinstance(route, StrictRoute)
    assert [one.name for one in route.dependant.dependencies if one.name] == ["first", "page", "second"]
    assert "size" in str(app().openapi()["paths"]["/all/{name}"])
