"""The index is made anew from the database, as often as one likes; a server that has it is left to do it."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import uuid4

import pytest

from backend.container import SystemClock, open_memory
from backend.container.memory import index_folder, index_holder
from backend.embedded.data_folder import DataFolderLock
from backend.errors import Misconfigured
from backend.models.memory import NewMemory
from backend.scripts.reindex_memories import reindex_memories, tell_of
from backend.services.memory.indexing import KIND
from backend.settings import Settings
from backend.stores.database import Database
from backend.telemetry import Metrics
from backend.tests.factories import TenantFactory
from backend.tests.fixtures_api import api_settings
from backend.tests.services.memory.remembering import Remembering


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return api_settings(database_url, tmp_path / "prompts")


@pytest.fixture
async def memories(database: Database, tenant: TenantFactory) -> int:
    """How many memories there are."""
    caller = await tenant()
    agent_id = await Remembering(database).agent(caller)
    said = [
        NewMemory(uuid4(), agent_id, "user", caller.user_id, None, "note", f"note {number}", "api")
        for number in range(70)
    ]
    async with database.tenant(caller.tenant_id) as tx:
        return len(await tx.memories.insert(said))


async def test_everything_comes_back_and_once_more_is_the_same(
    settings: Settings, memories: int, database: Database
) -> None:
    heard: list[int] = []
    first = await reindex_memories(settings, heard.append)
    assert (first.points, first.orphans, first.server) == (memories, 0, None)
    assert heard[-1] == 0
    assert sorted(heard, reverse=True) == heard
    assert await reindex_memories(settings) == type(first)(memories, None, memories, 0)
    shutil.rmtree(index_folder(settings))
    again = await reindex_memories(settings)
    assert (again.ordered, again.points) == (memories, memories)
    assert tell_of(again) == f"{memories} memories were indexed anew; the index has {memories}, 0 were taken out."
    async with database.worker() as worker:
        assert (await worker.waiting([KIND])).pending == 0


async def test_points_without_a_memory_and_other_embedders_collections_go(
    settings: Settings, memories: int, database: Database, tenant: TenantFactory
) -> None:
    await reindex_memories(settings)
    caller = await tenant()
    async with database.tenant(caller.tenant_id) as tx:
        await tx.users.delete_tenant()
    minimal = settings.model_copy(update={"embedder": "minilm"})
    done = await reindex_memories(minimal)
    assert done.points == memories
    folders = [one.name for one in index_folder(settings).iterdir() if one.is_dir()]
    assert len(folders) == 1
    assert "minilm" in folders[0]


async def test_a_server_that_has_the_index_does_it(settings: Settings, memories: int, database: Database) -> None:
    with DataFolderLock(index_folder(settings)):
        done = await reindex_memories(settings)
        holder = index_holder(settings)
    assert (done.server, done.points) == (holder, 0)
    assert "the server" in tell_of(done)
    async with database.worker() as worker:
        assert (await worker.waiting([KIND])).pending == memories


async def test_a_second_process_is_told_what_to_do(settings: Settings, database: Database) -> None:
    with DataFolderLock(index_folder(settings)):
        with pytest.raises(Misconfigured, match="set QDRANT_URL"):
            async with open_memory(settings, database, SystemClock(), Metrics()):
                pass
        elsewhere = settings.model_copy(update={"qdrant_url": "http://127.0.0.1:9"})
        assert index_holder(elsewhere) is None
        async with open_memory(elsewhere, database, SystemClock(), Metrics()):
            pass
