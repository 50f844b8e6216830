"""The files of agents against their rows, byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from uuid import UUID

from backend.models.agent import AgentContract
from backend.services.contract_mirror import files_of
from backend.stores.database import Database


async def differing_agents(database: Database, folder: Path, tenant_id: UUID, agent_ids: Iterable[UUID]) -> list[UUID]:
    """Those whose folder below `folder` does not hold exactly what their row says.

    Of agents without a row, those that still have a folder.
    """
    wanted = list(agent_ids)
    async with database.worker() as worker:
        rows = await worker.contracts([(tenant_id, one) for one in wanted])
    contents = {
        one: files_of(AgentContract.model_validate_json(rows[one].contract_json)) if one in rows else {}
        for one in wanted
    }
    return await asyncio.to_thread(_differing, folder, contents)


def _differing(folder: Path, contents: Mapping[UUID, Mapping[str, bytes]]) -> list[UUID]:
    return [agent_id for agent_id, content in contents.items() if _held(folder / str(agent_id)) != content]


def _held(folder: Path) -> dict[str, bytes]:
    try:
        return {one.name: one.read_bytes() for one in folder.iterdir() if not one.name.startswith(".")}
    except FileNotFoundError:  # no folder, or a file that is being replaced at this moment
        return {}
