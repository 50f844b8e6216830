"""How long the index takes, with `python -m backend.tests.gateways.bench_mem0_index POINTS NAMESPACES [LIMIT]`.

Vectors are random, so that what meaning and words find hardly overlaps: more hits are handed over than in real use.
"""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

import numpy as np
import psutil

from backend.embedded.qdrant import EdgeQdrantClient
from backend.gateways.mem0_index import Mem0Index
from backend.models.namespace import Namespace
from backend.ports import IndexPoint, IndexQuery, Vector
from backend.telemetry import Metrics
from backend.tests.fakes import HashEmbedder

SIZE, VOCABULARY, BATCH, SEARCHES = 384, 20_000, 64, 200
START = datetime(2026, 1, 1, tzinfo=UTC)
WEEK = START + timedelta(days=2), START + timedelta(days=9)


class Corpus:
    """Random unit vectors, and texts whose words are as often as words are."""

    def __init__(self, namespaces: int) -> None:
        self._random = np.random.default_rng(1)
        often = 1 / np.arange(1, VOCABULARY + 1)
        self._often = often / often.sum()
        self.namespaces = [Namespace(UUID(int=1), UUID(int=2), "user", UUID(int=3 + n)) for n in range(namespaces)]

    def vectors(self, count: int) -> Vector:
        rows = self._random.standard_normal((count, SIZE)).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def words(self, count: int) -> str:
        return " ".join(f"word{one}" for one in self._random.choice(VOCABULARY, size=count, p=self._often))

    def points(self, first: int, count: int) -> list[IndexPoint]:
        owners = [self.namespaces[(first + n) % len(self.namespaces)] for n in range(count)]
        vectors = self.vectors(count)
        return [
            IndexPoint(uuid4(), owners[n], vectors[n], self.words(14), START + timedelta(minutes=first + n))
            for n in range(count)
        ]

    def query(self, number: int, limit: int, between: tuple[datetime, datetime] | None) -> IndexQuery:
        namespace = self.namespaces[number % len(self.namespaces)]
        return IndexQuery([namespace], self.vectors(1)[0], self.words(8), limit, between, with_vectors=False)


async def searched(
    index: Mem0Index, corpus: Corpus, limit: int, between: tuple[datetime, datetime] | None = None
) -> str:
    """Percentiles of the searches' milliseconds."""
    took: list[float] = []
    hits = 0
    for number in range(SEARCHES):
        query = corpus.query(number, limit, between)
        begun = time.perf_counter()
        hits += len(await index.search(query))
        took.append((time.perf_counter() - begun) * 1000)
    took.sort()
    return f"p50 {took[SEARCHES // 2]:.1f}, p95 {took[SEARCHES * 95 // 100]:.1f} ms, {hits / SEARCHES:.0f} hits"


async def measure(folder: Path, points: int, namespaces: int, limit: int) -> None:
    """Fill an index, search it, compact it."""
    corpus = Corpus(namespaces)
    index = Mem0Index(lambda: EdgeQdrantClient(folder), HashEmbedder("bench", SIZE), Metrics())
    await index.prepare()
    say("resident, empty", resident())
    put = 0.0
    for first in range(0, points, BATCH):
        batch = corpus.points(first, min(BATCH, points - first))
        begun = time.perf_counter()
        await index.put(batch)
        put += time.perf_counter() - begun
    say("put", f"{put:.1f} s")
    say("search", await searched(index, corpus, limit))
    say("search again", await searched(index, corpus, limit))
    say("search with a week", await searched(index, corpus, limit, WEEK))
    say("resident", resident())
    begun = time.perf_counter()
    await index.compact()
    say("compact", f"{time.perf_counter() - begun:.1f} s")
    say("on disk", f"{on_disk(folder) / 2**20:.0f} MB")
    await index.close()
    again = Mem0Index(lambda: EdgeQdrantClient(folder), HashEmbedder("bench", SIZE), Metrics())
    begun = time.perf_counter()
    await again.prepare()
    say("open", f"{time.perf_counter() - begun:.2f} s")
    await again.close()


def on_disk(folder: Path) -> int:
    """Bytes that the files take up; they are longer than that."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


def resident() -> str:
    """The process's memory: its own, and of files that the system may take back."""
    info = psutil.Process().memory_info()
    return f"{(info.rss - info.shared) / 2**20:.0f} MB, and {info.shared / 2**20:.0f} MB of files"


def say(what: str, figure: str) -> None:
    """A line."""
    sys.stdout.write(f"{what:20} {figure}\n")


if __name__ == "__main__":
    with TemporaryDirectory() as place:
        numbers = [int(one) for one in sys.argv[1:]]
        asyncio.run(measure(Path(place) / "index", numbers[0], numbers[1], numbers[2] if len(numbers) > 2 else 100))
