"""Whatever is sent to whatever address: an answer, never one of our faults, a problem document when it is refused.

`make test` sends a share of all combinations, `make test-fuzz` all of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from backend.models.agent import EXAMPLE_PARTS
from backend.scripts.default_agents import load_default_agents
from backend.tests.api.hostile_corpus import (
    BODIES,
    HARDLY_HTTP,
    HEADER_VALUES,
    HEADERS,
    JSON_TYPE,
    QUERIES,
    HostileBody,
    odd_segments,
    wrong_values,
)
from backend.tests.api.raw_http import Answer, RawConnection, head_of
from backend.tests.api.route_cases import Route, World, all_routes, make_world, nowhere
from backend.tests.fixtures_api import Api, Person

CONNECTIONS = 6
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
MEMBERS = {"type", "title", "status", "code", "detail", "request_id"}
THOROUGH = bool(os.environ.get("NUMEN_TEST_THOROUGH"))
SAMPLE = 24 if THOROUGH else 3
"""How many of the wrong values each place of a body gets."""

WHOLE_AGENT: dict[str, Any] = {
    **EXAMPLE_PARTS,
    "type": "autonomous",
    "voice": {"voice_id": "calm-female", "language": "en-US", "speed": 1.0, "stability": 0.5, "vad_enabled": True},
    "memory": {"alpha_recency": 0.35, "alpha_semantic": 0.45, "alpha_reinforcement": 0.2},
    "capabilities": {"languages": ["en"], "modalities": ["text"]},
    "workflow": {"trigger_type": "scheduled", "schedule": "0 9 * * 1-5", "retry_policy": {"max_retries": 3}},
    "tags": ["astronomy", "night"],
}


@dataclass(frozen=True, slots=True)
class Shot:
    """One request and what it is called when it goes wrong."""

    name: str
    head: bytes
    body: bytes = b""


def shot(
    name: str, method: str, target: str | bytes, headers: Mapping[str, str | bytes], body: bytes | None = None
) -> Shot:
    return Shot(f"{method} {target[:200]!r}: {name}", head_of(method, target, headers, body), body or b"")


def judge(name: str, answer: Answer) -> None:
    """Every answer is below 500; from 400 on it is a problem with the id that its header has."""
    assert answer.status_code < 500, f"{name} answered {answer.status_code}: {answer.body[:500]!r}"
    assert answer.headers["x-request-id"], name
    if answer.status_code < 400 or name.startswith("HEAD"):
        return
    assert answer.headers["content-type"] == "application/problem+json", f"{name}: {answer}"
    problem = answer.json()
    assert set(problem) >= MEMBERS, f"{name}: {problem}"
    assert problem["status"] == answer.status_code, name
    assert problem["request_id"] == answer.headers["x-request-id"], name
    assert len(answer.body) < 40_000, f"{name}: an answer of {len(answer.body)} bytes"


async def fire(port: int, shots: Iterable[Shot], check: Callable[[str, Answer], None] = judge) -> int:
    """Send everything over a few connections at once; how many there were."""
    waiting: Iterator[tuple[int, Shot]] = iter(enumerate(shots, 1))
    sent = 0

    async def shoot() -> None:
        nonlocal sent
        async with RawConnection(port) as connection:
            for number, one in waiting:
                check(one.name, await connection.ask(one.head, one.body))
                sent = max(sent, number)

    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(shoot())
    return sent


def share(shots: list[Shot], one_in: int) -> list[Shot]:
    """Every so-manieth, by strides that fall on each route, place and value in turn; all of them when thorough."""
    return shots if THOROUGH else shots[::one_in]


@pytest.fixture
async def person(api: Api) -> Person:
    return await api.owner()


@pytest.fixture
async def world(api: Api, person: Person) -> World:
    return await make_world(api, person)


def key_of(person: Person) -> dict[str, str | bytes]:
    return {"authorization": f"Bearer {person.key}"}


def target_of(route: Route, world: World) -> str:
    """The address with real ids, but for what would take them away from the requests after it."""
    return route.url(nowhere() if route.method == "DELETE" else world.values())


def odd_query(route: Route, world: World, query: str) -> str:
    return route.url_with(nowhere() if route.method == "DELETE" else world.values(), query)


async def test_hostile_bodies(api: Api, person: Person, world: World) -> None:
    key = key_of(person)
    shots = [
        shot(body.name, route.method, target_of(route, world), {**key, **body.headers}, body.content)
        for route in all_routes(api.app)
        if route.takes_body or route.method == "DELETE" or route.operation in ("cancelRun", "getAgent", "isAlive")
        for body in BODIES
    ]
    assert await fire(api.port, shots) == len(shots) > 1_000


async def test_wrong_values_in_every_place(api: Api, person: Person, world: World) -> None:
    shipped = [one.model_dump(mode="json", exclude_none=True) for one in load_default_agents().values()]
    agents = [WHOLE_AGENT, *shipped]
    changes = [{**one, "change_summary": "x", "status": "active"} for one in agents]
    chat = {"message": "Hello", "thread_id": world.thread_id, "metadata": {"a": [1, {"b": "c"}], "d": None}}
    key_made = {"name": "x", "role": "viewer", "scopes": ["act_as"], "expires_at": "2027-01-01T00:00:00Z"}
    whole: dict[str, list[dict[str, Any]]] = {"createAgent": agents, "updateAgent": changes, "createApiKey": [key_made]}
    whole |= {"chat": [chat], "streamChat": [chat]}
    moments = {"valid_from": "2024-05-01T10:00:00+02:00", "expires_at": "2030-01-01T00:00:00Z"}
    memory = {"text": "x", "kind": "fact", "thread_id": world.thread_id, "speaker": "Guest", **moments}
    whole |= {
        "createMemory": [memory],
        "updateMemory": [{"text": "y", "kind": "note", "superseded": False, "expires_at": None}],
    }
    headers = {**key_of(person), "content-type": JSON_TYPE}
    shots = [
        shot(body.name, route.method, target_of(route, world), headers, body.content)
        for route in all_routes(api.app)
        if route.takes_body
        for valid in whole.get(route.operation, [route.body or {}])
        for body in wrong_values(valid, SAMPLE)
    ]
    assert await fire(api.port, shots) == len(shots) > 1_000


async def test_every_method_on_every_address(api: Api, person: Person, world: World) -> None:
    headers: dict[str, str | bytes] = {**key_of(person), "content-type": JSON_TYPE}
    bodies = (None, b"{}", b"[1e999]", b"{")
    shots = [
        shot(repr(body), method, target_of(route, world) if method != "DELETE" else route.url(nowhere()), headers, body)
        for route in all_routes(api.app)
        for method in METHODS
        for body in bodies
    ]
    assert await fire(api.port, shots) == len(shots) > 1_000


async def test_odd_ids_reach_no_handler(api: Api, person: Person, world: World) -> None:
    headers: dict[str, str | bytes] = {**key_of(person), "content-type": JSON_TYPE}
    segments = odd_segments()
    assert len(segments) > 170
    marker = b"-the-odd-one-"
    templates = [
        (route, route.url({**world.values(), name: marker.decode()}).encode())
        for route in all_routes(api.app)
        for name in route.ids[-1:]
    ]

    def refused(name: str, answer: Answer) -> None:
        judge(name, answer)
        assert 400 <= answer.status_code < 500, f"{name} answered {answer.status_code}"

    shots = [
        shot("", route.method, url.replace(marker, odd), headers, b"{}" if route.takes_body else None)
        for route, url in templates
        for odd in segments
    ]
    assert await fire(api.port, shots, refused) == len(shots) > 2000


async def test_odd_addresses(api: Api, person: Person) -> None:
    headers = key_of(person)
    places = [b"/%b", b"/api/%b", b"/api/v1/%b", b"/api/v1/agents/%b", b"/problems/%b", b"/docs/%b", b"/%b/api/v1/me"]
    shots = [shot("", "GET", place % odd, headers) for place in places for odd in odd_segments()]
    shots = share(shots, 2)
    assert await fire(api.port, shots) == len(shots) > 500


async def test_odd_queries(api: Api, person: Person, world: World) -> None:
    shots = [
        shot("", route.method, odd_query(route, world, query), {**key_of(person), "content-type": JSON_TYPE}, body)
        for route in all_routes(api.app)
        for body in [json.dumps(route.body).encode() if route.takes_body else None]
        if route.method == "GET" or route.operation in ("chat", "updateAgent", "createThread")
        for query in QUERIES
    ]
    shots = share(shots, 3)
    assert await fire(api.port, shots) == len(shots) > 400


async def test_odd_headers(api: Api, person: Person, world: World) -> None:
    operations = ("updateAgent", "chat", "streamChat", "getAgent", "streamRunEvents", "whoAmI", "createThread")
    shots = [
        shot(
            f"{name}: {value!r}",
            route.method,
            target_of(route, world),
            {**key_of(person), "content-type": JSON_TYPE, name: value},
            json.dumps(route.body).encode() if route.takes_body else None,
        )
        for route in all_routes(api.app)
        if route.operation in operations
        for name in HEADERS
        for value in HEADER_VALUES
    ]
    shots = share(shots, 4)
    assert await fire(api.port, shots) == len(shots) > 1_000


@pytest.mark.parametrize("name", HARDLY_HTTP)
async def test_what_is_hardly_http(api: Api, person: Person, name: str) -> None:
    head = HARDLY_HTTP[name](f"Authorization: Bearer {person.key}")
    async with RawConnection(api.port) as connection:
        judge(name, await connection.ask(head))
    assert (await person.http.get("/api/v1/me")).status_code == 200


def declared(route: Route, url: str, key: Mapping[str, str | bytes]) -> bytes:
    headers = {**key, "content-type": JSON_TYPE, "content-length": "50000000"}
    return head_of(route.method, url, headers, None)


def chunked(route: Route, url: str, key: Mapping[str, str | bytes]) -> bytes:
    return head_of(route.method, url, {**key, "content-type": JSON_TYPE, "transfer-encoding": "chunked"}, None)


@pytest.mark.parametrize("way", ["declared", "chunked"])
async def test_fifty_megabytes_are_refused_after_one(api: Api, person: Person, world: World, way: str) -> None:
    """The sender goes on for as long as it can; the answer comes before much more than a megabyte was taken."""
    routes = [route for route in all_routes(api.app) if route.takes_body or route.operation in ("whoAmI", "isAlive")]
    results = await asyncio.gather(
        *(flood(api.port, route, target_of(route, world), key_of(person), way) for route in routes)
    )
    for route, (status, sent) in zip(routes, results, strict=True):
        assert status == 413, f"{route} answered {status}"
        assert sent < 12_000_000, f"{route} took {sent} bytes"  # the buffers of two sockets hold some of it


async def flood(port: int, route: Route, url: str, key: Mapping[str, str | bytes], way: str) -> tuple[int, int]:
    head = declared(route, url, key) if way == "declared" else chunked(route, url, key)
    piece = b" " * 65_536 if way == "declared" else b"10000\r\n" + b" " * 65_536 + b"\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = 0

    async def send() -> None:
        nonlocal sent
        writer.write(head)
        while sent < 50_000_000:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(30):
            line = await reader.readline()
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.transport.abort()
    return int(line.split(b" ")[1]), sent


async def test_a_hundred_thousand_characters_are_fine(api: Api, person: Person, world: World) -> None:
    text = "\N{SPARKLES} speak " * 12_000
    url = f"/api/v1/agents/{world.agent_id}/chat"
    reply = await person.ok("POST", url, {"message": text, "thread_id": world.thread_id})
    history = await person.ok("GET", f"/api/v1/threads/{reply['thread_id']}/messages")
    assert history[-2]["content"] == text


async def test_odd_text_comes_back_as_it_was_sent(person: Person, world: World) -> None:
    texts: Sequence[str] = (
        "\N{RIGHT-TO-LEFT OVERRIDE}abc", "\U0010ffff", "\x01\x1f\x7f", "a\u2028b\u2029c", "\N{ZERO WIDTH JOINER}" * 50,
        "' OR 1=1; --", "{{7*7}} ${x} %s %(a)s {0}", "<script>alert(1)</script>", "\\u0000", "\r\n\r\nHTTP/1.1 200 OK",
    )  # fmt: skip
    for text in texts:
        url = f"/api/v1/agents/{world.agent_id}/chat"
        await person.ok("POST", url, {"message": text, "thread_id": world.thread_id, "metadata": {text: text}})
        said = (await person.ok("GET", f"/api/v1/threads/{world.thread_id}/messages"))[-2]
        assert (said["content"], said["metadata"]) == (text, {text: text})


async def test_the_answer_to_an_odd_address_quotes_it_safely(api: Api, person: Person) -> None:
    async with RawConnection(api.port) as connection:
        answer = await connection.request("GET", "/%3Cscript%3E\"'<x>" + "%c3%a9" * 3_000, key_of(person))
    assert re.fullmatch(r"[\x21-\x7e]{1,2000}", answer.json()["instance"])
    assert b"<x>" not in answer.body
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_corpus_can_fail() -> None:
    """The judge's own control: a fault of ours, a drop, and a refusal in plain text are noticed."""
    good = {"content-type": "application/problem+json", "x-request-id": "1"}
    body = json.dumps({**dict.fromkeys(MEMBERS, ""), "status": 400, "request_id": "1"}).encode()
    judge("fine", Answer(400, good, body))
    faults = [Answer(500, good, body), Answer(400, {**good, "content-type": "text/plain"}, b"Invalid HTTP request")]
    for fault in [*faults, Answer(400, good, body.replace(b'"1"', b'"2"'))]:
        with pytest.raises(AssertionError):
            judge("fault", fault)
    assert HostileBody("x", b"").headers["content-type"] == JSON_TYPE
