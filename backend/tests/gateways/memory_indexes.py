"""Indexes over memories for tests: the same one over the engine in this process, and over the wire."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from backend.embedded.qdrant import EdgeQdrantClient
from backend.gateways.mem0_index import Mem0Index
from backend.gateways.qdrant_server import qdrant_server
from backend.models.namespace import Namespace
from backend.ports import Embedder, IndexHit, IndexPoint, IndexQuery
from backend.telemetry import Metrics
from backend.tests.fakes import HashEmbedder
from backend.tests.protocol_servers.qdrant_server import QdrantServer

API_KEY = "qdrant-canary-4711"
START = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class House:
    """An index and what it stands on; `server` is set when it is over the wire."""

    index: Mem0Index
    embedder: HashEmbedder
    metrics: Metrics
    folder: Path
    server: QdrantServer | None = None

    def another(self, embedder: Embedder) -> Mem0Index:
        """An index of another embedder over the same server; close it."""
        assert self.server is not None
        return Mem0Index(qdrant_server(self.server.url, API_KEY), embedder, self.metrics)

    async def points(
        self, namespace: Namespace, *texts: str, said_at: datetime = START, ids: Sequence[UUID] | None = None
    ) -> list[IndexPoint]:
        """Texts as points, one a day from `said_at` on."""
        vectors = await self.embedder.embed(texts)
        numbers = list(ids or (uuid4() for _ in texts))
        return [
            IndexPoint(number, namespace, vector, text, said_at + timedelta(days=day))
            for day, (number, vector, text) in enumerate(zip(numbers, vectors, texts, strict=True))
        ]

    async def keep(
        self, namespace: Namespace, *texts: str, said_at: datetime = START, ids: Sequence[UUID] | None = None
    ) -> list[UUID]:
        """Put texts; their ids."""
        points = await self.points(namespace, *texts, said_at=said_at, ids=ids)
        await self.index.put(points)
        return [point.id for point in points]

    async def find(
        self,
        words: str,
        *namespaces: Namespace,
        limit: int = 10,
        said_between: tuple[datetime, datetime] | None = None,
    ) -> dict[UUID, IndexHit]:
        """What a search finds, by id."""
        [vector] = await self.embedder.embed([words])
        hits = await self.index.search(IndexQuery(namespaces, vector, words, limit, said_between))
        assert len({hit.id for hit in hits}) == len(hits)
        return {hit.id: hit for hit in hits}


def namespace(tenant: int = 1, agent: int = 1, user: int | None = 1) -> Namespace:
    """Somebody's, by small numbers; the agent's own without a user."""
    ids = (UUID(int=tenant), UUID(int=1000 + agent))
    return Namespace(*ids) if user is None else Namespace(*ids, "user", UUID(int=2000 + user))


@asynccontextmanager
async def embedded_house(folder: Path) -> AsyncGenerator[House]:
    """An index over the engine in this process, prepared."""
    embedder, metrics = HashEmbedder(), Metrics()
    index = Mem0Index(lambda: EdgeQdrantClient(folder), embedder, metrics)
    try:
        assert await index.prepare()
        yield House(index, embedder, metrics, folder)
    finally:
        await index.close()


@asynccontextmanager
async def house_over_the_wire(folder: Path, seconds: int = 5) -> AsyncGenerator[House]:
    """An index over a server that asks for a key, prepared."""
    embedder, metrics = HashEmbedder(), Metrics()
    with QdrantServer(folder, API_KEY) as server:
        index = Mem0Index(qdrant_server(server.url, API_KEY, seconds), embedder, metrics)
        try:
            assert await index.prepare()
            yield House(index, embedder, metrics, folder, server)
        finally:
            await index.close()
