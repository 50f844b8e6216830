"""The whole standard on the real application, and what it leaves behind: nothing."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from backend.errors import Misconfigured
from backend.scripts.standard.ground import Ground, contract, scratch_tenant, until
from backend.scripts.standard.proof import Proof
from backend.scripts.standard.rule import Rule, Verdict
from backend.scripts.standard.run import RULES, prove_standard
from backend.tests.fixtures_api import Api


async def scratch_tenants(api: Api) -> list[str]:
    async with api.container.database.worker() as worker:
        return [str(one) for one, _ in (await worker.agents_now()).values()]


def test_the_rules_are_the_ten_of_the_standard() -> None:
    assert [one.number for one in RULES] == list(range(1, 11))
    assert all(one.prove is not None for one in RULES)


async def fails(ground: Ground, proof: Proof) -> None:
    await ground.door.create(contract())
    proof.require(len(proof.evidence) > 0, "nothing was seen")


async def trips(ground: Ground, proof: Proof) -> None:
    proof.show("an agent")
    (await ground.door.create(contract()))["no such field"]


async def test_verdicts_are_told_counted_and_nothing_is_left(api: Api) -> None:
    folder = api.container.settings.prompts_dir
    verdicts, before = list[Verdict](), {one.name for one in folder.iterdir()}
    rules = [
        RULES[1],
        Rule(3, "Waits", None, "it is for later"),
        Rule(21, "Fails", fails),
        Rule(22, "Trips", trips),
        *RULES[7:9],
    ]
    score = await prove_standard(api.container.settings, api.url, verdicts.append, rules)
    told = {one.number: (one.passed, one.failures) for one in verdicts}
    assert {number: passed for number, (passed, _) in told.items()} == {
        2: True, 3: None, 21: False, 22: False, 8: True, 9: True
    }  # fmt: skip
    assert told[21][1] == ["nothing was seen"]
    assert told[22][1] == ["an unexpected answer: KeyError: 'no such field'"]
    assert verdicts[1].evidence == ("not counted: it is for later",)
    assert (score.points, score.counted, score.cleaned_up) == (30, 50, True)
    assert await scratch_tenants(api) == []
    assert {one.name for one in folder.iterdir()} <= before


async def test_a_scratch_tenant_goes_when_the_work_in_it_fails(api: Api) -> None:
    database, folder = api.container.database, api.container.settings.prompts_dir
    made: list[UUID] = []

    async def fail() -> None:
        async with scratch_tenant(database, api.url) as tenant:
            agent = await tenant.door.create(contract())
            made.append(UUID(agent["id"]))
            await tenant.door.ok("POST", f"/agents/{agent['id']}/chat", {"message": "Hello."})
            await asyncio.sleep(0)
            raise RuntimeError("a proof that breaks")

    with pytest.raises(RuntimeError, match="a proof that breaks"):
        await fail()
    assert await scratch_tenants(api) == []

    async def gone() -> bool:
        return not (folder / str(made[0])).exists()

    assert await until(gone)


async def test_where_no_server_answers_nothing_is_left(api: Api) -> None:
    with pytest.raises(Misconfigured, match="No server answers at"):
        await prove_standard(api.container.settings, "http://127.0.0.1:1", _unheard)
    assert await scratch_tenants(api) == []


async def test_a_server_over_another_database_is_told_apart(api: Api) -> None:
    async def stranger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(stranger, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(Misconfigured, match="belong to two deployments"):
            await prove_standard(api.container.settings, url, _unheard)
    assert await scratch_tenants(api) == []


def _unheard(verdict: Verdict) -> None:
    raise AssertionError(f"{verdict} without a server")
