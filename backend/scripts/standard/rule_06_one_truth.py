"""Rule 6: one source of truth."""

from __future__ import annotations

import asyncio
import json
import shutil
from urllib.parse import urlsplit
from uuid import UUID

from backend.scripts.standard.ground import Ground, contract
from backend.scripts.standard.proof import Proof
from backend.services.contract_mirror import ATTRIBUTES_FILE, CONTRACT_FILE

_AGENTS, _UPDATES, _HANG_UPS = 4, 5, 12


async def prove(ground: Ground, proof: Proof) -> None:
    """After concurrent updates, damage and broken connections, files equal the database."""
    made = [await ground.door.create(contract(f"Mirrored {number}")) for number in range(_AGENTS)]
    ids = [UUID(one["id"]) for one in made]
    await _update_at_once(ground, proof, ids)
    await _mend_damage(ground, proof, ids)
    await _hang_up(ground, proof)
    await ground.door.ok("DELETE", f"/agents/{ids[0]}")
    everyone = await _everyone(ground)
    proof.expect(await ground.mirrored(everyone), "some files differ from their rows")
    proof.show(f"the files of all {len(everyone)} agents equal their rows, byte by byte, the archived one's too")


async def _update_at_once(ground: Ground, proof: Proof, ids: list[UUID]) -> None:
    changes = [
        ground.door.send("PATCH", f"/agents/{one}", {"traits": {"creativity": value}})
        for value in range(1, _UPDATES + 1)
        for one in ids
    ]
    answers = await asyncio.gather(*changes)
    proof.expect(all(one.status_code == 200 for one in answers), "a concurrent update was not taken")
    proof.require(await ground.mirrored(ids), "files differ from their rows after concurrent updates")
    proof.show(f"{len(answers)} updates of {len(ids)} agents at once: files equal rows")


async def _mend_damage(ground: Ground, proof: Proof, ids: list[UUID]) -> None:
    folder = ground.settings.prompts_dir
    await asyncio.to_thread(shutil.rmtree, folder / str(ids[1]))
    for name in (CONTRACT_FILE, ATTRIBUTES_FILE):
        await asyncio.to_thread((folder / str(ids[2]) / name).write_text, "{", "utf-8")
    for one in ids[1:3]:
        await ground.door.ok("PATCH", f"/agents/{one}", {"tags": ["mended"]})
    proof.expect(await ground.mirrored(ids), "a folder that was lost or damaged does not come back")
    proof.show("a lost folder and damaged files are whole again with the next change")


async def _hang_up(ground: Ground, proof: Proof) -> None:
    """Clients that go away while their agent is made: it exists with everything, or not at all."""
    await asyncio.gather(*(_send_and_leave(ground, number) for number in range(_HANG_UPS)))
    everyone = await _everyone(ground)
    proof.expect(await ground.mirrored(everyone), "a client that went away left a row without its files")
    for one in everyone:
        versions = await ground.door.send("GET", f"/agents/{one}/versions")
        proof.expect(int(versions.headers["x-total-count"]) > 0, f"agent {one} has no version")
    proof.show(f"{_HANG_UPS} clients hung up while they created: no half agents")


async def _send_and_leave(ground: Ground, number: int) -> None:
    parts = urlsplit(ground.url)
    secure = parts.scheme == "https"
    body = json.dumps(contract(f"Left behind {number}"))
    head = (
        f"POST {parts.path}/api/v1/agents HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {ground.home.key}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    port = parts.port or (443 if secure else 80)
    _, writer = await asyncio.open_connection(parts.hostname, port, ssl=secure or None)
    writer.write((head + body).encode())
    await writer.drain()
    await asyncio.sleep(number / 1000)  # each at another moment of the work
    writer.transport.abort()


async def _everyone(ground: Ground) -> list[UUID]:
    async with ground.database.worker() as worker:
        known = await worker.agents_now()
    return [agent_id for agent_id, (tenant_id, _) in known.items() if tenant_id == ground.home.tenant_id]
