"""Rule 9: the lifecycle is tested."""

from __future__ import annotations

from backend.scripts.standard.door import Door, is_problem
from backend.scripts.standard.ground import Ground, contract
from backend.scripts.standard.proof import Proof


async def prove(ground: Ground, proof: Proof) -> None:
    """Create, read, update, chat, archive."""
    door = ground.door
    made = await door.create(contract("Mortal", tags=["lifecycle"]))
    path = f"/agents/{made['id']}"
    proof.expect(await door.ok("GET", path) == made, "what is read is not what was created")
    changed = await door.ok("PATCH", path, {"traits": {"empathy": 90}})
    others = {name: value for name, value in made["traits"].items() if name != "empathy"}
    kept = all(changed["traits"][name] == value for name, value in others.items())
    proof.expect(kept and changed["traits"]["empathy"] == 90, "the update is no merge")
    proof.show("created, read back the same, updated by a merge")
    reply = await door.ok("POST", f"{path}/chat", {"message": "Hello."})
    proof.expect(bool(reply["response"]) and reply["metadata"]["agent_version"] == "1.1.0", "the chat gives no answer")
    seen = await door.ok("GET", path)
    proof.expect(seen["interaction_count"] == 1 and seen["last_interaction_at"] is not None, "the turn is not counted")
    proof.show("answered as version 1.1.0, and the turn is counted")
    await _archive(door, proof, path, made["id"], reply["thread_id"])


async def _archive(door: Door, proof: Proof, path: str, agent_id: str, thread_id: str) -> None:
    for _ in range(2):  # twice, because a repeat must change nothing
        answer = await door.send("DELETE", path)
        proof.expect(answer.status_code == 204, f"archiving answers {answer.status_code}")
    archived = await door.ok("GET", path)
    proof.expect(archived["status"] == "archived", "the archived agent is not readable as such")
    listed = {one["id"] for one in await door.ok("GET", "/agents", params={"tag": "lifecycle"})}
    proof.expect(agent_id not in listed, "the archived agent is in the default list")
    listed = {one["id"] for one in await door.ok("GET", "/agents", params={"tag": "lifecycle", "status": "archived"})}
    proof.expect(agent_id in listed, "the archived agent is in no list")
    refused = await door.send("POST", f"{path}/chat", {"message": "Hello?"})
    proof.expect(is_problem(refused, 409, "agent-archived"), f"the archived agent answers {refused.status_code}")
    messages = await door.ok("GET", f"/threads/{thread_id}/messages")
    proof.expect(len(messages) == 2, "the archived agent's thread lost its messages")
    proof.show("archived: readable, out of the default list, refuses to chat with 409, its threads are kept")
