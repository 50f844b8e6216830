"""Every route of the OpenAPI document with a request that works: what tests over all routes are made from.

A new route needs a body here when it takes one, and a kind when its address has a new sort of id; until then
`test_every_route_has_a_case` fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fastapi import FastAPI

from backend.models.tenant import ApiKeyCreate
from backend.tests.fixtures_api import Api, Person, random_id

OPEN_TAGS = frozenset({"operations", "problems"})
"""What answers without credentials."""

Body = dict[str, Any] | None

_IDENTITY = {"short_description": "A guide to the night sky"}
_WHEN = "2026-11-01T09:00:00Z"
_PORTABLE = {"name": "Imported", "identity": _IDENTITY, "version": "1.0.0", "created_at": _WHEN, "updated_at": _WHEN}

BODIES: Mapping[str, Body] = {
    "createAgent": {"name": "Created", "identity": _IDENTITY},
    "importAgent": {
        "contract": _PORTABLE,
        "versions": [{"version": "1.0.0", "created_at": _WHEN, "contract": _PORTABLE}],
    },
    "updateAgent": {"identity": {"mission": "to be changed"}},
    "rollbackAgent": {"version": "1.0.0"},
    "duplicateAgent": {"name": "Copied"},
    "createThread": {"title": "A thread"},
    "updateThread": {"title": "Another title"},
    "giveFeedback": {"score": 1.0, "reason": "That helped."},
    "chat": {"message": "Hello"},
    "streamChat": {"message": "Hello"},
    "createApiKey": {"name": "one more"},
}
"""A body that works, by operation; routes that are not here take none."""

VERSIONS = {"version": "1.0.0", "a": "1.0.0", "b": "1.1.0"}
IDS = ("agent_id", "thread_id", "message_id", "run_id", "api_key_id")
_LAST = ("revokeApiKey", "deleteThread", "archiveAgent")  # what ends things is tried after all else


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the API."""

    method: str
    path: str
    operation: str
    open: bool
    takes_body: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in the address."""
        return tuple(re.findall(r"{(\w+)}", self.path))

    @property
    def ids(self) -> tuple[str, ...]:
        """The names in the address that stand for somebody's things."""
        return tuple(name for name in self.parameters if name in IDS)

    @property
    def body(self) -> Body:
        """A body that works."""
        return BODIES.get(self.operation)

    def url(self, values: Mapping[str, str]) -> str:
        """The address with these values."""
        return self.path.format_map({**VERSIONS, "code": "thread-busy", **values})


def all_routes(app: FastAPI) -> list[Route]:
    """Every operation of the document, in an order in which each can succeed."""
    routes = list(_routes(app.openapi()))
    order = {operation: place for place, operation in enumerate(_LAST, 1)}
    return sorted(routes, key=lambda route: order.get(route.operation, 0))


def _routes(document: dict[str, Any]) -> Iterator[Route]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield Route(
                method=method.upper(),
                path=path,
                operation=operation["operationId"],
                open=bool(OPEN_TAGS & set(operation.get("tags", ()))),
                takes_body="requestBody" in operation,
            )


@dataclass(frozen=True, slots=True)
class World:
    """One thing of every kind, all of one person."""

    agent_id: str
    thread_id: str
    message_id: str
    run_id: str
    api_key_id: str

    def values(self) -> dict[str, str]:
        """Its ids by the names that they have in addresses."""
        return {name: getattr(self, name) for name in IDS}


async def make_world(api: Api, owner: Person, person: Person | None = None) -> World:
    """An agent of two versions and an API key of the owner, and a conversation of the person with the agent."""
    agent = await owner.make_agent()
    await owner.ok("PATCH", f"/api/v1/agents/{agent['id']}", {"traits": {"empathy": 51}})
    said = await api.said((person or owner).caller, UUID(agent["id"]))
    key = await api.container.access.create_key(owner.caller, ApiKeyCreate(name="to be revoked"))
    return World(agent["id"], str(said.thread_id), str(said.message_id), str(said.metadata.run_id), str(key.id))


def nowhere() -> dict[str, str]:
    """Ids of every kind that nothing has."""
    return {name: random_id() for name in IDS}
