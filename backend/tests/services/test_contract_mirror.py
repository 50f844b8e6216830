"""The files equal the rows: after every change, after every fault, whoever wrote them last."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from backend.gateways.contract_files import DiskContractFiles
from backend.models.agent_requests import AgentUpdateRequest
from backend.models.tenant import Caller
from backend.ports import ContractFiles
from backend.services.contract_mirror import ATTRIBUTES_FILE, CONTRACT_FILE, KIND, ContractMirror
from backend.services.outbox_relay import OutboxRelay
from backend.stores.database import Database
from backend.telemetry import Metrics
from backend.tests.factories import TenantFactory
from backend.tests.fakes import FullDisk
from backend.tests.services.one_server import OneServer

if TYPE_CHECKING:
    from asyncpg import Connection


@dataclass
class Mirrored:
    """A server whose outbox is delivered when the test says so."""

    server: OneServer
    disk: FullDisk
    mirror: ContractMirror
    relay: OutboxRelay
    folder: Path
    owner: Connection

    async def deliver(self) -> None:
        """Deliver all that waits, also what was to wait longer."""
        await self.owner.execute("UPDATE outbox SET available_at = now() WHERE leased_until IS NULL")
        await self.relay.drain(10)

    async def change(self, caller: Caller, agent: UUID, **parts: Any) -> None:
        await self.server.agents.update(caller, agent, AgentUpdateRequest.model_validate(parts))

    async def waiting(self) -> list[tuple[int, str | None]]:
        rows = await self.owner.fetch("SELECT attempts, last_error FROM outbox ORDER BY id")
        return [(row["attempts"], row["last_error"]) for row in rows]

    async def equals_the_rows(self) -> bool:
        """Whether there is a folder for each agent and no other, with exactly what its row says."""
        rows = await self.owner.fetch("SELECT id, contract::text AS text FROM agents")
        contracts = {str(row["id"]): json.loads(row["text"]) for row in rows}
        if {one.name for one in self.folder.iterdir()} != set(contracts):
            return False
        for name, contract in contracts.items():
            attributes = {key: contract[key] for key in ("id", "name", "traits", "configuration")}
            found = {path.name: json.loads(path.read_bytes()) for path in (self.folder / name).iterdir()}
            if found != {CONTRACT_FILE: contract, ATTRIBUTES_FILE: attributes}:
                return False
        return True


def mirrored(database: Database, folder: Path, owner: Connection) -> Mirrored:
    disk = FullDisk(DiskContractFiles(folder))
    mirror = ContractMirror(database, disk)
    relay = OutboxRelay(database, {KIND: mirror.deliver}, Metrics())
    return Mirrored(OneServer(database), disk, mirror, relay, folder, owner)


@pytest.fixture
def it(database: Database, tmp_path: Path, owner: Connection) -> Mirrored:
    return mirrored(database, tmp_path, owner)


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


# --- every change ---


async def test_files_follow_every_change(it: Mirrored, caller: Caller, tenant: TenantFactory) -> None:
    agent = await it.server.agent(caller, voice={"voice_id": "calm"})
    await it.server.agent(await tenant())
    assert not await it.equals_the_rows()
    await it.deliver()
    assert await it.equals_the_rows()
    silent = {"voice": None, "configuration": {"voice_enabled": False}}
    await it.change(caller, agent, traits={"empathy": 90}, name="Ünïcode 你", **silent)
    assert not await it.equals_the_rows()
    await it.deliver()
    assert await it.equals_the_rows()
    await it.server.agents.archive(caller, agent)
    await it.deliver()
    assert await it.equals_the_rows()
    assert await it.waiting() == []
    assert await it.mirror.reconcile() == 0


async def test_a_late_order_writes_what_is_true_now(it: Mirrored, caller: Caller) -> None:
    agent = await it.server.agent(caller)
    for value in range(5):
        await it.change(caller, agent, traits={"empathy": value})
    async with it.server.database.worker() as worker:
        orders = await worker.claim_deliveries(timedelta(seconds=30), 50, [KIND])
    for order in reversed(orders):
        assert await it.mirror.deliver([order]) == {}
        assert await it.equals_the_rows()


async def test_an_agent_that_is_gone_takes_its_folder_with_it(it: Mirrored, caller: Caller, database: Database) -> None:
    await it.server.agent(caller)
    await it.deliver()
    async with database.tenant(caller.tenant_id) as tx:
        assert await tx.users.delete_tenant()
    assert len(list(it.folder.iterdir())) == 1
    await it.deliver()
    assert list(it.folder.iterdir()) == []
    assert await it.waiting() == []


# --- faults ---


async def test_a_full_disk_is_tried_again_and_nothing_is_lost(it: Mirrored, caller: Caller) -> None:
    await it.server.agent(caller)
    it.disk.full = True
    await it.server.agent(caller)
    await it.relay.drain(5)
    assert await it.waiting() == [(1, "OSError: No space left on device")] * 2
    assert list(it.folder.iterdir()) == []
    delays: list[float] = []
    for _ in range(3):
        rows = await it.owner.fetch(
            "SELECT extract(epoch FROM available_at - clock_timestamp())::float8 AS s FROM outbox"
        )
        delays.append(rows[0]["s"])
        await it.deliver()
    assert delays[0] < delays[1] < delays[2] < 4
    assert await it.mirror.reconcile() == 0  # nothing could be mended, and it says so by ending
    it.disk.full = False
    await it.deliver()
    assert await it.equals_the_rows()
    assert await it.waiting() == []


async def test_a_contract_that_does_not_hold_stops_only_its_own_files(it: Mirrored, caller: Caller) -> None:
    broken, good = await it.server.agent(caller), await it.server.agent(caller)
    await it.owner.execute("UPDATE agents SET contract = contract - 'identity' WHERE id = $1", broken)
    await it.deliver()
    assert [one.name for one in it.folder.iterdir()] == [str(good)]
    assert await it.waiting() == [(1, "the stored contract does not hold: 1 fault(s)")]
    assert await it.mirror.reconcile() == 0
    await it.owner.execute("UPDATE agents SET contract = $2::text::jsonb WHERE id = $1", broken, await _whole(it, good))
    await it.deliver()
    assert len(list(it.folder.iterdir())) == 2


async def _whole(it: Mirrored, agent: UUID) -> str:
    return await it.owner.fetchval("SELECT contract::text FROM agents WHERE id = $1", agent)


async def test_a_crash_between_the_file_and_the_note_of_it_is_harmless(it: Mirrored, caller: Caller) -> None:
    agent = await it.server.agent(caller)
    async with it.server.database.worker() as worker:
        orders = await worker.claim_deliveries(timedelta(seconds=30), 50, [KIND])
    await it.mirror.deliver(orders)  # and the process is killed here
    await it.change(caller, agent, traits={"empathy": 90})
    await it.deliver()
    assert await it.equals_the_rows()
    assert len(await it.waiting()) == 1  # somebody may still be at it
    await it.owner.execute("UPDATE outbox SET leased_until = now() - interval '1 s'")
    await it.deliver()
    assert await it.equals_the_rows()
    assert await it.waiting() == []


async def test_two_relays_share_the_work(it: Mirrored, caller: Caller, database: Database) -> None:
    other = mirrored(database, it.folder, it.owner)
    agents = [await it.server.agent(caller) for _ in range(6)]
    for value in range(4):
        changes = (it.change(caller, agent, traits={"empathy": value}) for agent in agents)
        await asyncio.gather(*changes, it.relay.step(), other.relay.step())
    await asyncio.gather(it.relay.drain(10), other.relay.drain(10))
    await it.deliver()
    assert await it.equals_the_rows()
    assert await it.waiting() == []


class Slow:
    """`ContractFiles` that hold every write until they are told to go on."""

    def __init__(self, files: ContractFiles) -> None:
        self.writing = threading.Event()
        self.go = threading.Event()
        self._files = files

    def write(self, agent_id: UUID, files: Mapping[str, bytes]) -> bool:
        self.writing.set()
        assert self.go.wait(5)
        return self._files.write(agent_id, files)

    def remove(self, agent_id: UUID) -> None:
        self._files.remove(agent_id)

    def agents(self) -> list[UUID]:
        return self._files.agents()

    def sweep(self) -> None:
        self._files.sweep()


@pytest.mark.parametrize("how", ["delivery", "reconcile"])
async def test_who_was_overtaken_writes_again(how: str, it: Mirrored, caller: Caller, database: Database) -> None:
    """A process read the contract, slept, and wrote it over a newer one."""
    agent = await it.server.agent(caller)
    slow = Slow(DiskContractFiles(it.folder))
    late = ContractMirror(database, slow)
    late_relay = OutboxRelay(database, {KIND: late.deliver}, Metrics())
    writing = asyncio.create_task(late_relay.step() if how == "delivery" else late.reconcile())
    await asyncio.to_thread(slow.writing.wait, 5)
    await it.change(caller, agent, traits={"empathy": 90})
    await it.deliver()
    if how == "delivery":
        assert await it.equals_the_rows()
    slow.go.set()
    await writing
    if how == "delivery":  # at once, and not as a failure that has to wait
        assert await it.equals_the_rows()
        assert await it.waiting() == []
    await it.deliver()
    assert await it.equals_the_rows()


# --- reconcile ---


async def test_reconcile_mends_what_somebody_touched(it: Mirrored, caller: Caller) -> None:
    agents = [await it.server.agent(caller) for _ in range(4)]
    await it.deliver()
    edited, emptied, removed, _ = (it.folder / str(agent) for agent in agents)
    (edited / CONTRACT_FILE).write_text("{}", "utf-8")
    (emptied / ATTRIBUTES_FILE).unlink()
    for path in removed.iterdir():
        path.unlink()
    removed.rmdir()
    unknown = it.folder / str(uuid4())
    unknown.mkdir()
    (unknown / CONTRACT_FILE).write_text("{}", "utf-8")
    assert await it.mirror.reconcile() == 4
    assert await it.equals_the_rows()
    assert await it.mirror.reconcile() == 0


async def test_reconcile_sweeps_what_a_killed_process_left(it: Mirrored, caller: Caller) -> None:
    folder = it.folder / str(await it.server.agent(caller))
    await it.deliver()
    (folder / f".{CONTRACT_FILE}.999999999.0.tmp").write_text("half", "utf-8")
    (folder / f".{CONTRACT_FILE}.tmp").write_text("half", "utf-8")
    await it.mirror.reconcile()
    assert await it.equals_the_rows()


async def test_reconcile_leaves_what_is_not_ours(it: Mirrored, caller: Caller) -> None:
    await it.server.agent(caller)
    (it.folder / "templates").mkdir()
    (it.folder / "notes.md").write_text("mine", "utf-8")
    assert await it.mirror.reconcile() == 1
    assert (it.folder / "templates").is_dir()
    assert (it.folder / "notes.md").read_text("utf-8") == "mine"


async def test_reconcile_does_not_remove_an_agent_that_is_made_meanwhile(
    it: Mirrored, caller: Caller, database: Database
) -> None:
    class MakesOneMeanwhile(FullDisk):
        """Lists the folders; before anything else happens, another process makes an agent and mirrors it."""

        def agents(self) -> list[UUID]:
            asyncio.run_coroutine_threadsafe(made(), loop).result(5)
            return super().agents()

    async def made() -> None:
        if not await it.owner.fetchval("SELECT count(*) FROM agents"):
            await it.server.agent(caller)
            await it.deliver()

    loop = asyncio.get_running_loop()
    await ContractMirror(database, MakesOneMeanwhile(DiskContractFiles(it.folder))).reconcile()
    assert await it.owner.fetchval("SELECT count(*) FROM agents") == 1
    assert await it.equals_the_rows()


async def test_reconcile_goes_on_behind_what_fails(it: Mirrored, caller: Caller) -> None:
    agents = sorted([await it.server.agent(caller) for _ in range(5)])
    blocked = it.folder / str(agents[0])
    blocked.write_text("a file where a folder belongs", "utf-8")
    assert await it.mirror.reconcile() == 4
    blocked.unlink()
    assert await it.mirror.reconcile() == 1
    assert await it.equals_the_rows()
