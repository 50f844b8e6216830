"""Idempotency-Key over HTTP: one effect and one answer, whatever is repeated, lost, or in between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from backend.errors import AgentArchived, ModelUnavailable
from backend.tests.factories import TenantFactory
from backend.tests.routers.note_shop import Shop, headers_of

if TYPE_CHECKING:
    from asyncpg import Connection

ANSWERS_EXPIRE = "UPDATE idempotency_keys SET leased_until = clock_timestamp() - interval '1 millisecond'"
NOTES = "SELECT count(*) FROM users WHERE name = 'note'"


# --- one effect ------------------------------------------------------------------------------------------


async def test_a_repeat_gets_the_first_answer_and_does_nothing(
    shop: Shop, shop_client: httpx.AsyncClient, shop_headers: dict[str, str], owner: Connection
) -> None:
    first = await shop_client.post("/notes", json={"text": "a"}, headers=shop_headers)
    again = await shop_client.post("/notes", json={"text": "a"}, headers=shop_headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    for name in ("content-type", "etag", "location"):
        assert again.headers[name] == first.headers[name]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert len(shop.operations) == 1
    assert await owner.fetchval(NOTES) == 1


async def test_an_empty_answer_is_repeated_too(
    shop: Shop, shop_client: httpx.AsyncClient, shop_headers: dict[str, str]
) -> None:
    answers = [await shop_client.post("/notes/empty", headers=shop_headers) for _ in range(2)]
    assert [(one.status_code, one.content) for one in answers] == [(204, b"")] * 2
    assert len(shop.operations) == 1


async def test_thirty_at_once_have_one_effect(
    shop_client: httpx.AsyncClient, shop_headers: dict[str, str], owner: Connection
) -> None:
    answers = await asyncio.gather(
        *(shop_client.post("/notes", json={"text": "a"}, headers=shop_headers) for _ in range(30))
    )
    made = {one.json()["id"] for one in answers if one.status_code == 201}
    waiting = [one for one in answers if one.status_code == 409]
    assert len(made) == 1
    assert len(waiting) + len([one for one in answers if one.status_code == 201]) == 30
    assert all(one.json()["code"] == "request-in-progress" and one.headers["retry-after"] == "1" for one in waiting)
    assert await owner.fetchval(NOTES) == 1
    assert (await shop_client.post("/notes", json={"text": "a"}, headers=shop_headers)).json()["id"] in made


@pytest.mark.parametrize(
    "other",
    [
        {"json": {"text": "b"}},
        {"content": b'{"text": "a" }'},
        {"json": {"text": "a"}, "params": {"x": "1"}},
    ],
)
async def test_the_key_with_another_request_is_refused(
    other: dict[str, Any], shop_client: httpx.AsyncClient, shop_headers: dict[str, str], owner: Connection
) -> None:
    shop_headers["content-type"] = "application/json"
    await shop_client.post("/notes", content=b'{"text":"a"}', headers=shop_headers)
    refused = await shop_client.post("/notes", headers=shop_headers, **other)
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency-key-reused")
    elsewhere = await shop_client.post("/notes/empty", headers=shop_headers)
    assert elsewhere.json()["code"] == "idempotency-key-reused"
    assert await owner.fetchval(NOTES) == 1


async def test_others_have_their_own_keys(
    shop: Shop, shop_client: httpx.AsyncClient, tenant: TenantFactory, owner: Connection
) -> None:
    first, second = await tenant(scopes=frozenset({"act_as"})), await tenant()
    key = await headers_of(shop, first, scopes=["act_as"])
    callers = [key, {**key, "numen-user": "anna"}, {**key, "numen-user": "ben"}, await headers_of(shop, second)]
    for caller in callers:
        answer = await shop_client.post("/notes", json={"text": "a"}, headers={**caller, "idempotency-key": "same"})
        assert answer.status_code == 201
        assert "idempotent-replayed" not in answer.headers
    assert await owner.fetchval(NOTES) == 4
    assert len(set(shop.operations)) == 4


async def test_without_the_header_each_request_counts(
    shop: Shop, shop_client: httpx.AsyncClient, shop_headers: dict[str, str], owner: Connection
) -> None:
    del shop_headers["idempotency-key"]
    for _ in range(2):
        assert (await shop_client.post("/notes", json={"text": "a"}, headers=shop_headers)).status_code == 201
    assert shop.operations == [None, None]
    assert await owner.fetchval(NOTES) == 2
    assert await owner.fetchval("SELECT count(*) FROM idempotency_keys") == 0


async def test_reading_ignores_the_header(
    shop_client: httpx.AsyncClient, shop_headers: dict[str, str], owner: Connection
) -> None:
    assert (await shop_client.get("/notes", headers=shop_headers)).status_code == 200
    assert await owner.fetchval("SELECT count(*) FROM idempotency_keys") == 0


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a b", "ü", "a\tb", "\x7f"])
async def test_a_key_is_visible_text(
    key: str, shop_client: httpx.AsyncClient, shop_headers: dict[str, str], owner: Connection
) -> None:
    raw = [(name.encode(), value.encode()) for name, value in shop_headers.items() if name != "idempotency-key"]
    raw.append((b"idempotency-key", key.encode()))
    refused = await shop_client.post("/notes", json={"text": "a"}, headers=raw)
    assert refused.status_code == 422
    assert refused.json()["errors"][0] == {
        "pointer": "", "in": "header", "name": "Idempotency-Key", "detail": "must be 1 to 255 visible ASCII characters",
    }  # fmt: skip
    assert await owner.fetchval(NOTES) == 0


async def test_two_keys_are_none(shop_client: httpx.AsyncClient, shop_headers: dict[str, str]) -> None:
    raw = [*shop_headers.items(), ("idempotency-key", "key-2")]
    assert (await shop_client.post("/notes", json={"text": "a"}, headers=raw)).status_code == 422


async def test_nobody_claims_a_key_without_getting_in(
    shop_client: httpx.AsyncClient, shop_headers: dict[str, str], shop: Shop, tenant: TenantFactory, owner: Connection
) -> None:
    refused = await shop_client.post(
        "/notes", json={"text": "a"}, headers={**shop_headers, "authorization": "Bearer no"}
    )
    viewer = {**shop_headers, **await headers_of(shop, await tenant(), role="viewer")}
    forbidden = await shop_client.post("/notes", json={"text": "a"}, headers=viewer)
    assert (refused.status_code, forbidden.status_code) == (401, 403)
    assert await owner.fetchval("SELECT count(*) FROM idempotency_keys") == 0


# --- failures and crashes --------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [AgentArchived("no"), ModelUnavailable("away"), RuntimeError("a bug")])
async def test_a_failure_is_not_kept_and_the_next_try_works_under_the_same_id(
    error: Exception, shop: Shop, shop_client: httpx.AsyncClient, shop_headers: dict[str, str], owner: Connection
) -> None:
    shop.fails_with = error
    failed = await shop_client.post("/notes", json={"text": "a"}, headers=shop_headers)
    assert failed.status_code >= 409
    shop.fails_with = None
    worked = await shop_client.post("/notes", json={"text": "a"}, headers=shop_headers)
    assert worked.status_code == 201
    assert "idempotent-replayed" not in worked.headers
    assert len(shop.operations) == 2
    assert len(set(shop.operations)) == 1
    assert await owner.fetchval(NOTES) == 1


async def test_a_body_that_does_not_fit_leaves_the_key_free_for_the_same_request(
    shop_client: httpx.AsyncClient, shop_headers: dict[str, str]
) -> None:
    for _ in range(2):
        refused = await shop_client.post("/notes", json={"text": 1}, headers=shop_headers)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid-request")


async def test_a_crash_after_the_effect_never_doubles_it(
    shop: Shop, shop_client: httpx.AsyncClient, shop_headers: dict[str, str], owner: Connection
) -> None:
    shop.go_on.clear()
    lost = asyncio.create_task(shop_client.post("/notes", json={"text": "a"}, headers=shop_headers))
    await shop.made.wait()  # the effect is there, the answer is not: here the process dies
    busy = await shop_client.post("/notes", json={"text": "a"}, headers=shop_headers)
    assert busy.json()["code"] == "request-in-progress"
    await owner.execute(ANSWERS_EXPIRE)
    shop.go_on.set()
    retry = await shop_client.post("/notes", json={"text": "a"}, headers=shop_headers)
    await lost
    assert retry.status_code == 201
    assert await owner.fetchval(NOTES) == 1
    assert len(set(shop.operations)) == 1
    repeated = await shop_client.post("/notes", json={"text": "a"}, headers=shop_headers)
    assert (repeated.content, repeated.headers["idempotent-replayed"]) == (retry.content, "true")


async def test_a_client_that_goes_away_leaves_the_key_for_its_next_try(
    shop: Shop, shop_client: httpx.AsyncClient, shop_headers: dict[str, str], owner: Connection
) -> None:
    shop.go_on.clear()
    gone = asyncio.create_task(shop_client.post("/notes", json={"text": "a"}, headers=shop_headers))
    await shop.made.wait()
    gone.cancel()
    await asyncio.wait([gone])
    shop.go_on.set()
    assert (await shop_client.post("/notes", json={"text": "a"}, headers=shop_headers)).status_code == 201
    assert await owner.fetchval(NOTES) == 1


# --- answers that are not kept ---------------------------------------------------------------------------


async def test_a_repeated_stream_attaches_to_the_same_thing(
    shop: Shop, shop_client: httpx.AsyncClient, shop_headers: dict[str, str], owner: Connection
) -> None:
    answers = [await shop_client.post("/notes/stream", headers=shop_headers) for _ in range(3)]
    assert {one.status_code for one in answers} == {200}
    assert len({one.content for one in answers}) == 1
    assert answers[0].content.startswith(b"data: ")
    assert len(shop.operations) == 3
    assert await owner.fetchval(NOTES) == 1
    assert await owner.fetchval("SELECT body FROM idempotency_keys") == b""


async def test_the_secret_of_a_key_is_answered_once_and_stored_nowhere(
    shop_client: httpx.AsyncClient, shop_headers: dict[str, str], owner: Connection
) -> None:
    made = await shop_client.post("/api/v1/api-keys", json={"name": "b"}, headers=shop_headers)
    assert made.status_code == 201
    secret = made.json()["key"].split("_")[3]
    again = await shop_client.post("/api/v1/api-keys", json={"name": "b"}, headers=shop_headers)
    assert (again.status_code, again.json()["code"]) == (409, "secret-already-shown")
    assert again.json()["api_key_id"] == made.json()["id"]
    assert secret not in again.text
    for table in ("idempotency_keys", "api_keys", "audit_log", "outbox"):
        for row in await owner.fetch(f"SELECT * FROM {table}"):  # noqa: S608 — names from the line above
            assert secret not in str(dict(row))
            assert secret.encode() not in b"".join(value for value in row.values() if isinstance(value, bytes))
    assert await owner.fetchval("SELECT count(*) FROM api_keys") == 2
