"""The surface that clients are written against: addresses, methods, status codes, headers and paging."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest

from backend.tests.api.route_cases import all_routes, make_world, nowhere
from backend.tests.fixtures_api import Api, Person, serving

AGENTS = "/api/v1/agents"
COMMON_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


async def test_a_slash_at_the_end_changes_nothing(api: Api) -> None:
    owner = await api.owner()
    world = await make_world(api, owner)
    for route in all_routes(api.app):
        if route.method == "GET" and route.path != "/metrics":
            path, mark, query = route.url(world.values()).partition("?")
            plain = await owner.http.get(f"{path}{mark}{query}")
            slashed = await owner.http.get(f"{path}/{mark}{query}")
            assert plain.status_code == slashed.status_code == 200, route
            assert re.sub("^\n$", "", slashed.text) == plain.text or route.open, route
    body = {"name": "Slashed", "identity": {"short_description": "s"}}
    created = await owner.http.post(f"{AGENTS}/", json=body)
    assert (created.status_code, created.history) == (201, [])
    assert (await owner.http.get(f"{AGENTS}//")).status_code == 404


async def test_creating_says_where(api: Api) -> None:
    owner = await api.owner()
    created = await owner.http.post(AGENTS, json={"name": "New", "identity": {"short_description": "n"}})
    assert created.status_code == 201
    assert created.headers["location"] == f"{AGENTS}/{created.json()['id']}"
    assert created.headers["etag"] == '"1.0.0"'
    assert (await owner.http.get(created.headers["location"])).json() == created.json()


async def test_reading_again_costs_nothing(api: Api) -> None:
    owner = await api.owner()
    url = f"{AGENTS}/{(await owner.make_agent())['id']}"
    etag = (await owner.http.get(url)).headers["etag"]
    for same in (etag, f"W/{etag}", f'"0.0.1", {etag}', "*"):
        known = await owner.http.get(url, headers={"if-none-match": same})
        assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", etag), same
    await owner.ok("PATCH", url, {"traits": {"humor": 1}})
    changed = await owner.http.get(url, headers={"if-none-match": etag})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"1.1.0"')
    assert (await owner.http.get(url, headers={"if-none-match": "1.0.0"})).status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("PATCH", "", {"traits": {"humor": 2}}), ("POST", "/rollback", {"version": "1.0.0"}), ("DELETE", "", None)],
)
async def test_a_change_needs_the_version_it_was_made_for(api: Api, method: str, path: str, body: object) -> None:
    owner = await api.owner()
    url = f"{AGENTS}/{(await owner.make_agent())['id']}"
    await owner.ok("PATCH", url, {"traits": {"humor": 1}})
    before = (await owner.http.get(url)).text
    for stale in ('"1.0.0"', 'W/"1.1.0"', '"1.1"'):
        refused = await owner.http.request(method, url + path, json=body, headers={"if-match": stale})
        assert (refused.status_code, refused.json()["code"]) == (412, "precondition-failed"), stale
        assert refused.json()["current_version"] == "1.1.0"
    for broken in ("1.1.0", '"1.1.0', "", '"a" "b"'):
        refused = await owner.http.request(method, url + path, json=body, headers={"if-match": broken})
        assert refused.status_code == 422, broken
        assert refused.json()["errors"][0] | {"detail": ""} == {
            "pointer": "", "in": "header", "name": "If-Match", "detail": ""
        }  # fmt: skip
    assert (await owner.http.get(url)).text == before
    done = await owner.http.request(method, url + path, json=body, headers={"if-match": '"1.0.0", "1.1.0"'})
    assert done.is_success


async def test_of_many_changes_for_one_version_one_is_made(api: Api) -> None:
    owner = await api.owner()
    url = f"{AGENTS}/{(await owner.make_agent())['id']}"
    tries = [
        owner.http.patch(url, json={"traits": {"humor": number}}, headers={"if-match": '"1.0.0"'})
        for number in range(1, 21)
    ]
    codes = sorted(answer.status_code for answer in await asyncio.gather(*tries))
    assert codes == [200] + [412] * 19
    assert len(await owner.ok("GET", f"{url}/versions")) == 2


async def test_concurrent_changes_all_count(api: Api) -> None:
    owner = await api.owner()
    url = f"{AGENTS}/{(await owner.make_agent())['id']}"
    traits = ("creativity", "empathy", "assertiveness", "humor", "formality", "verbosity", "confidence", "technicality")
    work = [owner.ok("PATCH", url, {"traits": {trait: 11}}) for trait in traits]
    await asyncio.gather(*work)
    agent = await owner.ok("GET", url)
    assert {trait: agent["traits"][trait] for trait in traits} == dict.fromkeys(traits, 11)
    assert agent["version"] == f"1.{len(traits)}.0"
    assert len(await owner.ok("GET", f"{url}/versions")) == len(traits) + 1


async def make_many(owner: Person, count: int) -> set[str]:
    agents: list[dict[str, str]] = []
    for start in range(0, count, 20):
        agents += await asyncio.gather(*(owner.make_agent(name=f"Agent {start + one}") for one in range(20)))
    return {agent["id"] for agent in agents}


async def test_a_walk_over_all_pages_meets_everybody_once(api: Api) -> None:
    owner = await api.owner()
    made = await make_many(owner, 120)
    seen: list[str] = []
    url: str | None = f"{AGENTS}?limit=7&tag=&q=agent".replace("&tag=", "")
    while url is not None:
        page = await owner.http.get(url)
        assert page.headers["x-total-count"] == "120"
        seen += [agent["id"] for agent in page.json()]
        link = page.headers.get("link")
        found = re.fullmatch(r'<(/api/v1/agents\?[^>]+)>; rel="next"', link) if link else None
        assert (link is None) == (found is None)
        url = found[1] if found else None
        if len(seen) == 35:  # what is made in the meantime does not shift the pages
            await owner.make_agent(name="Agent late")
            made_late = (await owner.http.get(AGENTS, params={"q": "late"})).json()[0]["id"]
            await owner.ok("DELETE", f"{AGENTS}/{made_late}")
    assert len(seen) == len(made) == 120
    assert set(seen) == made
    offsets = [await owner.ok("GET", AGENTS, params={"limit": 50, "offset": offset}) for offset in (0, 50, 100, 150)]
    assert [len(page) for page in offsets] == [50, 50, 20, 0]
    assert [agent["id"] for page in offsets for agent in page] == seen


async def test_pages_have_bounds(api: Api) -> None:
    owner = await api.owner()
    await make_many(owner, 60)
    assert len(await owner.ok("GET", AGENTS)) == 50
    for query in ("limit=0", "limit=101", "limit=-1", "limit=1e9", "limit=abc", "limit=", "offset=-1", "offset=1.5",
                  "offset=99999999999999999999", "cursor=", "cursor=%F0%9F%8C%99", "cursor=MjAyNg", "status=gone",
                  "agent_type=cat", f"q={'x' * 201}", f"tag={'x' * 65}"):  # fmt: skip
        refused = await owner.http.get(f"{AGENTS}?{query}")
        assert refused.status_code == 422, query
        assert refused.json()["errors"][0]["in"] == "query"
        assert refused.json()["errors"][0]["name"] == query.partition("=")[0]


async def test_filters(api: Api) -> None:
    owner = await api.owner()
    quiet = await owner.make_agent(name="100%_quiet", tags=["calm"], type="voice", voice={"voice_id": "calm-female"})
    loud = await owner.make_agent(name="Loud", identity={"short_description": "A drummer"})
    gone = await owner.make_agent(name="Gone")
    await owner.ok("DELETE", f"{AGENTS}/{gone['id']}")

    async def found(**query: str) -> set[str]:
        return {agent["id"] for agent in await owner.ok("GET", AGENTS, params=query)}

    assert await found() == {quiet["id"], loud["id"]}
    assert await found(status="archived") == {gone["id"]}
    assert await found(status="active", agent_type="voice") == {quiet["id"]}
    assert await found(tag="calm") == {quiet["id"]}
    assert await found(q="DRUMMER") == {loud["id"]}
    assert await found(q="100%_") == {quiet["id"]}
    assert await found(q="%") == {quiet["id"]}
    assert await found(q="' OR 1=1 --") == set()


async def test_wrong_addresses_and_methods(api: Api) -> None:
    http = (await api.owner()).http
    for path in ("/", "/api", "/api/v1", "/api/v2/agents", "/api/v1/agents/x/y/z", "/favicon.ico", "/.env", "/docs/x"):
        missing = await http.get(path)
        assert (missing.status_code, missing.json()["code"]) == (404, "route-not-found"), path
        assert missing.headers["content-type"] == "application/problem+json"
    by_path: dict[str, set[str]] = {}
    for route in all_routes(api.app):
        by_path.setdefault(route.path, set()).add(route.method)
    urls = {route.path: route.url(nowhere()) for route in all_routes(api.app)}
    by_path["/api/v1/agents/import"] |= by_path["/api/v1/agents/{agent_id}"]  # there, import is an id that is none
    for path, methods in by_path.items():
        for method in {*COMMON_METHODS, "OPTIONS", "TRACE", "PROPFIND"} - methods:
            refused = await http.request(method, urls[path])
            assert refused.status_code == 405, f"{method} {path}"
            assert refused.json()["code"] == "method-not-allowed"
            allowed = set(refused.headers["allow"].split(", "))
            assert methods <= allowed, f"{method} {path} allows {allowed}"
            assert method not in allowed


async def test_head_is_answered_without_a_body(api: Api) -> None:
    owner = await api.owner()
    for path in ("/healthz", AGENTS, "/nowhere"):
        answer = await owner.http.head(path)
        assert answer.status_code in (200, 404, 405)
        assert answer.content == b""
        assert answer.headers["x-request-id"]


async def test_every_answer_has_a_request_id(api: Api) -> None:
    http = api.client()
    assert re.fullmatch("[0-9a-f]{32}", (await http.get("/healthz")).headers["x-request-id"])
    named = await http.get("/api/v1/me", headers={"x-request-id": "trace-4711.a_b"})
    assert named.headers["x-request-id"] == named.json()["request_id"] == "trace-4711.a_b"
    for odd in ("a b", "x" * 129, '"', "{}", "<script>"):
        replaced = await http.get("/api/v1/me", headers={"x-request-id": odd})
        assert re.fullmatch("[0-9a-f]{32}", replaced.headers["x-request-id"]), odd


async def test_pages_of_other_origins(api: Api) -> None:
    friend, stranger = "https://app.example.org", "https://evil.example.org"
    settings = api.container.settings.model_copy(update={"cors_origins": [friend]})
    owner = await api.owner()
    async with serving(settings, api.container) as open_to_pages:
        http = open_to_pages.client()
        for origin, allowed in ((friend, friend), (stranger, None)):
            asked = {"origin": origin, "access-control-request-method": "PATCH",
                     "access-control-request-headers": "authorization, if-match, idempotency-key"}  # fmt: skip
            preflight = await http.options(AGENTS, headers=asked)
            assert preflight.headers.get("access-control-allow-origin") == allowed
            assert preflight.status_code == (200 if allowed else 400)
            read = await http.get(AGENTS, headers={"origin": origin, "authorization": f"Bearer {owner.key}"})
            assert read.status_code == 200
            assert read.headers.get("access-control-allow-origin") == allowed
            assert "access-control-allow-credentials" not in read.headers
        shown = read_headers(await http.get(AGENTS, headers={"origin": friend}))
        assert {"etag", "link", "x-total-count", "x-request-id", "retry-after", "location"} <= shown
    assert "access-control-allow-origin" not in (await owner.http.get(AGENTS, headers={"origin": friend})).headers


def read_headers(answer: httpx.Response) -> set[str]:
    """The headers that a page may read, of a refused request as well."""
    assert answer.status_code == 401
    return {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
