"""Who am I, and keys over HTTP."""

from __future__ import annotations

from uuid import uuid4

import httpx
import pytest

from backend.tests.factories import TenantFactory
from backend.tests.routers.note_shop import Shop, headers_of


async def test_me_says_who_i_am_and_for_whom(shop: Shop, shop_client: httpx.AsyncClient, tenant: TenantFactory) -> None:
    caller = await tenant(scopes=frozenset({"act_as"}))
    key = await headers_of(shop, caller, role="admin", scopes=["act_as"])
    assert (await shop_client.get("/api/v1/me", headers=key)).json() == {
        "user_id": str(caller.user_id), "tenant_id": str(caller.tenant_id), "roles": ["admin"], "scopes": ["act_as"],
    }  # fmt: skip
    person = (await shop_client.get("/api/v1/me", headers={**key, "numen-user": "anna"})).json()
    assert (person["tenant_id"], person["roles"], person["scopes"]) == (str(caller.tenant_id), ["member"], [])
    assert person["user_id"] != str(caller.user_id)


async def test_nobody_is_somebody(shop_client: httpx.AsyncClient) -> None:
    refused = await shop_client.get("/api/v1/me")
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    assert refused.headers["www-authenticate"] == "Bearer"


async def test_a_header_that_comes_twice_is_no_credential(
    shop: Shop, shop_client: httpx.AsyncClient, tenant: TenantFactory
) -> None:
    key = await headers_of(shop, await tenant(scopes=frozenset({"act_as"})), scopes=["act_as"])
    good = ("authorization", key["authorization"])
    assert (await shop_client.get("/api/v1/me", headers=[good, good])).status_code == 401
    people = [good, ("numen-user", "anna"), ("numen-user", "ben")]
    assert (await shop_client.get("/api/v1/me", headers=people)).status_code == 422
    bytes_of_no_text = [(b"authorization", key["authorization"].encode()), (b"numen-user", b"anna\xff")]
    assert (await shop_client.get("/api/v1/me", headers=bytes_of_no_text)).status_code == 422


@pytest.mark.parametrize("role", ["viewer", "member", "admin"])
async def test_only_owners_manage_keys(
    role: str, shop: Shop, shop_client: httpx.AsyncClient, tenant: TenantFactory
) -> None:
    caller = await tenant()
    key = await headers_of(shop, caller, role=role)
    for method, path in (("GET", ""), ("POST", ""), ("DELETE", f"/{uuid4()}")):
        body = {"name": "b"} if method == "POST" else None
        refused = await shop_client.request(method, f"/api/v1/api-keys{path}", headers=key, json=body)
        assert refused.status_code == 403
        assert "owner" in refused.json()["detail"]


async def test_an_owner_makes_lists_and_revokes_keys(
    shop_client: httpx.AsyncClient, shop_headers: dict[str, str]
) -> None:
    body = {"name": "b", "role": "viewer", "expires_at": "2030-01-01T00:00:00+02:00"}
    made = (await shop_client.post("/api/v1/api-keys", json=body, headers=shop_headers)).json()
    assert made["expires_at"] == "2029-12-31T22:00:00Z"
    listed = (await shop_client.get("/api/v1/api-keys", headers=shop_headers)).json()
    assert listed[0]["id"] == made["id"]
    assert "key" not in listed[0]
    assert (await shop_client.delete(f"/api/v1/api-keys/{made['id']}", headers=shop_headers)).status_code == 204
    theirs = {"authorization": f"Bearer {made['key']}"}
    assert (await shop_client.get("/api/v1/me", headers=theirs)).status_code == 401
    absent = await shop_client.delete(f"/api/v1/api-keys/{uuid4()}", headers=shop_headers)
    assert (absent.status_code, absent.json()["code"]) == (404, "api-key-not-found")
    naive = await shop_client.post(
        "/api/v1/api-keys",
        json={"name": "b", "expires_at": "2030-01-01T00:00:00"},
        headers={**shop_headers, "idempotency-key": "2"},
    )
    assert (naive.status_code, naive.json()["errors"][0]["pointer"]) == (422, "/expires_at")
