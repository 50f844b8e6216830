"""The search index is derived: made anew from the rows when it is lost, and cleared of what they no longer have."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from backend.errors import IndexUnavailable
from backend.ports import MemoryIndex
from backend.services.memory.indexing import KIND
from backend.stores.database import Database
from backend.telemetry import get_logger

_SWEEP_SECONDS = 24 * 3600.0
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep removed: points without a memory, and collections of other embedders."""

    orphans: int
    collections: int


class Reindex:
    """Watches over the index. `orders` wakes whoever delivers to it.

    `away` is why it could not be reached when it was last looked for: "" when it was, None before that.
    """

    def __init__(self, database: Database, index: MemoryIndex, orders: Callable[[], None]) -> None:
        self._database = database
        self._index = index
        self._orders = orders
        self._swept: float | None = None
        self.away: str | None = None

    async def watch(self) -> None:
        """Make the index where it is missing and order what belongs in it; when all of it is there, sweep it, once a
        day.

        To be called now and then. Errors: `IndexUnavailable`, `DatabaseUnavailable`.
        """
        was_away = self.away != ""
        await self.prepare()
        async with self._database.worker() as worker:
            if was_away:
                await worker.hasten([KIND])
            waiting = (await worker.waiting([KIND])).pending
        if waiting:
            self._orders()
        elif self._swept is None or time.monotonic() - self._swept > _SWEEP_SECONDS:
            await self.sweep()

    async def prepare(self) -> int:
        """Make the index where it is missing, and order everything then; how many memories were ordered.

        Errors: `IndexUnavailable`, `DatabaseUnavailable`.
        """
        try:
            made = await self._index.prepare()
        except IndexUnavailable as error:
            if not self.away:
                _log.warning("the search index is away", reason=error.detail)
            self.away = error.detail
            raise
        ordered = await self.everything() if made else 0
        if made and ordered:
            _log.warning("the search index was empty and is made anew", memories=ordered)
        self.away = ""
        return ordered

    async def everything(self) -> int:
        """Order every memory of every tenant to be indexed anew; how many orders that makes. Twice is harmless.

        Errors: `DatabaseUnavailable`.
        """
        async with self._database.worker() as worker:
            ordered = await worker.schedule_reindex()
        self._swept = None
        self._orders()
        return ordered

    async def sweep(self) -> Swept:
        """Take out points whose memories are gone, and collections of other embedders.

        Errors: `IndexUnavailable`, `DatabaseUnavailable`.
        """
        orphans = 0
        async for ids in self._index.ids():
            async with self._database.worker() as worker:
                known = await worker.known_memories(ids)
            if unknown := [one for one in ids if one not in known]:
                await self._index.remove(unknown)
                orphans += len(unknown)
        swept = Swept(orphans, await self._index.drop_others())
        self._swept = time.monotonic()
        if swept.orphans or swept.collections:
            _log.info("the search index was swept", orphans=swept.orphans, collections=swept.collections)
        return swept
