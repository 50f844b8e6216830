"""Each request has an id, one line, its counters and its headers, and nothing escapes."""

from __future__ import annotations

from uuid import uuid4

import pytest
from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from backend.telemetry import Metrics, get_logger
from backend.tests.fixtures_logs import Logs
from backend.tests.routers.small_app import client_of, request, served, small_app

router = APIRouter()
_log = get_logger("a.route")


@router.get("/cached")
async def cached() -> Response:
    """Answer with a cache policy of its own."""
    return Response(b"x", headers={"cache-control": "private, max-age=60"})


@router.get("/says/{word}")
async def says(word: str) -> None:
    """Log a line of its own."""
    _log.info("said", word=word)


@router.get("/breaks")
async def breaks() -> Response:
    """Fail in the middle of the answer."""

    async def half() -> object:
        yield b"half"
        raise RuntimeError("in the middle")

    return StreamingResponse(half())  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", ["a", "A-b_c.9", "x" * 128])
async def test_a_sane_request_id_is_kept(name: str) -> None:
    async with client_of(small_app()) as client:
        answer = await client.get("/api/notes", headers={"x-request-id": name})
    assert answer.headers.get_list("x-request-id") == [name]


@pytest.mark.parametrize("name", ["", "x" * 129, "a b", "a\tb", "ä", "a;b", "<script>"])
async def test_any_other_request_id_is_replaced(name: str) -> None:
    async with client_of(small_app()) as client:
        answers = [await client.get("/api/notes", headers=[(b"x-request-id", name.encode())]) for _ in range(2)]
    made = [answer.headers["x-request-id"] for answer in answers]
    assert name not in made
    assert made[0] != made[1]
    assert all(len(one) == 32 for one in made)


async def test_security_headers_and_cache_policy() -> None:
    async with client_of(small_app(router)) as client:
        plain, own = await client.get("/api/notes"), await client.get("/api/cached")
    assert plain.headers["x-content-type-options"] == "nosniff"
    assert plain.headers.get_list("cache-control") == ["no-store"]
    assert own.headers.get_list("cache-control") == ["private, max-age=60"]


async def test_one_line_for_each_request_without_its_query(logs: Logs) -> None:
    note_id = uuid4()
    async with client_of(small_app(router)) as client:
        await client.get("/api/notes?q=private", headers={"x-request-id": "one"})
        await client.get(f"/api/notes/{note_id}", headers={"x-request-id": "two"})
        await client.get("/nowhere", headers={"x-request-id": "three"})
    lines = [line for line in logs() if line["event"] == "request"]
    told = [(line["request_id"], line["method"], line["route"], line["status"]) for line in lines]
    assert told == [
        ("one", "GET", "/api/notes", 200),
        ("two", "GET", "/api/notes/{note_id}", 404),
        ("three", "GET", "unmatched", 404),
    ]
    assert [line.get("tenant_id") for line in lines] == [None, "a-tenant", None]
    assert all(line["ms"] >= 0 for line in lines)
    assert "private" not in str(lines)
    assert str(note_id) not in str(lines)


async def test_lines_of_a_request_carry_its_id_even_on_one_connection(logs: Logs) -> None:
    first, second = ([f"X-Request-ID: request-{number}"] for number in (1, 2))
    pipelined = request("GET", "/api/says/one", headers=first).replace(b"Connection: close\r\n", b"")
    async with served(small_app(router)) as wire:
        await wire.ask(pipelined + request("GET", "/api/says/two", headers=second))
    said = {line["word"]: line["request_id"] for line in logs() if line["event"] == "said"}
    assert said == {"one": "request-1", "two": "request-2"}


async def test_a_failure_is_logged_once_and_counted(logs: Logs) -> None:
    metrics = Metrics()
    async with client_of(small_app(metrics=metrics)) as client:
        answer = await client.post(f"/api/notes/{uuid4()}/explode")
    assert answer.status_code == 500
    lines = [line for line in logs() if line["event"] != "request"]
    assert [line["event"] for line in lines] == ["request failed"]
    assert lines[0]["exception"][0]["type"] == "RuntimeError"
    assert "hunter2" not in str(lines)
    assert 'numen_http_requests_total{method="POST",route="/api/notes/{note_id}/explode",status="500"} 1.0' in (
        metrics.exposition().decode()
    )


async def test_a_failure_in_the_middle_of_an_answer_ends_the_connection(logs: Logs) -> None:
    async with served(small_app(router)) as wire:
        answer = await wire.ask(request("GET", "/api/breaks"))
    assert answer.endswith(b"half\r\n"), "without the end of a whole answer"
    assert [line["exception"][0]["message"] for line in logs() if line["event"] == "request failed"] == [
        "in the middle"
    ]


async def test_labels_are_bounded() -> None:
    metrics = Metrics()
    async with client_of(small_app(metrics=metrics)) as client:
        for number in range(20):
            await client.get(f"/nowhere/{number}")
            await client.get(f"/api/notes/{uuid4()}")
            await client.request(f"METHOD{number}", "/api/notes")
    series = [line for line in metrics.exposition().decode().splitlines() if line.startswith("numen_http_requests_t")]
    assert len(series) == 3, series


async def test_a_client_that_leaves_before_the_answer_is_told_apart(logs: Logs) -> None:
    async with served(small_app(), body_seconds=0.05) as wire:
        await wire.ask(request("POST", "/api/notes", b"x" * 10)[:-1])
    assert [line["status"] for line in logs() if line["event"] == "request"] == [499]
