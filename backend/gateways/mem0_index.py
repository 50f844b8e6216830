"""The search index over memories: Mem0's Qdrant store, on the engine inside this process or on a server."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import numpy as np
from qdrant_client import QdrantClient, models

from backend.errors import IndexMissing, IndexUnavailable
from backend.gateways.qdrant_server import as_index_errors
from backend.models.namespace import Namespace
from backend.ports import Embedder, IndexHit, IndexPoint, IndexQuery, Vector
from backend.telemetry import Metrics, get_logger

if TYPE_CHECKING:
    from backend.gateways.mem0_parts import Candidate, WordlessQdrant

T = TypeVar("T")

PREFIX = "numen_memories_"
_PAGE = 1000
_log = get_logger("numen.index")


class Mem0Index:
    """A `MemoryIndex` over a client of Qdrant, which is made at the first use and closed with the index.

    Every call is made in one of the index's own threads: searches never wait behind writes, of which there is one at
    a time. Who waits no longer than it wants to cancels; what was begun is then finished unheard. Errors: those of the
    port, and what making the client raises (`Misconfigured`).
    """

    def __init__(
        self, open_client: Callable[[], QdrantClient], embedder: Embedder, metrics: Metrics, *, readers: int = 4
    ) -> None:
        self.collection = collection_name(embedder.name, embedder.dimensions)
        self._dimensions = embedder.dimensions
        self._open_client = open_client
        self._foreign_hits = metrics.memory_foreign_hits_total
        self._readers = ThreadPoolExecutor(readers, "index-reader")
        self._writer = ThreadPoolExecutor(1, "index-writer")
        self._opening = threading.Lock()
        self._store: WordlessQdrant | None = None
        self._closed = False

    async def prepare(self) -> bool:
        """Make the collection of the present embedder where it is missing; True when it was made, and is empty."""
        try:
            return await self._write(lambda store: store.make())
        except IndexMissing as error:  # nothing was asked for that could be missing
            raise IndexUnavailable("What QDRANT_URL names does not answer as Qdrant does") from error

    async def search(self, query: IndexQuery) -> Sequence[IndexHit]:
        """Candidates, in no order: see `IndexQuery` and `IndexHit`."""
        wanted = {str(namespace): namespace for namespace in query.namespaces}
        if not wanted or query.limit < 1:
            return []
        _fit(query.vector, self._dimensions)
        found = await self._read(
            lambda store: store.candidates(
                list(wanted),
                query.vector,
                query.words,
                query.limit,
                query.said_between,
                with_vectors=query.with_vectors,
            )
        )
        return self._own(found, wanted)

    async def vectors(self, ids: Sequence[UUID]) -> Mapping[UUID, Vector]:
        """The stored vectors of those that are there."""
        from backend.gateways.mem0_parts import as_uuid, dense  # noqa: PLC0415 — Mem0 takes a second

        found: dict[UUID, Vector] = {}
        for page in _pages([str(one) for one in ids]):
            records = await self._read(
                lambda store, page=page: store.client.retrieve(
                    store.collection, page, with_payload=False, with_vectors=[""]
                )
            )
            found |= {as_uuid(one.id): dense(one.vector) for one in records}
        return found

    async def put(self, points: Sequence[IndexPoint]) -> None:
        """Insert or replace; what is acknowledged is searchable, and on disk where the engine is ours."""
        from backend.gateways.mem0_parts import WORDS  # noqa: PLC0415 — Mem0 takes a second

        for point in points:
            _fit(point.vector, self._dimensions)
        payloads = [
            {"user_id": str(one.namespace), "said_at": one.said_at.isoformat(), WORDS: one.words} for one in points
        ]
        vectors: list[list[float]] = [one.vector.tolist() for one in points]
        ids = [str(one.id) for one in points]
        if points:
            await self._write(lambda store: store.insert(vectors, payloads, ids))

    async def remove(self, ids: Sequence[UUID]) -> None:
        """Take these out, of this and every older collection of ours; ids that are not there are fine."""
        for page in _pages([str(one) for one in ids]):
            await self._write(partial(_delete, models.PointIdsList(points=list(page))))

    async def remove_namespace(self, namespace: Namespace) -> None:
        """Take out everything of one namespace, from this and every older collection of ours."""
        await self._write(lambda store: _delete(models.FilterSelector(filter=store.inside([str(namespace)])), store))

    async def count(self, namespace: Namespace | None = None) -> int:
        """How many points there are (of one namespace)."""

        def count(store: WordlessQdrant) -> int:
            within = None if namespace is None else store.inside([str(namespace)])
            return store.client.count(store.collection, within, exact=True).count

        return await self._read(count)

    async def ids(self) -> AsyncGenerator[Sequence[UUID]]:
        """Every id, in pages."""
        following: Any = None
        while True:
            records, following = await self._read(
                lambda store, offset=following: store.client.scroll(
                    store.collection, limit=_PAGE, offset=offset, with_payload=False, with_vectors=False
                )
            )
            yield [UUID(str(one.id)) for one in records]
            if following is None:
                return

    async def drop_others(self) -> int:
        """Remove collections made for other embedders; how many there were."""

        def drop(store: WordlessQdrant) -> int:
            others = [name for name in _ours(store.client) if name != store.collection]
            return sum(store.client.delete_collection(name) for name in others)

        return await self._write(drop)

    async def compact(self) -> None:
        """Leave nothing of what was removed in the engine's files, in seconds; a server sees to its own files."""

        def compact(store: WordlessQdrant) -> None:
            rewrite: Callable[[], None] | None = getattr(store.client, "compact", None)
            if rewrite is not None:
                rewrite()

        await self._write(compact)

    async def close(self) -> None:
        """Let running calls end, then give back the client."""
        self._closed = True
        await asyncio.to_thread(self._shut)

    def _shut(self) -> None:
        self._readers.shutdown()
        self._writer.shutdown()
        store, self._store = self._store, None
        if store is not None:
            with as_index_errors():
                store.client.close()

    # --- in the threads

    async def _read(self, ask: Callable[[WordlessQdrant], T]) -> T:
        return await self._run(self._readers, ask)

    async def _write(self, do: Callable[[WordlessQdrant], T]) -> T:
        return await self._run(self._writer, do)

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[WordlessQdrant], T]) -> T:
        if self._closed:
            raise IndexUnavailable("The search index of memories is closed")
        return await asyncio.get_running_loop().run_in_executor(threads, self._call, work)

    def _call(self, work: Callable[[WordlessQdrant], T]) -> T:
        with as_index_errors():
            return work(self._opened())

    def _opened(self) -> WordlessQdrant:
        if self._store is None:
            with self._opening:
                if self._store is None:
                    from backend.gateways.mem0_parts import WordlessQdrant  # noqa: PLC0415 — Mem0 takes a second

                    self._store = WordlessQdrant(self._open_client(), self.collection, self._dimensions)
        return self._store

    def _own(self, found: Sequence[Candidate], wanted: Mapping[str, Namespace]) -> list[IndexHit]:
        hits: list[IndexHit] = []
        for one in found:
            namespace = wanted.get(one.namespace)
            if namespace is None:
                self._foreign_hits.inc()
                _log.error("the index answered with a point of another namespace", point=str(one.id))
                continue
            hits.append(IndexHit(one.id, namespace, one.likeness, one.word_score, one.vector))
        return hits


def collection_name(embedder: str, dimensions: int) -> str:
    """The collection of an embedder: vectors of two models, or of two sizes, are never in one."""
    return f"{PREFIX}{re.sub(r'[^a-z0-9_-]+', '-', embedder.lower())}_{dimensions}"


def _delete(chosen: models.PointIdsList | models.FilterSelector, store: WordlessQdrant) -> None:
    for name in dict.fromkeys([store.collection, *_ours(store.client)]):
        store.client.delete(name, chosen)


def _ours(client: QdrantClient) -> list[str]:
    return [one.name for one in client.get_collections().collections if one.name.startswith(PREFIX)]


def _fit(vector: Vector, dimensions: int) -> None:
    if vector.shape != (dimensions,) or not np.isfinite(vector).all():
        raise ValueError(f"a vector of {dimensions} finite numbers was expected, not one of shape {vector.shape}")


def _pages(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[start : start + _PAGE] for start in range(0, len(ids), _PAGE))
