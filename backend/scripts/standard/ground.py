"""What the rules stand on: two tenants made for them, which are gone afterwards, whatever happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from typing import Any, cast
from uuid import UUID, uuid4

from backend.container import SystemClock
from backend.models.tenant import ApiKeyCreate, Caller, Role
from backend.scripts.standard.door import Body, Door
from backend.scripts.standard.mirror_comparison import differing_agents
from backend.services.access_service import AccessService
from backend.settings import Settings
from backend.stores.database import Database

MIRROR_SECONDS = 10.0
_KEY_LIVES = timedelta(hours=1)
_PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class ScratchTenant:
    """A tenant with one person in it, an owner, and the key and door of that person."""

    tenant_id: UUID
    user_id: UUID
    key: str
    key_id: UUID
    door: Door


@dataclass(frozen=True, slots=True)
class Ground:
    """A running deployment, and two tenants in it who know nothing of each other.

    `patience` is how many seconds the mirror may take.
    """

    settings: Settings
    database: Database
    url: str
    home: ScratchTenant
    stranger: ScratchTenant
    patience: float = MIRROR_SECONDS

    @property
    def door(self) -> Door:
        """The API as the first tenant's owner."""
        return self.home.door

    async def mirrored(self, agent_ids: Iterable[UUID]) -> bool:
        """Wait until the folder of each of these agents holds what its row says; False when that does not come."""
        wanted = list(agent_ids)

        async def equal() -> bool:
            folder = self.settings.prompts_dir
            return not await differing_agents(self.database, folder, self.home.tenant_id, wanted)

        return await until(equal, self.patience)


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = MIRROR_SECONDS) -> bool:
    """Ask again and again until it holds; False when the time is over."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not await holds():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(_PAUSE)
    return True


def contract(name: str = "Scratch agent", **parts: Any) -> Body:
    """A contract as it is sent to the API, answered by the offline provider: a proof costs no tokens."""
    configuration = {"llm_provider": "offline", **parts.pop("configuration", {})}
    identity = {"short_description": "An agent for a test of this deployment", **parts.pop("identity", {})}
    return {"name": name, "identity": identity, "configuration": configuration, **parts}


def complete_contract() -> Body:
    """A contract with every section and every kind of item in it."""
    text = (files("backend.scripts.standard") / "complete_contract.json").read_text("utf-8")
    return cast("Body", json.loads(text))


@asynccontextmanager
async def scratch_tenant(database: Database, url: str) -> AsyncGenerator[ScratchTenant]:
    """A tenant for as long as it is needed. Its key dies within the hour even if we are killed."""
    clock = SystemClock()
    owner = Caller(uuid4(), uuid4(), Role.OWNER, frozenset({"act_as"}))
    async with database.tenant(owner.tenant_id) as tx:
        await tx.users.insert_tenant("Scratch tenant of numen doctor", f"doctor-{owner.tenant_id.hex}")
        await tx.users.insert(owner.user_id, None, "numen doctor")
    try:
        access = AccessService(database, mode="keys", clock=clock)
        wanted = ApiKeyCreate(name="numen doctor", role="owner", scopes=["act_as"], expires_at=clock.now() + _KEY_LIVES)
        made = await access.create_key(owner, wanted)
        async with Door(url, made.key) as door:
            yield ScratchTenant(owner.tenant_id, owner.user_id, made.key, made.id, door)
    finally:
        async with database.tenant(owner.tenant_id) as tx:
            await tx.users.delete_tenant()
