"""Rule 4: threads are automatic."""

from __future__ import annotations

from uuid import UUID

from backend.scripts.standard.ground import Ground, contract
from backend.scripts.standard.proof import Proof

_SAID = ("My name is Ada.", "What did I say?", "And once more, by stream.")


async def prove(ground: Ground, proof: Proof) -> None:
    """Every interaction has a thread, and its history goes on over other connections and in other processes."""
    agent = await ground.door.create(contract("Listener"))
    chat = f"/agents/{agent['id']}/chat"
    first = await ground.door.ok("POST", chat, {"message": _SAID[0]})
    thread_id = first["thread_id"]
    proof.show("a turn without a thread begins one")
    async with ground.door.again() as elsewhere:
        second = await elsewhere.ok("POST", chat, {"message": _SAID[1], "thread_id": thread_id})
        body = {"message": _SAID[2], "thread_id": thread_id}
        streamed = [event async for event in elsewhere.events("POST", f"{chat}/stream", body)]
    proof.expect(second["thread_id"] == thread_id, "the second turn is in another thread")
    proof.expect(streamed[-1][1] == "message.completed", f"the stream ends with {streamed[-1][1]}")
    proof.expect(second["metadata"]["message_count"] == 4, "the second turn does not count four messages")
    messages = await ground.door.ok("GET", f"/threads/{thread_id}/messages")
    roles = [one["role"] for one in messages]
    proof.expect(roles == ["user", "assistant"] * 3, f"the history's roles are {roles}")
    proof.expect(tuple(one["content"] for one in messages[::2]) == _SAID, "the history is not what was said")
    proof.show("three turns over two connections, one of them streamed, are one history, oldest first")
    async with ground.database.tenant(ground.home.tenant_id) as tx:
        rows = await tx.threads.messages(UUID(thread_id), None, 50)
    here = [(str(one.id), one.content) for one in sorted(rows, key=lambda row: row.position)]
    proof.expect(here == [(one["id"], one["content"]) for one in messages], "another process reads another history")
    proof.show("this process, which is not the server, reads the same history from the database")
    other = await ground.door.ok("POST", chat, {"message": "Something else."})
    proof.expect(other["thread_id"] != thread_id, "a turn without a thread went into an old one")
