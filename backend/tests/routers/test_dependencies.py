"""What every handler may ask for: paging, preconditions, and how the document shows them."""

from __future__ import annotations

import httpx
import pytest

from backend.tests.routers.note_shop import Shop

# --- paging and preconditions ----------------------------------------------------------------------------


async def test_paging_has_defaults_and_bounds(shop_client: httpx.AsyncClient, shop_headers: dict[str, str]) -> None:
    assert (await shop_client.get("/notes", headers=shop_headers)).json() == {
        "limit": 50, "offset": 0, "cursor": False, "known": None,
    }  # fmt: skip
    good = await shop_client.get("/notes?limit=100&offset=2147483647", headers=shop_headers)
    assert (good.json()["limit"], good.json()["offset"]) == (100, 2_147_483_647)
    for query in (
        "limit=0",
        "limit=101",
        "limit=x",
        "offset=-1",
        "offset=2147483648",
        "cursor=x",
        "cursor=",
        "cursor=%00",
    ):
        refused = await shop_client.get(f"/notes?{query}", headers=shop_headers)
        assert (refused.status_code, refused.json()["errors"][0]["in"]) == (422, "query")
        assert refused.json()["errors"][0]["name"] == query.partition("=")[0]


@pytest.mark.parametrize(
    ("value", "strong", "weak"),
    [
        ('"7"', True, True),
        ('"6"', False, False),
        ('"6", "7"', True, True),
        ('"6" ,\t"7" ', True, True),
        ('W/"7"', False, True),
        ('W/"7", "8"', False, True),
        ("*", True, True),
        ('"7,8"', False, False),
    ],
)
async def test_preconditions_are_lists_of_tags(
    value: str, strong: bool, weak: bool, shop_client: httpx.AsyncClient, shop_headers: dict[str, str]
) -> None:
    match = await shop_client.delete("/notes", headers={**shop_headers, "if-match": value})
    assert match.json() == {"matches": strong}
    none_match = await shop_client.get("/notes", headers={**shop_headers, "if-none-match": value})
    assert none_match.json()["known"] is weak


@pytest.mark.parametrize("value", ["7", '"7', '7"', '"7" "8"', "", " ", '"7",*', 'w/"7"', '"7"x', "'7'", ","])
async def test_a_malformed_precondition_is_refused(
    value: str, shop_client: httpx.AsyncClient, shop_headers: dict[str, str]
) -> None:
    refused = await shop_client.delete("/notes", headers={**shop_headers, "if-match": value})
    assert (refused.status_code, refused.json()["errors"][0]["name"]) == (422, "If-Match")


async def test_without_a_precondition_anything_goes(
    shop_client: httpx.AsyncClient, shop_headers: dict[str, str]
) -> None:
    assert (await shop_client.delete("/notes", headers=shop_headers)).json() == {"matches": None}


# --- the document ----------------------------------------------------------------------------------------


def test_the_document_names_headers_and_security(shop: Shop) -> None:
    document = shop.app.openapi()
    post, get = document["paths"]["/notes"]["post"], document["paths"]["/notes"]["get"]
    assert {one["name"] for one in post["parameters"]} == {"Idempotency-Key", "Numen-User"}
    assert "Idempotency-Key" not in {one["name"] for one in get["parameters"]}
    assert post["security"] == get["security"] == [{"bearer": []}]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    schemas = {one["name"]: one["schema"] for one in get["parameters"]}
    assert schemas["limit"]["default"] == 50
