"""What the server owns, no caller sets: each such field on each route is refused by name, and nothing is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backend.tests.api.route_cases import Route, all_routes, make_world
from backend.tests.fixtures_api import Api, random_id

if TYPE_CHECKING:
    from asyncpg import Connection

OWNED_BY_NATURE = {
    "tenant_id", "owner_id", "user_id", "agent_id", "thread_id", "id", "role", "roles", "secret_hash", "api_key_id",
    "created_by", "active_run_id", "is_admin", "operation_id", "ordinal", "contract", "external_id",
}  # fmt: skip
_OF_A_MEMORY = {"user_id", "thread_id", "speaker", "valid_from", "expires_at"}
"""What may be said of a memory that is created."""
_EVERYTHING = """
SELECT (SELECT count(*) FROM agents), (SELECT count(*) FROM agent_versions), (SELECT count(*) FROM threads),
       (SELECT count(*) FROM thread_messages), (SELECT count(*) FROM runs), (SELECT count(*) FROM api_keys),
       (SELECT count(*) FROM memories), (SELECT count(*) FROM memory_revisions)"""


def fields_of(document: dict[str, Any], schema: dict[str, Any]) -> set[str]:
    """The names of an object schema's fields, references and alternatives followed."""
    if "$ref" in schema:
        return fields_of(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    names = set(schema.get("properties", ()))
    return names.union(*(fields_of(document, one) for one in schema.get("anyOf", ())))


def owned_fields(document: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """Every field that any answer of the API has, and some that only rows have, less what this schema takes."""
    shown = OWNED_BY_NATURE.union(
        *(
            fields_of(
                document,
                content["application/json"].get("schema", {}).get("items") or content["application/json"]["schema"],
            )
            for methods in document["paths"].values()
            for operation in methods.values()
            for status, answer in operation["responses"].items()
            if status.startswith("2") and "application/json" in (content := answer.get("content", {}))
        )
    )
    return sorted(shown - fields_of(document, schema))


def body_schema(document: dict[str, Any], route: Route) -> dict[str, Any]:
    operation = document["paths"][route.path][route.method.lower()]
    return operation["requestBody"]["content"]["application/json"]["schema"]


def tampered(route: Route, field: str) -> list[tuple[str, dict[str, Any]]]:
    """The route's body with the field at its top, and inside the contract that a file carries: (pointer, body)."""
    body = route.body or {}
    value = random_id()
    bodies = [(f"/{field}", {**body, field: value})]
    if route.operation == "createMemories":
        [memory] = body["memories"]
        if field not in memory and field not in _OF_A_MEMORY:
            bodies.append((f"/memories/0/{field}", {"memories": [{**memory, field: value}]}))
    if route.operation == "importAgent" and field not in ("created_at", "updated_at", "version", "status", "tags"):
        bodies.append((f"/contract/{field}", {**body, "contract": {**body["contract"], field: value}}))
    return bodies


async def test_fields_of_the_server_are_refused(api: Api, owner: Connection) -> None:
    document = api.app.openapi()
    person = await api.owner()
    world = await make_world(api, person)
    before = await owner.fetchrow(_EVERYTHING)
    routes = [route for route in all_routes(api.app) if route.takes_body and not route.signed]  # an event is any JSON
    tries = 0
    for route in routes:
        fields = owned_fields(document, body_schema(document, route))
        assert {"tenant_id", "owner_id", "created_at"} <= {*fields, "created_at"}, route
        for pointer, body in [one for field in fields for one in tampered(route, field)]:
            if route.operation == "importAgent" and pointer.startswith("/contract/") and is_part(document, pointer):
                continue
            answer = await person.http.request(route.method, route.url(world.values()), json=body)
            assert answer.status_code == 422, f"{route} took {pointer}: {answer.text[:300]}"
            assert pointer in {error["pointer"] for error in answer.json()["errors"]}, f"{route} {pointer}"
            tries += 1
    assert tries > 300
    assert await owner.fetchrow(_EVERYTHING) == before


def is_part(document: dict[str, Any], pointer: str) -> bool:
    """Whether a portable contract has this field by right."""
    schema = document["components"]["schemas"]["PortableContract"]
    return pointer.removeprefix("/contract/") in schema["properties"]


async def test_the_nested_sections_take_nothing_more_either(api: Api) -> None:
    person = await api.owner()
    agent = await person.make_agent()
    url = f"/api/v1/agents/{agent['id']}"
    for section in ("identity", "traits", "configuration", "memory", "capabilities", "metadata"):
        answer = await person.http.patch(url, json={section: {"tenant_id": random_id()}})
        pointer = "/metadata" if section == "metadata" else f"/{section}/tenant_id"
        assert answer.status_code == 422, section
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert await person.ok("GET", url) == agent


async def test_metadata_of_a_message_is_the_callers_and_stays_apart(api: Api) -> None:
    """A chat's metadata is free; what the server says of an answer is not mixed with it."""
    person = await api.owner()
    agent = await person.make_agent()
    mine = {"tenant_id": random_id(), "provider": "me", "run_id": random_id()}
    reply = await person.ok("POST", f"/api/v1/agents/{agent['id']}/chat", {"message": "Hello", "metadata": mine})
    assert reply["metadata"]["provider"] == "openai"
    said, answered = await person.ok("GET", f"/api/v1/threads/{reply['thread_id']}/messages")
    assert said["metadata"] == mine
    assert answered["metadata"]["run_id"] == reply["metadata"]["run_id"]
