"""Every rule holds on the real application, and each notices when something lies in between."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from backend.scripts.standard import (
    rule_01_contract,
    rule_02_database,
    rule_03_memory,
    rule_04_threads,
    rule_05_validation,
    rule_06_one_truth,
    rule_07_tenants,
    rule_08_versions,
    rule_09_lifecycle,
    rule_10_surface,
)
from backend.scripts.standard.door import Door
from backend.scripts.standard.ground import Ground, contract, scratch_tenant
from backend.scripts.standard.mirror_comparison import differing_agents
from backend.scripts.standard.proof import Proof, Unproved
from backend.scripts.standard.rule import Prove
from backend.tests.fixtures_api import Api

Change = Callable[[str, str, Any], tuple[str, str, Any]]


@pytest.fixture
async def ground(api: Api) -> AsyncGenerator[Ground]:
    """The session's application, with the two tenants that proofs stand on."""
    database, url = api.container.database, api.url
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(scratch_tenant(database, url))
        stranger = await stack.enter_async_context(scratch_tenant(database, url))
        yield Ground(api.container.settings, database, url, home, stranger)


class Liar(Door):
    """Changes requests on their way, as a server would that does not do what it is told."""

    def __init__(self, url: str, key: str, change: Change, *, without: str = "") -> None:
        super().__init__(url, key)
        self._change = change
        self._without = without

    def again(self) -> Door:
        return Liar(self._url, self._key or "", self._change)

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> httpx.Response:
        method, path, body = self._change(method, path, body)
        kept = {name: value for name, value in (headers or {}).items() if name != self._without}
        return await super().send(method, path, body, headers=kept, params=params)


def warm_and_funny(method: str, path: str, body: Any) -> tuple[str, str, Any]:
    """Whoever is funny is also warm."""
    if path == "/agents" and body and body.get("traits", {}).get("humor") == 95:
        body = {**body, "traits": {**body["traits"], "empathy": 95}}
    return method, path, body


def forgetful(method: str, path: str, body: Any) -> tuple[str, str, Any]:
    """Threads are not gone on with."""
    return method, path, {"message": body["message"]} if body and "thread_id" in body else body


def without_memory(method: str, path: str, body: Any) -> tuple[str, str, Any]:
    """Agents are made without memory."""
    if method == "POST" and path == "/agents":
        body = {**body, "configuration": {**body["configuration"], "memory_enabled": False}}
    return method, path, body


def amnesiac(method: str, path: str, body: Any) -> tuple[str, str, Any]:
    """What is said is not what is kept."""
    return method, path, {**body, "message": "Hello."} if body and "colour is" in body.get("message", "") else body


def lenient(method: str, path: str, body: Any) -> tuple[str, str, Any]:
    """Too much empathy is taken as all of it."""
    if method == "POST" and body and isinstance(body.get("traits"), dict) and body["traits"].get("empathy") == 101:
        body = {**body, "traits": {**body["traits"], "empathy": 100}}
    return method, path, body


def wrong_way_back(method: str, path: str, body: Any) -> tuple[str, str, Any]:
    """A rollback goes to another version."""
    return method, path, {"version": "1.1.0"} if path.endswith("/rollback") else body


def undying(method: str, path: str, body: Any) -> tuple[str, str, Any]:
    """Archiving does nothing."""
    return ("GET" if method == "DELETE" else method), path, body


def as_it_is(method: str, path: str, body: Any) -> tuple[str, str, Any]:
    return method, path, body


async def failures(prove: Prove, ground: Ground) -> str:
    """What the rule finds, as one text; empty when it holds."""
    proof = Proof()
    try:
        await prove(ground, proof)
    except Unproved as finding:
        proof.failures.append(str(finding))
    return "; ".join(proof.failures)


@pytest.mark.parametrize(
    ("prove", "change", "finding"),
    [
        (rule_01_contract.prove, warm_and_funny, "humor changes 2 lines of the prompt"),
        (rule_03_memory.prove, without_memory, "a contract that says nothing of memory has none"),
        (rule_04_threads.prove, forgetful, "the second turn is in another thread"),
        (rule_08_versions.prove, wrong_way_back, "the rollback does not restore the first contract"),
        (rule_09_lifecycle.prove, undying, "archiving answers 200"),
    ],
)
async def test_a_lie_is_noticed(ground: Ground, prove: Prove, change: Change, finding: str) -> None:
    async with Liar(ground.url, ground.home.key, change) as door:
        assert finding in await failures(prove, replace(ground, home=replace(ground.home, door=door)))


async def test_what_is_not_kept_is_noticed(ground: Ground) -> None:
    async with Liar(ground.url, ground.home.key, amnesiac) as door:
        forgetting = replace(ground, home=replace(ground.home, door=door), patience=0.5)
        assert "what was said is not in the memory" in await failures(rule_03_memory.prove, forgetting)


async def test_a_memory_that_is_everybodys_is_noticed(ground: Ground) -> None:
    async with Liar(ground.url, ground.home.key, as_it_is, without="Numen-User") as door:
        found = await failures(rule_03_memory.prove, replace(ground, home=replace(ground.home, door=door)))
    assert found == "another person is told what somebody said"


async def test_a_bound_that_is_not_kept_is_noticed(ground: Ground) -> None:
    async with Liar(ground.url, ground.stranger.key, lenient) as door:
        found = await failures(rule_05_validation.prove, replace(ground, stranger=replace(ground.stranger, door=door)))
    assert found.startswith("/traits/empathy is too large: answered with 201")


async def test_a_precondition_that_is_not_kept_is_noticed(ground: Ground) -> None:
    async with Liar(ground.url, ground.home.key, as_it_is, without="if-match") as door:
        found = await failures(rule_10_surface.prove, replace(ground, home=replace(ground.home, door=door)))
    assert "a wrong If-Match answers 200" in found


async def test_a_mirror_elsewhere_is_noticed(ground: Ground, tmp_path: Path) -> None:
    settings = ground.settings.model_copy(update={"prompts_dir": tmp_path})
    elsewhere = replace(ground, settings=settings, patience=0.5)
    assert "does the server write to the NUMEN_PROMPTS_DIR" in await failures(rule_02_database.prove, elsewhere)


async def test_a_wall_with_a_gap_is_noticed(ground: Ground) -> None:
    """The stranger comes in with the first tenant's key, as if nothing kept the two apart."""
    open_door = replace(ground, stranger=replace(ground.stranger, door=ground.door))
    found = await failures(rule_07_tenants.prove, open_door)
    assert "GET /agents/{agent_id} answers a stranger with 200" in found
    assert "shows a stranger another tenant's ids" in found
    assert "was changed by another" in found


async def test_files_that_differ_are_noticed_and_mended(ground: Ground) -> None:
    agent = await ground.door.create(contract())
    agent_id, folder = UUID(agent["id"]), ground.settings.prompts_dir
    compare = partial(differing_agents, ground.database, folder, ground.home.tenant_id, [agent_id])
    assert await ground.mirrored([agent_id])
    (folder / agent["id"] / "agent_attributes.json").write_text("{}")
    assert await compare() == [agent_id]
    await ground.door.ok("PATCH", f"/agents/{agent['id']}", {"tags": ["again"]})
    assert await ground.mirrored([agent_id])
    (folder / agent["id"] / "stray.json").write_text("{}")
    assert await compare() == [agent_id]


async def test_a_mirror_elsewhere_is_no_truth(ground: Ground, tmp_path: Path) -> None:
    settings = ground.settings.model_copy(update={"prompts_dir": tmp_path})
    elsewhere = replace(ground, settings=settings, patience=0.5)
    with pytest.raises(Unproved, match="files differ from their rows"):
        await rule_06_one_truth.prove(elsewhere, Proof())
