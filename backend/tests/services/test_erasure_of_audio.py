"""What was spoken for a person goes with them, and the certificate says how much that was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from backend.gateways.audio_files import DiskAudioFiles
from backend.models.erasure import Erasure
from backend.ports.audio_files import AudioKey
from backend.services.erasure_job import OTHER_SERVERS
from backend.stores.agents import Author
from backend.stores.database import Database
from backend.tests.factories import TenantFactory
from backend.tests.fake_speech import Studio
from backend.tests.models.contracts import contract
from backend.tests.services.erasing import House

if TYPE_CHECKING:
    from asyncpg import Connection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audio"


@pytest.fixture
async def house(database: Database, tenant: TenantFactory, owner: Connection, folder: Path) -> House:
    caller = await tenant()
    agent = contract(id=uuid4(), metadata={"tenant_id": caller.tenant_id, "owner_id": caller.user_id})
    async with database.tenant(caller.tenant_id) as tx:
        await tx.agents.insert(agent, "Created", Author(caller.user_id))
    house = House(database, owner, caller, agent.id)
    house.audio = Studio(database, DiskAudioFiles(folder)).recordings
    return house


def put(folder: Path, tenant_id: UUID, session_id: UUID, *digests: str) -> None:
    """Audio of this session."""
    files = DiskAudioFiles(folder)
    for digest in digests:
        writer = files.begin(AudioKey(tenant_id, session_id, digest))
        writer.write(b"spoken words")
        writer.keep()
        writer.discard()


def left(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def session_of(house: House, user_id: UUID) -> UUID:
    """The session that is planted for everybody."""
    return UUID(str(await house.rows.fetchval("SELECT id FROM sessions WHERE user_id = $1", user_id)))


async def counted(house: House, erasure: Erasure) -> tuple[int, int]:
    (audio,) = [one for one in (await house.certificate(erasure)).stores if one.store == "session_audio"]
    return audio.removed, audio.found_after


async def test_the_files_go_with_the_person_and_others_keep_theirs(house: House, folder: Path) -> None:
    planted, other = await house.plant(), await house.plant("Somebody-else")
    tenant_id = house.owner.tenant_id
    put(folder, tenant_id, await session_of(house, planted.user_id), "a" * 64, "b" * 64)
    put(folder, tenant_id, await session_of(house, other.user_id), "a" * 64)
    erasure = await house.service.erase(house.owner, planted.user_id)
    assert await house.deliver() == {}
    assert await counted(house, erasure) == (2, 0)
    (kept,) = left(folder)
    assert kept.parent.name == str(await session_of(house, other.user_id))
    assert OTHER_SERVERS not in (await house.certificate(erasure)).not_verified


async def test_where_there_may_be_other_servers_it_is_said(house: House) -> None:
    house.scrubber = None
    erasure = await house.service.erase(house.owner, (await house.plant()).user_id)
    assert await house.deliver() == {}
    assert OTHER_SERVERS in (await house.certificate(erasure)).not_verified
    assert await counted(house, erasure) == (0, 0)


async def test_a_disk_that_refuses_puts_it_off(house: House, folder: Path) -> None:
    planted = await house.plant()
    session_id = await session_of(house, planted.user_id)
    place = folder / str(house.owner.tenant_id)
    place.mkdir(parents=True)
    (place / str(session_id)).write_text("a file where a folder should be")
    erasure = await house.service.erase(house.owner, planted.user_id)
    (reason,) = (await house.deliver()).values()
    assert "cannot be reached" in reason
    (place / str(session_id)).unlink()
    assert await house.deliver() == {}
    assert await counted(house, erasure) == (0, 0)
