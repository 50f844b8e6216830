"""The cache of vectors: what is asked twice is embedded once, within its bounds, and forgotten on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from backend.errors import EmbedderUnavailable
from backend.gateways.cached_embedder import LONGEST_KEPT, CachedEmbedder
from backend.gateways.lexical_embedder import LexicalEmbedder
from backend.ports import Vector


class CountingEmbedder(LexicalEmbedder):
    """The lexical one; keeps what it was asked, and waits where a test says so."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.down = False
        self.closed = False

    async def embed(self, texts: Sequence[str]) -> Vector:
        self.asked.append(list(texts))
        await self.may_answer.wait()
        if self.down:
            raise EmbedderUnavailable("down")
        return await super().embed(texts)

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def inner() -> CountingEmbedder:
    """What is behind the cache."""
    return CountingEmbedder()


async def test_only_what_is_new_is_embedded_and_the_order_is_kept(inner: CountingEmbedder) -> None:
    cached = CachedEmbedder(inner)
    assert (cached.name, cached.dimensions) == (inner.name, inner.dimensions)
    await cached.embed(["one", "two"])
    texts = ["three", "two", "three", "one", "four"]
    vectors = await cached.embed(texts)
    assert inner.asked == [["one", "two"], ["three", "four"]]
    assert np.array_equal(vectors, await LexicalEmbedder().embed(texts))
    assert (await cached.embed([])).shape == (0, inner.dimensions)
    assert len(inner.asked) == 2


async def test_what_a_caller_does_to_its_vectors_stays_with_it(inner: CountingEmbedder) -> None:
    cached = CachedEmbedder(inner)
    for _ in range(2):
        vectors = await cached.embed(["one"])
        vectors[:] = 0
    assert np.array_equal(await cached.embed(["one"]), await LexicalEmbedder().embed(["one"]))


async def test_what_was_used_longest_ago_goes_first(inner: CountingEmbedder) -> None:
    cached = CachedEmbedder(inner, texts=2)
    for text in ("one", "two", "one", "three", "one", "two"):
        await cached.embed([text])
    assert inner.asked == [["one"], ["two"], ["three"], ["two"]]
    many = [f"text {number}" for number in range(5)]
    assert np.array_equal(await cached.embed(many), await LexicalEmbedder().embed(many))


async def test_long_texts_are_not_kept(inner: CountingEmbedder) -> None:
    cached = CachedEmbedder(inner)
    for _ in range(2):
        await cached.embed(["x" * LONGEST_KEPT, "x" * (LONGEST_KEPT + 1)])
    assert [len(asked) for asked in inner.asked] == [2, 1]


async def test_forgetting_holds_for_what_is_under_way(inner: CountingEmbedder) -> None:
    cached = CachedEmbedder(inner)
    await cached.embed(["one"])
    inner.may_answer.clear()
    under_way = asyncio.create_task(cached.embed(["two"]))
    await asyncio.sleep(0)
    cached.forget()
    inner.may_answer.set()
    await under_way
    await cached.embed(["one", "two"])
    assert inner.asked == [["one"], ["two"], ["one", "two"]]


async def test_the_same_text_may_be_asked_at_the_same_time(inner: CountingEmbedder) -> None:
    cached = CachedEmbedder(inner)
    first, second = await asyncio.gather(cached.embed(["one", "two"]), cached.embed(["two", "one"]))
    assert np.array_equal(first, second[::-1])


async def test_failures_are_not_kept(inner: CountingEmbedder) -> None:
    cached = CachedEmbedder(inner)
    inner.down = True
    with pytest.raises(EmbedderUnavailable):
        await cached.embed(["one"])
    inner.down = False
    assert (await cached.embed(["one"])).shape == (1, inner.dimensions)
    await cached.close()
    assert inner.closed
