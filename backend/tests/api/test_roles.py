"""Who may do what: every route × every kind of caller, compared with the committed `role_matrix.json`."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from backend.models.tenant import ApiKeyCreate, RoleName
from backend.services.secret_key import SecretKey
from backend.tests.api.raw_http import RawConnection
from backend.tests.api.route_cases import (
    SESSIONS,
    Route,
    World,
    all_routes,
    make_erasure,
    make_memory,
    make_sessions,
    make_waiting_run,
    make_world,
    nowhere,
)
from backend.tests.fixtures_api import Api, Person

MATRIX = Path(__file__).with_name("role_matrix.json")
WRITE = "NUMEN_WRITE_ROLE_MATRIX"
ROLES: tuple[RoleName, ...] = ("viewer", "member", "admin", "owner")
FOR_A_PERSON = "owner for a person"
"""An owner's key with act_as that speaks for a product's own user, which is a member at most."""


async def statuses(api: Api, person: Person | None, world: World, **headers: str) -> dict[str, int]:
    """What each route answers to this caller, in an order in which every one could succeed."""
    http = person.http if person else api.client()
    return {
        str(route): (
            await http.request(route.method, route.url(world.values()), json=route.body, headers=headers)
        ).status_code
        for route in all_routes(api.app)
    }


async def column(api: Api, kind: str) -> dict[str, int]:
    """One kind of caller with an agent, a key to revoke and a conversation of their own."""
    owner = await api.owner()
    if kind == "nobody":
        return await statuses(api, None, await make_world(api, owner))
    if kind == FOR_A_PERSON:
        world = await make_world(api, owner)
        headers = {"numen-user": "customer-1"}
        chat = await owner.ok("POST", f"/api/v1/agents/{world.agent_id}/chat", {"message": "Hello"}, headers=headers)
        user_id = (await owner.ok("GET", "/api/v1/me", headers=headers))["user_id"]
        memory_id = await make_memory(owner, world.agent_id, user_id)
        told = {"thread_id": chat["thread_id"], "message_id": chat["message_id"], "run_id": chat["metadata"]["run_id"]}
        told |= {"memory_id": memory_id, "user_id": user_id}
        of_person = replace(owner.caller, user_id=UUID(user_id))
        sessions = await make_sessions(api, owner, of_person, UUID(told["run_id"]))
        told |= dict(zip(SESSIONS, sessions, strict=True))
        waiting = await make_waiting_run(api, world.working_agent_id, of_person)
        told |= dict(zip(("waiting_run_id", "call_id"), waiting, strict=True))
        told["erasure_id"] = await make_erasure(api, of_person)
        return await statuses(api, owner, replace(world, **told), **headers)
    person = await api.colleague(owner, next(role for role in ROLES if role == kind))
    return await statuses(api, person, await make_world(api, owner, person))


async def test_the_matrix_of_roles(api: Api) -> None:
    kinds = ("nobody", *ROLES, FOR_A_PERSON)
    columns = dict(zip(kinds, await asyncio.gather(*(column(api, kind) for kind in kinds)), strict=True))
    found = {str(route): {kind: columns[kind][str(route)] for kind in kinds} for route in all_routes(api.app)}
    found = dict(sorted(found.items(), key=lambda entry: entry[0].split(" ")[::-1]))
    if os.environ.get(WRITE):
        rows = ",\n".join(f"  {json.dumps(route)}: {json.dumps(row)}" for route, row in found.items())
        MATRIX.write_text(f"{{\n{rows}\n}}\n")
    known = json.loads(MATRIX.read_text())
    again = f"review the difference, then write the file anew with {WRITE}=1 in the environment of this test"
    assert found == known, again


def test_the_matrix_follows_the_rules() -> None:
    """Read by a machine as well as by people: nobody is 401, a higher role may do all that a lower one may."""
    for route, row in json.loads(MATRIX.read_text()).items():
        if route.startswith("POST /api/v1/hooks/"):
            assert set(row.values()) == {401}, f"{route}: a key must not stand in for a signature"
            continue
        if row["nobody"] != 401:
            assert route.split(" ")[1].startswith(("/healthz", "/readyz", "/metrics", "/problems")), route
            continue
        allowed = [row[role] not in (401, 403) for role in ROLES]
        assert allowed == sorted(allowed), f"{route}: a lower role may do what a higher one may not"
        assert allowed[-1], f"{route}: not even an owner may"
        assert row[FOR_A_PERSON] == row["member"], f"{route}: speaking for a person must be a member's right"
        refused = (403, 409, 415) if route.endswith("/transcriptions") else (403, 409)  # no recording comes along
        assert all(status < 300 or status in refused for role, status in row.items() if role != "nobody"), route


async def closed_routes(api: Api) -> list[Route]:
    routes = [route for route in all_routes(api.app) if not route.open]
    assert len(routes) > 20
    return routes


async def test_credentials_that_open_nothing(api: Api) -> None:
    owner = await api.owner()
    revoked = await api.as_person(owner.caller)
    assert revoked.caller.api_key_id is not None
    await api.container.access.revoke_key(owner.caller, revoked.caller.api_key_id)
    parsed = SecretKey.parse(owner.key)
    assert parsed is not None
    tampered = owner.key[:-1] + ("0" if owner.key[-1] != "0" else "1")
    credentials = [
        "",
        "Bearer",
        "Bearer ",
        "Basic b3duZXI6b3duZXI=",
        f"bearer  {owner.key}",
        f"Bearer {owner.key} {owner.key}",
        f"Bearer {tampered}",
        f"Bearer {owner.key.upper()}",
        f"Bearer {SecretKey.generate().text}",
        f"Bearer {parsed.prefix}",
        f"Bearer {revoked.key}",
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.",
        f"Bearer {'x' * 9_000}",
        "Bearer numen_sk_\N{SNOWMAN}",
    ]
    async with RawConnection(api.port) as connection:
        for route in [one for one in await closed_routes(api) if not one.signed]:
            for credential in credentials:
                body = json.dumps(route.body).encode() if route.takes_body else None
                headers = {"authorization": credential, "content-type": "application/json"}
                answer = await connection.request(route.method, route.url(nowhere()), headers, body)
                assert answer.status_code == 401, f"{route} with {credential[:60]!r} answered {answer.status_code}"
                assert answer.headers["www-authenticate"] == "Bearer"
                assert answer.json()["code"] == "unauthenticated"


async def test_nothing_else_is_said_to_who_sends_no_credentials(api: Api) -> None:
    """Impossible ids, queries and bodies: only that this is no JSON may be said before it is known who asks."""
    async with RawConnection(api.port) as connection:
        for route in await closed_routes(api):
            url = route.url_with(dict.fromkeys(route.ids, "not-an-id"), "limit=x&cursor=y")
            for kind, body, allowed in (("application/json", b'{"name": 1}', 401), ("text/plain", b"hello", 415)):
                headers = {"content-type": kind, "if-match": "x", "last-event-id": "x", "idempotency-key": " "}
                answer = await connection.request(route.method, url, headers, body if route.takes_body else None)
                assert answer.status_code in (401, allowed), f"{route} answered {answer.status_code}"


async def test_an_expired_key_is_none(api: Api) -> None:
    owner = await api.owner()
    soon = datetime.now(UTC) + timedelta(seconds=0.4)
    made = await api.container.access.create_key(owner.caller, ApiKeyCreate(name="short", expires_at=soon))
    http = api.client(made.key)
    assert (await http.get("/api/v1/me")).status_code == 200
    await asyncio.sleep(max(0.0, (soon - datetime.now(UTC)).total_seconds() + 0.01))
    assert (await http.get("/api/v1/me")).status_code == 401


async def test_a_revoked_key_is_none_at_once(api: Api) -> None:
    owner = await api.owner()
    other = await api.as_person(owner.caller)
    assert (await other.http.get("/api/v1/me")).status_code == 200
    await owner.ok("DELETE", f"/api/v1/api-keys/{other.caller.api_key_id}")
    assert (await other.http.get("/api/v1/me")).status_code == 401


@pytest.mark.parametrize("role", ["viewer", "member", "admin"])
async def test_a_key_gives_no_more_than_its_maker_has(api: Api, role: RoleName) -> None:
    owner = await api.owner()
    person = await api.colleague(owner, role)
    answer = await person.http.post("/api/v1/api-keys", json={"name": "more", "role": "owner"})
    assert answer.status_code == 403
    # The colleague's key was made without act_as, so that it cannot hand it on.
    plain = await api.colleague(owner, "owner")
    answer = await plain.http.post("/api/v1/api-keys", json={"name": "more", "scopes": ["act_as"]})
    assert answer.status_code == 403
    assert (await plain.http.get("/api/v1/me", headers={"numen-user": "customer-1"})).status_code == 403
