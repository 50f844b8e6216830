"""Memory as a server has it, for a benchmark: database and index in a folder of its own, and a clock to set."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TypeVar
from uuid import UUID, uuid4

from backend.container import open_agents, open_database, system_caller
from backend.container.memory import open_memory
from backend.models.agent_requests import AgentCreateRequest
from backend.models.memory import NewMemory
from backend.models.memory_settings import MemorySettings
from backend.models.tenant import DEFAULT_TENANT_ID
from backend.ports import Embedder
from backend.scripts.seed_data import seed
from backend.services.memory.engine import MemoryEngine
from backend.services.outbox_relay import OutboxRelay
from backend.services.unified_memory_manager import UnifiedMemoryManager
from backend.settings import Settings
from backend.stores.database import Database
from backend.telemetry import Metrics

Result = TypeVar("Result")
_LONGEST_SECONDS = 3600.0


class SettableClock:
    """A clock that shows what it is told; the machine's time until then."""

    def __init__(self) -> None:
        self.shows: datetime | None = None

    def now(self) -> datetime:
        """The moment it shows, UTC."""
        return self.shows or datetime.now(UTC)


class MemoryHouse:
    """One agent's memory. Its event loop runs in a thread of its own, so that plain functions can call it.

    `embedder`: another than the default of a new installation.
    """

    def __init__(self, embedder: Embedder | None = None) -> None:
        self.clock = SettableClock()
        self.engine: MemoryEngine
        self.agent_id: UUID
        self._database: Database
        self._relay: OutboxRelay
        self._stack = AsyncExitStack()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="memory house", daemon=True)
        self._thread.start()
        self.run(self._open(embedder))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, work: Coroutine[None, None, Result]) -> Result:
        """What this coroutine gives, from any thread but the house's own."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Stop everything and remove the folder; a second time it does nothing."""
        if self._loop.is_closed():
            return
        self.run(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def close_at_exit(self) -> None:
        """Close when the process ends, for callers that never say when they are done."""
        # atexit comes too late: by then no executor takes work, and closing needs some.
        threading._register_atexit(self.close)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]

    def manager(self, settings: MemorySettings | None = None, memory_k: int = 6) -> UnifiedMemoryManager:
        """The agent's memory under these settings (the contract's defaults)."""
        return UnifiedMemoryManager(
            DEFAULT_TENANT_ID, self.agent_id, settings or MemorySettings(), self.engine, memory_k
        )

    async def person(self) -> UUID:
        """Somebody new."""
        user_id = uuid4()
        async with self._database.tenant(DEFAULT_TENANT_ID) as tx:
            await tx.users.insert(user_id, None, "Somebody")
        return user_id

    async def remember(self, memories: Sequence[NewMemory]) -> list[UUID]:
        """Keep these and wait until all of them can be found; the ids that are new."""
        kept = await self.manager().remember(memories)
        await self._relay.drain(_LONGEST_SECONDS)
        return kept

    async def _open(self, embedder: Embedder | None) -> None:
        folder = await asyncio.to_thread(_folder)
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        # Validated, not made: what this machine's environment says plays no part.
        settings = Settings.model_validate(
            {"data_dir": folder / "data", "prompts_dir": folder / "prompts", "llm_provider": "offline"}
        )
        metrics = Metrics()
        self._database = await self._stack.enter_async_context(open_database(settings))
        memory = await self._stack.enter_async_context(
            open_memory(settings, self._database, self.clock, metrics, embedder)
        )
        self.engine, self._relay = memory.engine, memory.relay
        await memory.reindex.prepare()
        await seed(self._database)
        async with open_agents(settings, self._database) as agents:
            request = AgentCreateRequest.model_validate(
                {"name": "Benchmark", "identity": {"short_description": "An agent that is asked what it knows"}}
            )
            self.agent_id = (await agents.create(system_caller(), request)).id


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="numen-bench-"))
    folder.chmod(0o755)  # PostgreSQL may run under an account of its own
    return folder
