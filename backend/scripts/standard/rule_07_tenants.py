"""Rule 7: multi-tenancy by design."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx

from backend.models.erasure import Certificate
from backend.scripts.standard.door import Door, is_problem
from backend.scripts.standard.ground import Ground, ScratchTenant, contract, until
from backend.scripts.standard.proof import Proof, Unproved
from backend.scripts.standard.routes import Route, routes
from backend.stores.erasures import ErasurePlan

Ids = Mapping[str, str]
_NOT_IDS = {"version": "1.0.0", "a": "1.0.0", "b": "1.1.0"}
_SIGNED = "/api/v1/hooks/"
"""What is sent here is let in by its signature, and refused the same for every id that it does not fit."""
_WRITING_SECONDS = 30
_OF_THE_REQUEST = ("request_id", "instance")


async def prove(ground: Ground, proof: Proof) -> None:
    """Another tenant sees nothing, on every door."""
    openapi = (await ground.door.outside("/openapi.json")).json()
    known = list(routes(openapi))
    ours, theirs = [await _belongings(ground, one) for one in (ground.home, ground.stranger)]
    before = await _state(ground.door, ours)
    with_ids = [one for one in known if one.parameters and not one.path.startswith(_SIGNED)]
    await _every_route(ground, proof, with_ids, ours)
    await _mixed_ids(ground.stranger.door, proof, ours, theirs)
    await _lists(ground.stranger.door, proof, known, ours, theirs)
    await _other_doors(ground, proof, ours)
    proof.expect(await _state(ground.door, ours) == before, "something of the first tenant was changed by another")
    proof.show("nothing of the first tenant was changed by all this")


async def _belongings(ground: Ground, tenant: ScratchTenant) -> dict[str, str]:
    """One thing of each kind, by the name that paths have for its id."""
    door = tenant.door
    agent = await door.create(contract("Private"))
    await door.ok("PATCH", f"/agents/{agent['id']}", {"traits": {"humor": 90}})
    reply = await door.ok("POST", f"/agents/{agent['id']}/chat", {"message": "This is private."})
    key = await door.ok("POST", "/api-keys", {"name": "private", "role": "viewer"})
    memory = await door.ok("POST", f"/agents/{agent['id']}/memories", {"text": "This is private, too."})
    return {
        "agent_id": agent["id"],
        "thread_id": reply["thread_id"],
        "message_id": reply["message_id"],
        "run_id": reply["metadata"]["run_id"],
        "api_key_id": key["id"],
        "memory_id": memory["id"],
        "session_id": await _session(door),
        "webhook_id": await _webhook(door),
        "call_id": str(uuid4()),
        **await _erasure(ground, tenant),
        **_NOT_IDS,
    }


async def _session(door: Door) -> str:
    """A session from its first question to its script."""
    interview = {"fields": [{"name": "goals", "kind": "list", "question": "What do you wish for?"}]}
    script = {"parts": [{"name": "only", "purpose": "Say good day.", "minutes": 0.1}]}
    await door.create(contract("Interviewer", interview=interview))
    voice = {"voice": {"provider": "local", "voice_id": "en-us"}, "configuration": {"voice_enabled": True}}
    await door.create(contract("Writer", script=script, **voice))
    path = f"/sessions/{(await door.ok('POST', '/sessions', {}))['id']}"
    for said in ("I wish to sleep better.", "Yes, that is right."):
        await door.ok("POST", f"{path}/messages", {"message": said})
    await door.ok("POST", f"{path}/consent", {"accepted": True})
    await door.ok("POST", f"{path}/therapy", {})

    async def written() -> bool:
        return (await door.ok("GET", path))["status"] == "completed"

    if not await until(written, _WRITING_SECONDS):
        raise Unproved("a session's script is not written, so nobody can be kept from it")
    return path.rpartition("/")[2]


async def _webhook(door: Door) -> str:
    """A way in for events."""
    steps = [{"kind": "prompt", "id": "draft", "prompt": "Write three lines."}]
    workflow = {"trigger_type": "event", "steps": steps}
    agent = await door.create(contract("Listener", type="workflow", workflow=workflow))
    return (await door.ok("POST", f"/agents/{agent['id']}/webhooks", {"name": "private"}))["id"]


async def _erasure(ground: Ground, tenant: ScratchTenant) -> dict[str, str]:
    """A person who can be erased, and the record of an erasure: a real one would keep the deployment busy."""
    person, now = uuid4(), datetime.now(UTC)
    done = Certificate(stores=[], requested_at=now, completed_at=now, not_verified=[])
    async with ground.database.tenant(tenant.tenant_id) as tx:
        await tx.users.insert(person, None, "numen doctor")
        erasure = await tx.erasures.open(uuid4(), uuid4(), tenant.user_id, {}, ErasurePlan())
        await tx.erasures.finish(erasure.id, done)
    return {"user_id": str(person), "erasure_id": str(erasure.id)}


async def _state(door: Door, ids: Ids) -> list[Any]:
    paths = (
        f"/agents/{ids['agent_id']}",
        f"/threads/{ids['thread_id']}",
        f"/threads/{ids['thread_id']}/messages",
        f"/memories/{ids['memory_id']}/history",
    )
    keys = [(one["id"], one["revoked_at"]) for one in await door.ok("GET", "/api-keys")]
    answers = [await door.send("GET", path) for path in paths]
    return [keys, *[(one.status_code, one.json() if one.is_success else None) for one in answers]]


async def _every_route(ground: Ground, proof: Proof, known: list[Route], ours: Ids) -> None:
    control = 0
    for route in known:
        if unknown := set(route.parameters) - ours.keys():
            raise Unproved(f"{route} has the parameter {', '.join(unknown)}, for which this rule has no case")
        invented = {name: ours[name] if name in _NOT_IDS else str(uuid4()) for name in route.parameters}
        found = await _try(ground.stranger.door, route, ours)
        nothing = await _try(ground.stranger.door, route, invented)
        proof.expect(is_problem(found, 404), f"{route} answers a stranger with {found.status_code}")
        same = _without_request(found) == _without_request(nothing)
        proof.expect(same, f"{route} answers another tenant's id otherwise than one that does not exist")
        if route.method == "GET":
            control += 1
            own = await _try(ground.door, route, ours)
            proof.expect(own.status_code == 200, f"{route} answers its owner with {own.status_code}")
    proof.show(f"{len(known)} routes with ids answer a stranger 404, the same 404 as for an id that does not exist")
    proof.show(f"the control: {control} of them read, and give their owner 200")


async def _try(door: Door, route: Route, ids: Ids) -> httpx.Response:
    return await door.send(route.method, route.filled(ids), route.body, params=route.query)


def _without_request(answer: httpx.Response) -> dict[str, Any]:
    if not is_problem(answer, answer.status_code):
        return {}
    return {name: value for name, value in answer.json().items() if name not in _OF_THE_REQUEST}


async def _mixed_ids(stranger: Door, proof: Proof, ours: Ids, theirs: Ids) -> None:
    """Foreign ids where the first id of the path is one's own, and in bodies."""
    thread, agent = theirs["thread_id"], theirs["agent_id"]
    chat = {"message": "Let me in.", "thread_id": ours["thread_id"]}
    tries = [
        await stranger.send("PUT", f"/threads/{thread}/messages/{ours['message_id']}/feedback", {"score": 1}),
        await stranger.send("GET", f"/threads/{thread}/messages", params={"before": ours["message_id"]}),
        await stranger.send("POST", f"/agents/{agent}/chat", chat),
        await stranger.send("POST", f"/agents/{agent}/chat/stream", chat),
        await stranger.send("POST", f"/agents/{agent}/memories", {"text": "Mine?", "thread_id": ours["thread_id"]}),
    ]
    for answer in tries:
        proof.expect(is_problem(answer, 404), f"{answer.request.url.path} takes a foreign id: {answer.status_code}")
    proof.show(f"{len(tries)} requests with a foreign id behind one's own answer 404")


async def _lists(stranger: Door, proof: Proof, known: list[Route], ours: Ids, theirs: Ids) -> None:
    lists = [one.path for one in known if one.method == "GET" and not one.parameters]
    lists += [f"/agents/{theirs['agent_id']}/threads", f"/agents/{theirs['agent_id']}/memories"]
    private = [value for name, value in ours.items() if name not in _NOT_IDS]
    for path in lists:
        answer = await stranger.send("GET", path)
        proof.expect(answer.status_code == 200, f"{path} answers {answer.status_code}")
        proof.expect(not any(one in answer.text for one in private), f"{path} shows a stranger another tenant's ids")
    proof.show(f"{len(lists)} lists show a stranger nothing of it")


async def _other_doors(ground: Ground, proof: Proof, ours: Ids) -> None:
    path = f"/threads/{ours['thread_id']}"
    posing = {"numen-user": str(ground.home.user_id)}
    answer = await ground.stranger.door.send("GET", path, headers=posing)
    proof.expect(is_problem(answer, 404), f"Numen-User opens another tenant: {answer.status_code}")
    async with Door(ground.url, None) as nobody, Door(ground.url, f"{ground.home.key[:-1]}x") as forger:
        answer = await nobody.send("GET", path)
        proof.expect(answer.status_code in (401, 404), f"without a key the answer is {answer.status_code}")
        answer = await forger.send("GET", path)
        proof.expect(is_problem(answer, 401), f"a mistyped key is answered with {answer.status_code}")
    async with ground.database.tenant(ground.stranger.tenant_id) as tx:
        seen = [await tx.agents.get(UUID(ours["agent_id"])), await tx.threads.get(UUID(ours["thread_id"]), None)]
    proof.expect(seen == [None, None], "the database shows a row to another tenant")
    proof.show("neither Numen-User, nor no key, nor a mistyped one, nor the database's own door lets a stranger in")
