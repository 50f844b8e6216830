"""Make the search index of memories anew from the database. Running it again changes nothing.

python -m backend.scripts.reindex_memories
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import typer

from backend.container import SystemClock, open_database
from backend.container.memory import index_holder, open_memory
from backend.errors import IndexUnavailable
from backend.services.memory.indexing import KIND
from backend.settings import Settings
from backend.telemetry import Metrics


@dataclass(frozen=True, slots=True)
class Reindexed:
    """`ordered` memories were to be indexed anew. Where a server has the index (`server`, its pid) it does that now;
    otherwise it is done: the index has so many `points`, and so many `orphans` were taken out of it.
    """

    ordered: int
    server: int | None = None
    points: int = 0
    orphans: int = 0


async def reindex_memories(settings: Settings, tell: Callable[[int], None] = lambda _: None) -> Reindexed:
    """Order every memory to be indexed, and index them here unless a server has the index; `tell` hears how many wait.

    A server on the same Qdrant takes its share. Errors: `Misconfigured`, `DatabaseUnavailable`, `IndexUnavailable`.
    """
    async with open_database(settings) as database:
        server = index_holder(settings)
        if server is not None:
            async with database.worker() as worker:
                ordered = await worker.schedule_reindex()
                await worker.hasten([KIND])
            return Reindexed(ordered, server)
        async with open_memory(settings, database, SystemClock(), Metrics()) as memory:
            ordered = await memory.reindex.prepare() or await memory.reindex.everything()
            async with database.worker() as worker:
                await worker.hasten([KIND])
            while await memory.relay.step():
                tell((await memory.relay.backlog()).pending)
            backlog = await memory.relay.backlog()
            if backlog.pending:
                raise IndexUnavailable(
                    f"{backlog.pending} memories could not be indexed: the log says why. They stay ordered; try again."
                )
            swept = await memory.reindex.sweep()
            return Reindexed(ordered, None, await memory.engine.index.count(), swept.orphans)


def tell_of(done: Reindexed) -> str:
    """What was done, in a sentence."""
    if done.server is not None:
        return f"{done.ordered} memories are to be indexed anew; the server (process {done.server}) does it now."
    return f"{done.ordered} memories were indexed anew; the index has {done.points}, {done.orphans} were taken out."


def main() -> None:
    """Reindex with the settings of the environment."""
    typer.echo(tell_of(asyncio.run(reindex_memories(Settings()))))


if __name__ == "__main__":
    main()
