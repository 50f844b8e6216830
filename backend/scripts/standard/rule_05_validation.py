"""Rule 5: validation before creation."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from backend.scripts.standard.broken_contracts import Broken, ContractBreaker
from backend.scripts.standard.door import Body, Door, is_problem
from backend.scripts.standard.ground import Ground, complete_contract, contract
from backend.scripts.standard.proof import Proof

_AT_ONCE = 8
_SHOWN = 5


async def prove(ground: Ground, proof: Proof) -> None:
    """Each bound, each missing field and each contradiction is refused, by name, and nothing is left behind."""
    door = ground.stranger.door  # nobody else makes agents there, so whatever is left is left by us
    schema = await door.ok("GET", "/schemas/agent-contract")
    breaker = ContractBreaker(schema, complete_contract())
    broken = [*breaker.all(), *_contradictions()]
    proof.expect(not breaker.passed_by, f"nothing was tried on {', '.join(breaker.passed_by)}")
    before = await _left(ground, door)
    accepted = [one for one in await _refusals(door, broken) if one is not None]
    for fault in accepted[:_SHOWN]:
        proof.expect(False, fault)
    proof.expect(len(accepted) <= _SHOWN, f"and {len(accepted) - _SHOWN} more")
    proof.show(f"{len(broken)} broken contracts, made from the published schema, each refused with 422 and a pointer")
    after = await _left(ground, door)
    proof.expect(before == after, f"before the refusals there were {before} agents, then {after}")
    proof.show("no agent and no folder is left behind")
    await _changes_are_checked(door, proof)
    await _what_is_whole_is_taken(door, proof)


async def _refusals(door: Door, broken: list[Broken]) -> list[str | None]:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(case: Broken) -> str | None:
        async with gate:
            return await _refusal(door, case)

    return await asyncio.gather(*(one(case) for case in broken))


async def _refusal(door: Door, case: Broken) -> str | None:
    answer = await door.send("POST", "/agents", case.contract)
    if not is_problem(answer, 422):
        return f"{case.fault}: answered with {answer.status_code} {answer.text[:120]}"
    pointers = [one["pointer"] for one in answer.json().get("errors", ())]
    named = any(_is_around(one, case.pointer) for one in pointers)
    return None if named else f"{case.fault}: refused for {pointers} instead"


def _is_around(found: str, wanted: str) -> bool:
    """Whether a pointer names the place, what it stands in, or something inside it."""
    return found == wanted or found == wanted.rpartition("/")[0] or found.startswith(f"{wanted}/")


def _contradictions() -> list[Broken]:
    """What no schema can say: rules between parts, and what a provider cannot do."""
    voice = {"voice_id": "calm-female"}
    uneven = {"alpha_recency": 0.9, "alpha_semantic": 0.45, "alpha_reinforcement": 0.2}
    step = {"kind": "prompt", "id": "one", "prompt": "Begin.", "next": "nowhere"}
    tool = {"kind": "tool", "id": "one", "tool": "current_time"}
    able = {"tools_enabled": True}
    cases: list[tuple[str, str, Body]] = [
        ("a voice agent without a voice", "/voice", contract(type="voice")),
        ("a workflow agent without a workflow", "/workflow", contract(type="workflow")),
        ("a conversational agent with a workflow", "/workflow", contract(workflow={"steps": []})),
        ("a step that leads nowhere", "/workflow/steps/0/next", contract(type="workflow", workflow={"steps": [step]})),
        (
            "a step that calls a tool which is not granted",
            "/workflow/steps/0/tool",
            contract(type="workflow", workflow={"steps": [tool]}, configuration=able),
        ),
        ("a pitch that the provider has not", "/voice/pitch", contract(type="voice", voice={**voice, "pitch": 1.2})),
        ("a speed over the provider's", "/voice/speed", contract(type="voice", voice={**voice, "speed": 1.5})),
        ("weights that do not sum to 1", "/memory", contract(memory=uneven)),
        ("an unknown provider", "/configuration/llm_provider", contract(configuration={"llm_provider": "nobody"})),
    ]
    return [Broken(fault, place, body) for fault, place, body in cases]


async def _left(ground: Ground, door: Door) -> tuple[int, int]:
    """Agents of the stranger's tenant, archived ones too, and folders that are older than their agents."""
    numbers: list[int] = []
    for params in (None, {"status": "archived"}):
        answer = await door.send("GET", "/agents", params=params)
        numbers.append(int(answer.headers["x-total-count"]))
    ours = set(await _folders(ground))
    async with ground.database.worker() as worker:
        known = {str(one) for one in await worker.agents_now()}
    return sum(numbers), len(ours - known)


async def _folders(ground: Ground) -> list[str]:
    try:
        names = await asyncio.to_thread(os.listdir, ground.settings.prompts_dir)
    except FileNotFoundError:
        return []
    return [name for name in names if len(name) == 36]


async def _changes_are_checked(door: Door, proof: Proof) -> None:
    agent = await door.create(contract("Unbroken"))
    path = f"/agents/{agent['id']}"
    changes: list[Any] = [
        {"traits": {"empathy": 101}},
        {"traits": {"no_such_trait": 1}},
        {"configuration": {"max_tokens": 49}},
        {"voice": {"voice_id": ""}},
        {"type": "voice"},
        {"metadata": {"owner_id": agent["id"]}},
        {"identity": None},
    ]
    for change in changes:
        answer = await door.send("PATCH", path, change)
        proof.expect(is_problem(answer, 422), f"the change {change} is answered with {answer.status_code}")
    now = await door.ok("GET", path)
    proof.expect(now == agent, "a refused change left something behind")
    proof.show(f"{len(changes)} broken changes refused, and the agent is as it was")


async def _what_is_whole_is_taken(door: Door, proof: Proof) -> None:
    """The control: what was broken above is accepted unbroken, so each refusal was for the fault."""
    whole = complete_contract()
    grants = whole["capabilities"]["tools"]
    # A deployment may let nobody out, or only to servers that it names.
    whole["capabilities"]["tools"] = [one for one in grants if one["kind"] != "mcp"]
    answer = await door.send("POST", "/agents", whole)
    proof.expect(answer.status_code == 201, f"the unbroken contract is refused: {answer.text[:300]}")
    proof.show("the same contract unbroken is taken")
