"""Rule 10: the standard surface."""

from __future__ import annotations

from uuid import uuid4

from backend.scripts.standard.door import PROBLEM, Body, Door, is_problem
from backend.scripts.standard.ground import Ground, contract
from backend.scripts.standard.proof import Proof

_REPLY = {"thread_id", "agent_id", "response", "message_id", "metadata"}
_METADATA = {"memory_confidence", "message_count", "model", "provider", "usage", "latency_ms", "memory"}
_JSON = {"content-type": "application/json"}


async def prove(ground: Ground, proof: Proof) -> None:
    """POST, GET, PATCH, DELETE and chat under /api/v1/agents answer as specified."""
    agent = await _create(ground.door, proof)
    await _list(ground.door, proof)
    await _read_and_change(ground.door, proof, agent)
    await _carry(ground.door, proof, agent)
    await _chat(ground.door, proof, f"/agents/{agent['id']}")
    await _me(ground, proof)
    await _problems(ground.door, proof, f"/agents/{agent['id']}")
    archived = await ground.door.send("DELETE", f"/agents/{agent['id']}")
    proof.expect(archived.status_code == 204 and not archived.content, f"DELETE answers {archived.status_code}")
    proof.show("DELETE answers 204 without a body")


async def _create(door: Door, proof: Proof) -> Body:
    key = {"idempotency-key": uuid4().hex}
    answer = await door.send("POST", "/agents", contract("Surface"), headers=key)
    proof.require(answer.status_code == 201, f"POST /agents answers {answer.status_code}")
    agent: Body = answer.json()
    headers = (answer.headers.get("location"), answer.headers.get("etag"))
    proof.expect(headers == (f"/api/v1/agents/{agent['id']}", '"1.0.0"'), f"Location and ETag are {headers}")
    again = await door.send("POST", "/agents", contract("Surface"), headers=key)
    proof.expect(again.status_code == 201 and again.json() == agent, "a repeat with one Idempotency-Key makes another")
    other = await door.send("POST", "/agents", contract("Another"), headers=key)
    proof.expect(is_problem(other, 422, "idempotency-key-reused"), "one key is taken for two requests")
    proof.show("POST answers 201 with Location and ETag, and a repeat with the same Idempotency-Key makes nothing new")
    return agent


async def _list(door: Door, proof: Proof) -> None:
    for number in range(2):
        await door.create(contract(f"Listed {number}", tags=["surface"]))
    first = await door.send("GET", "/agents", params={"tag": "surface", "limit": 1})
    proof.expect(
        first.headers.get("x-total-count") == "2" and len(first.json()) == 1, "X-Total-Count or limit is wrong"
    )
    link = first.links.get("next", {}).get("url", "")
    proof.require(link.startswith("/api/v1/agents"), f"Link names no next page: {first.headers.get('link')}")
    second = await door.send("GET", link)
    names = [one["name"] for one in (*first.json(), *second.json())]
    proof.expect(names == ["Listed 1", "Listed 0"], f"two pages by cursor give {names}")
    slashed = await door.send("GET", "/agents/", params={"tag": "surface"})
    proof.expect(slashed.status_code == 200, f"GET /agents/ answers {slashed.status_code}")
    out_of_range: list[dict[str, str | int]] = [{"limit": 101}, {"limit": 0}, {"offset": -1}, {"status": "gone"}]
    for refused in out_of_range:
        answer = await door.send("GET", "/agents", params=refused)
        proof.expect(is_problem(answer, 422), f"{refused} is answered with {answer.status_code}")
    proof.show(
        "GET lists an array with X-Total-Count and a cursor in Link, with and without a slash, within its limits"
    )


async def _read_and_change(door: Door, proof: Proof, agent: Body) -> None:
    path = f"/agents/{agent['id']}"
    read = await door.send("GET", path)
    proof.expect(read.headers.get("etag") == '"1.0.0"', f"the ETag is {read.headers.get('etag')}")
    unchanged = await door.send("GET", path, headers={"if-none-match": '"1.0.0"'})
    proof.expect(unchanged.status_code == 304, f"If-None-Match answers {unchanged.status_code}")
    change = {"traits": {"humor": 60}}
    missed = await door.send("PATCH", path, change, headers={"if-match": '"0.9.0"'})
    proof.expect(is_problem(missed, 412, "precondition-failed"), f"a wrong If-Match answers {missed.status_code}")
    taken = await door.send("PATCH", path, change, headers={"if-match": '"1.0.0"'})
    version = (taken.status_code, taken.headers.get("etag"))
    proof.expect(version == (200, '"1.1.0"'), f"PATCH with the right If-Match answers {version}")
    cleared = await door.ok("PATCH", path, {"voice": {"voice_id": "calm-female"}})
    cleared = await door.ok("PATCH", path, {"voice": None}) if cleared.get("voice") else cleared
    proof.expect(cleared.get("voice") is None and cleared["version"] == "1.3.0", "null does not clear a section")
    proof.show("GET and PATCH honour ETag, If-None-Match (304) and If-Match (412); null clears a section")


async def _carry(door: Door, proof: Proof, agent: Body) -> None:
    exported = await door.ok("GET", f"/agents/{agent['id']}/export")
    mine = [agent["id"], agent["metadata"]["tenant_id"], agent["metadata"]["owner_id"]]
    proof.expect(not any(one in str(exported) for one in mine), "the export carries ids of its tenant")
    imported = await door.ok("POST", "/agents/import", exported)
    proof.expect(
        imported["version"] == "1.3.0" and imported["id"] != agent["id"], "the import is not the exported agent"
    )
    history = await door.send("GET", f"/agents/{imported['id']}/versions")
    proof.expect(history.headers.get("x-total-count") == "4", "the import lost versions")
    copy = await door.send("POST", f"/agents/{agent['id']}/duplicate")
    proof.expect(copy.status_code == 201 and copy.json()["version"] == "1.0.0", f"duplicate answers {copy.status_code}")
    proof.show("export carries no id of the tenant, import brings the history back, duplicate begins at 1.0.0")


async def _chat(door: Door, proof: Proof, path: str) -> None:
    reply = await door.ok("POST", f"{path}/chat", {"message": "Hello."})
    proof.expect(reply.keys() == _REPLY, f"chat answers {sorted(reply)}")
    proof.expect(reply["metadata"].keys() >= _METADATA, f"the metadata has {sorted(reply['metadata'])}")
    found = [event async for event in door.events("POST", f"{path}/chat/stream", {"message": "Hello."})]
    kinds = [kind for _, kind, _ in found]
    order = kinds[:1] == ["run.started"] and kinds[-1:] == ["message.completed"] and "message.delta" in kinds
    proof.require(order and all(event_id for event_id, _, _ in found), f"the stream's events are {kinds}")
    text = "".join(data["text"] for _, kind, data in found if kind == "message.delta")
    proof.expect(text == found[-1][2]["response"], "the pieces of the stream are not its answer")
    run_id = found[-1][2]["metadata"]["run_id"]
    resumed = await door.send("GET", f"/runs/{run_id}/events", headers={"last-event-id": found[0][0]})
    proof.expect(
        "run.started" not in resumed.text and "message.completed" in resumed.text, "a stream cannot be resumed"
    )
    run = await door.ok("GET", f"/runs/{run_id}")
    proof.expect(run["status"] == "completed" and run["text"] == text, "the run does not hold the answer")
    late = await door.send("POST", f"/runs/{run_id}/cancel")
    proof.expect(is_problem(late, 409, "run-finished"), f"cancelling a finished run answers {late.status_code}")
    proof.show(f"chat answers as specified; the stream has {len(found)} events with ids and can be resumed")


async def _me(ground: Ground, proof: Proof) -> None:
    me = await ground.door.ok("GET", "/me")
    who = (me["user_id"], me["tenant_id"])
    proof.expect(who == (str(ground.home.user_id), str(ground.home.tenant_id)), "GET /me names somebody else")
    proof.expect("owner" in me["roles"], f"GET /me names the roles {me['roles']}")
    proof.show("GET /me names user, tenant and roles")


async def _problems(door: Door, proof: Proof, path: str) -> None:
    """Every kind of mistake is answered by a problem document with its own status."""
    absent = uuid4()
    answers = [
        (await door.send("GET", f"/agents/{absent}"), 404),
        (await door.send("GET", "/agents/not-an-id"), 422),
        (await door.send("GET", "/no-such-route"), 404),
        (await door.send("PUT", path, {}), 405),
        (await door.raw("POST", "/agents", b"{", _JSON), 400),
        (await door.raw("POST", "/agents", b'{"name": NaN}', _JSON), 400),
        (await door.raw("POST", "/agents", b'{"name": "\\ud800"}', _JSON), 400),
        (await door.raw("POST", "/agents", b'{"name": "\\u0000"}', _JSON), 422),
        (await door.raw("POST", "/agents", b"name=x", {"content-type": "text/plain"}), 415),
        (await door.send("POST", f"{path}/chat", {}), 422),
        (await door.send("POST", f"{path}/chat", {"message": "  "}), 422),
        (await door.send("POST", f"/agents/{absent}/chat", {"message": "Hello."}), 404),
    ]
    for answer, status in answers:
        where = f"{answer.request.method} {answer.request.url.path}"
        proof.expect(is_problem(answer, status), f"{where} answers {answer.status_code}, and should answer {status}")
    proof.expect("PATCH" in answers[3][0].headers.get("allow", ""), "405 names no methods in Allow")
    proof.show(f"{len(answers)} kinds of mistakes are {PROBLEM} with status, code and request id")
