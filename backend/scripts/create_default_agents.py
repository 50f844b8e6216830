"""Make the default agents, or with --update bring them to the shipped contracts as a new version.

    python -m backend.scripts.create_default_agents [--update]

An agent is known by its name in the default tenant; running it again changes nothing.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import typer

from backend.container import open_agents, open_database, system_caller
from backend.models.agent_requests import AgentCreateRequest, AgentUpdateRequest
from backend.scripts.default_agents import load_default_agents
from backend.scripts.seed_data import seed
from backend.services.agent_service import AgentService
from backend.settings import Settings

Outcome = Literal["made", "updated", "there already"]


async def create_default_agents(agents: AgentService, *, update: bool = False) -> dict[str, Outcome]:
    """What became of each shipped contract, by its agent's name."""
    return {one.name: await _create(agents, one, update=update) for one in load_default_agents().values()}


async def _create(agents: AgentService, shipped: AgentCreateRequest, *, update: bool) -> Outcome:
    caller = system_caller()
    known = await agents.named(caller, shipped.name)
    if known is None:
        await agents.create(caller, shipped)
        return "made"
    if not update:
        return "there already"
    parts = {name: value for name, value in shipped.model_dump().items() if name not in ("name", "type")}
    now = await agents.update(caller, known.id, AgentUpdateRequest.model_validate(parts))
    return "there already" if now.version == known.version else "updated"


async def seed_all(settings: Settings, *, update: bool = False) -> dict[str, Outcome]:
    """The default tenant, its admin and the default agents; a server may run meanwhile."""
    async with open_database(settings) as database:
        await seed(database)
        async with open_agents(settings, database) as agents:
            return await create_default_agents(agents, update=update)


def main(update: Annotated[bool, typer.Option(help="Bring them to the shipped contracts.")] = False) -> None:
    """Make the default agents in the database of the settings."""
    for name, outcome in asyncio.run(seed_all(Settings(), update=update)).items():
        typer.echo(f"{name}: {outcome}")


if __name__ == "__main__":
    typer.run(main)
