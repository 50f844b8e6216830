"""Bring the search index to what the rows say now, and let new knowledge take the place of old on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from uuid import UUID

from backend.errors import EmbedderUnavailable, IndexMissing, IndexUnavailable
from backend.ports import Embedder, IndexPoint, IndexQuery, MemoryIndex, Vector
from backend.services.memory.context_vectors import contexts, in_context, spoken
from backend.services.memory.updates import Statement, may_supersede, probes, revises, supersedes
from backend.stores.database import Database
from backend.stores.memory_rows import IndexRow
from backend.stores.worker import Delivery
from backend.telemetry import Metrics, get_logger

KIND = "memory.index"
_NEAR = 24
"""How many memories near a new one are looked at, whether it takes their place."""
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Told:
    """What is to be indexed: the changed rows, those that they have a part in or have a part of, and what gave way to
    any of them.
    """

    rows: Sequence[IndexRow]
    around: Sequence[IndexRow]
    replaced: Mapping[UUID, Sequence[IndexRow]]


class MemoryIndexing:
    """Delivers orders of kind "memory.index": the row is read as it is now, so late and repeated orders are harmless.

    `on_missing` is called when the index has lost its collection.
    """

    def __init__(
        self,
        database: Database,
        index: MemoryIndex,
        embedder: Embedder,
        metrics: Metrics,
        on_missing: Callable[[], Awaitable[object]],
    ) -> None:
        self._database = database
        self._index = index
        self._embedder = embedder
        self._metrics = metrics
        self._on_missing = on_missing

    async def deliver(self, deliveries: Sequence[Delivery]) -> Mapping[int, str]:
        """Index or take out the memories of these orders; those that failed, each with the reason."""
        failures: dict[int, str] = {}
        by_tenant = sorted(deliveries, key=lambda one: one.tenant_id.int)
        for tenant_id, orders in groupby(by_tenant, key=lambda one: one.tenant_id):
            some = list(orders)
            try:
                await self._deliver(tenant_id, list(dict.fromkeys(one.subject_id for one in some)))
            except IndexMissing as error:
                failures.update({one.id: error.detail for one in some})
                await self._restore()
            except (IndexUnavailable, EmbedderUnavailable) as error:
                failures.update({one.id: error.detail for one in some})
        return failures

    async def _restore(self) -> None:
        try:
            await self._on_missing()
        except IndexUnavailable:
            _log.warning("the index is away again")

    async def _deliver(self, tenant_id: UUID, ids: Sequence[UUID]) -> None:
        told = await self._read(tenant_id, ids)
        there = {row.id for row in told.rows}
        if gone := [one for one in ids if one not in there]:
            await self._index.remove(gone)
        if not told.rows:
            return
        own = await self._put(told)
        if winners := await self._settle(tenant_id, told.rows, own):
            await self._put(await self._read(tenant_id, winners))
        # After all else: a memory that is marked may be counted on.
        async with self._database.tenant(tenant_id) as tx:
            await tx.memories.mark_indexed([(row.id, row.revision) for row in told.rows])
            still = {row.id for row in await tx.memories.to_index(list(there))}
        if (
            forgotten := there - still
        ):  # erased while we put it there: whoever cleared the index may have been before us
            await self._index.remove(list(forgotten))

    async def _read(self, tenant_id: UUID, ids: Sequence[UUID]) -> _Told:
        async with self._database.tenant(tenant_id) as tx:
            rows = await tx.memories.to_index(ids)
            near = await tx.memories.around([row.id for row in rows if row.position is not None])
            # Two steps to each side: a vector has a part in those of the next two.
            further = await tx.memories.around([row.id for row in [*rows, *near]]) if near else []
            around = [*near, *further]
            replaced = await tx.memories.replaced_by([row.id for row in [*rows, *around]])
        return _Told(rows, around, replaced)

    async def _put(self, told: _Told) -> Mapping[UUID, Vector]:
        """Put every row whose vector may be another now; the vectors of the rows' own words, without context."""
        by_id = {row.id: row for row in [*told.rows, *told.around]}
        before = contexts(list(by_id.values()))
        changed = {row.id for row in told.rows}
        targets = [row for row in by_id.values() if row.id in changed or not changed.isdisjoint(before[row.id])]
        replaced = {row.id: told.replaced.get(row.id, ()) for row in targets}
        by_id |= {one.id: one for ones in replaced.values() for one in ones}
        needed = {one for row in targets for one in (row.id, *before[row.id], *(old.id for old in replaced[row.id]))}
        vectors = await self._embedder.embed([spoken(by_id[one]) for one in needed])
        own = dict(zip(needed, vectors, strict=True))
        points = [
            IndexPoint(
                id=row.id,
                namespace=row.namespace,
                vector=in_context(
                    own[row.id], [own[one] for one in before[row.id]], [own[old.id] for old in replaced[row.id]]
                ),
                words=" ".join(spoken(one) for one in (row, *replaced[row.id])),
                said_at=row.valid_from,
            )
            for row in targets
        ]
        await self._index.put(points)
        return own

    # --- new knowledge and old ---

    async def _settle(self, tenant_id: UUID, rows: Sequence[IndexRow], own: Mapping[UUID, Vector]) -> list[UUID]:
        """Let what is new take the place of what it contradicts, whichever is indexed first; what took a place."""
        # What was said in a thread stays what was said there.
        telling = [row for row in rows if row.scope != "thread" and not row.superseded]
        telling = [row for row in telling if may_supersede(_statement(row))]
        near = await asyncio.gather(*(self._near(row, own[row.id]) for row in telling))
        if not any(near):
            return []
        winners: dict[UUID, None] = {}
        async with self._database.tenant(tenant_id) as tx:
            others = {row.id: row for row in await tx.memories.to_index(list({one for found in near for one in found}))}
            for row, found in zip(telling, near, strict=True):
                current = [others[one] for one in found if one in others and not others[one].superseded]
                for old, new, wholly in _outdated(row, current, found):
                    if not wholly:
                        changed = await tx.memories.revise(old.id, new.id)
                    elif changed := await tx.memories.supersede(old.id, new.id):
                        self._metrics.memory_superseded_total.inc()
                    if changed:
                        winners[new.id] = None
        return list(winners)

    async def _near(self, row: IndexRow, vector: Vector) -> Mapping[UUID, float]:
        """Memories of the same namespace that may be about the same, each with its likeness to this one."""
        asked = probes(_statement(row))
        likely = list(await self._embedder.embed(asked)) if asked else []
        found: dict[UUID, float] = {}
        for text, near in zip([spoken(row), *asked], [vector, *likely], strict=True):
            query = IndexQuery([row.namespace], near, text, _NEAR, with_vectors=False)
            for hit in await self._index.search(query):
                # What only a probe finds is not like the row itself: there the words alone decide.
                found.setdefault(hit.id, hit.likeness if near is vector else 0.0)
        found.pop(row.id, None)
        return found


def _outdated(
    row: IndexRow, others: Sequence[IndexRow], likeness: Mapping[UUID, float]
) -> list[tuple[IndexRow, IndexRow, bool]]:
    """(old, new, wholly) of what the row takes the place of, or of a part of it, and of what takes the row's."""
    found: list[tuple[IndexRow, IndexRow, bool]] = []
    for other in others:
        for old, new in ((other, row), (row, other)):
            if not _gives_way(old, new):
                continue
            later, earlier, alike = _statement(new), _statement(old), likeness[other.id]
            if (wholly := supersedes(later, earlier, alike)) or revises(later, earlier, alike):
                found.append((old, new, wholly))
    return found


def _gives_way(old: IndexRow, new: IndexRow) -> bool:
    """Whether `new` came later, and nobody made `old` current again since: what people decide stands."""
    untouched = old.revision == 1 or old.updated_at < new.created_at
    return untouched and _order(old) < _order(new)


def _order(row: IndexRow) -> tuple[float, float, int]:
    return row.valid_from.timestamp(), row.created_at.timestamp(), row.position or 0


def _statement(row: IndexRow) -> Statement:
    return Statement(row.text, row.speaker, row.valid_from)
