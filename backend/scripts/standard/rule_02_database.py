"""Rule 2: database-backed from birth."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

from backend.models.agent import AgentContract
from backend.scripts.standard.door import Body
from backend.scripts.standard.ground import Ground, contract
from backend.scripts.standard.proof import Proof
from backend.services.contract_mirror import ATTRIBUTES_FILE, CONTRACT_FILE

_ATTRIBUTES = ("id", "name", "traits", "configuration")


async def prove(ground: Ground, proof: Proof) -> None:
    """Creating an agent leaves the row, the first version, the audit entry and the mirrored files."""
    made = await ground.door.create(contract("Newborn", tags=["scratch"]))
    agent_id = UUID(made["id"])
    told = {name: value for name, value in made.items() if name in AgentContract.model_fields}
    await _rows(ground, proof, agent_id, told)
    await _files(ground, proof, agent_id, told)


async def _rows(ground: Ground, proof: Proof, agent_id: UUID, told: Body) -> None:
    async with ground.database.tenant(ground.home.tenant_id) as tx:
        row = await tx.agents.get(agent_id)
        versions, count = await tx.agents.versions(agent_id, 10, 0)
        first = await tx.agents.version(agent_id, "1.0.0")
        entries = await tx.audit.of_subject(agent_id)
    proof.require(row is not None and json.loads(row.contract_json) == told, "the row is not what the API answered")
    proof.show("the row holds the contract that the API answered")
    whole = first is not None and json.loads(first.contract.stored_json()) == told
    proof.expect(whole and count == 1, "the first version is not there, or is not the contract")
    proof.expect(all(one.created_by == ground.home.user_id for one in versions), "the first version has no author")
    proof.show("version 1.0.0 holds it too, with its author")
    found = [(one["action"], one["actor_id"], one["api_key_id"]) for one in entries]
    expected = [("agent.created", ground.home.user_id, ground.home.key_id)]
    proof.expect(found == expected, f"the audit log holds {[one[0] for one in found]} of it")
    proof.show("the audit log says who created it, with which key")


async def _files(ground: Ground, proof: Proof, agent_id: UUID, told: Body) -> None:
    folder = ground.settings.prompts_dir / str(agent_id)
    came = await ground.mirrored([agent_id])
    proof.require(
        came, f"{folder} does not hold the contract: does the server write to the NUMEN_PROMPTS_DIR of these settings?"
    )
    whole = await asyncio.to_thread(_read, folder / CONTRACT_FILE)
    attributes = await asyncio.to_thread(_read, folder / ATTRIBUTES_FILE)
    proof.expect(whole == told, f"{CONTRACT_FILE} is not the contract")
    proof.expect(attributes == {name: told[name] for name in _ATTRIBUTES}, f"{ATTRIBUTES_FILE} differs")
    proof.show(f"{CONTRACT_FILE} and {ATTRIBUTES_FILE} are mirrored")


def _read(path: Any) -> Any:
    return json.loads(path.read_text("utf-8"))
