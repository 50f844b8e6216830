"""Rule 3: memory is mandatory."""

from __future__ import annotations

from uuid import UUID

from backend.scripts.standard.door import Body
from backend.scripts.standard.ground import Ground, contract, until
from backend.scripts.standard.proof import Proof

_SAID = "My favourite colour is turquoise."
_ASKED = "What is my favourite colour?"


async def prove(ground: Ground, proof: Proof) -> None:
    """An agent has its memory from the moment it is made; what is said outlives the conversation and the connection."""
    agent = await ground.door.create(contract("Elephant"))
    memories = f"/agents/{agent['id']}/memories"
    empty = await ground.door.send("GET", memories)
    proof.require(empty.status_code == 200 and empty.json() == [], "a new agent's memory is not there, and empty")
    settings = (await ground.door.ok("GET", f"/agents/{agent['id']}"))["configuration"]
    proof.expect(settings["memory_enabled"] is True, "a contract that says nothing of memory has none")
    proof.show("a new agent has an empty memory at once, without being asked for one")
    kept = await _one_thing_said(ground, proof, agent)
    await _known_elsewhere(ground, proof, agent, kept)
    await _known_to_nobody_else(ground, proof, agent)
    async with ground.database.tenant(ground.home.tenant_id) as tx:
        stored = await tx.memories.get(UUID(kept["id"]), ground.home.user_id)
    proof.expect(stored is not None and stored.text == _SAID, "the memory is not in the database")
    proof.show("it is a row of the database, which this process reads too: it outlives the server and its index")
    await ground.door.ok("DELETE", f"/memories/{kept['id']}")
    left = await ground.door.ok("GET", memories)
    proof.expect(kept["id"] not in [one["id"] for one in left], "a forgotten memory is still listed")


async def _one_thing_said(ground: Ground, proof: Proof, agent: Body) -> Body:
    """The memory of it, once the index has it."""
    chat = f"/agents/{agent['id']}/chat"
    first = await ground.door.ok("POST", chat, {"message": _SAID})
    proof.expect(first["metadata"]["memory"] == "ok", f"a turn says that memory is {first['metadata']['memory']}")
    found: list[Body] = []

    async def indexed() -> bool:
        found[:] = [
            one for one in await ground.door.ok("GET", f"/agents/{agent['id']}/memories") if one["text"] == _SAID
        ]
        return bool(found) and found[0].get("indexed_at") is not None

    proof.require(await until(indexed, ground.patience), "what was said is not in the memory and its index")
    proof.show("what was said is kept with where it was said, and is in the index a moment later")
    return found[0]


async def _known_elsewhere(ground: Ground, proof: Proof, agent: Body, kept: Body) -> None:
    async with ground.door.again() as elsewhere:
        reply = await elsewhere.ok("POST", f"/agents/{agent['id']}/chat", {"message": _ASKED})
        receipt = await elsewhere.ok("GET", f"/messages/{reply['message_id']}/recall")
    shown = [one["memory_id"] for one in receipt["recalled"]]
    proof.expect(reply["thread_id"] != kept["thread_id"], "the question is in the thread of the statement")
    proof.expect(
        shown == [kept["id"]], f"the answer was given {len(shown)} memories, and not the one thing that was said"
    )
    proof.show("a question in another thread, over another connection, is answered from it, and the receipt says so")


async def _known_to_nobody_else(ground: Ground, proof: Proof, agent: Body) -> None:
    colleague = {"Numen-User": "somebody-else"}
    answer = await ground.door.send("POST", f"/agents/{agent['id']}/chat", {"message": _ASKED}, headers=colleague)
    proof.require(answer.is_success, f"another person's turn answers {answer.status_code}: {answer.text[:200]}")
    receipt = await ground.door.send("GET", f"/messages/{answer.json()['message_id']}/recall", headers=colleague)
    proof.expect(receipt.is_success and receipt.json()["recalled"] == [], "another person is told what somebody said")
    other = await ground.door.create(contract("Goldfish"))
    reply = await ground.door.ok("POST", f"/agents/{other['id']}/chat", {"message": _ASKED})
    receipt_of_other = await ground.door.ok("GET", f"/messages/{reply['message_id']}/recall")
    proof.expect(receipt_of_other["recalled"] == [], "another agent knows what this one was told")
    stranger = await ground.stranger.door.send("GET", f"/agents/{agent['id']}/memories")
    proof.expect(stranger.status_code == 404, f"another tenant is answered {stranger.status_code}, not 404")
    proof.show("no other person, agent or tenant is given it")
