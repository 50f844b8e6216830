"""What the index promises, in this process and over the wire alike."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from qdrant_client import models

from backend.embedded.qdrant import EdgeQdrantClient
from backend.errors import IndexMissing, IndexUnavailable, Misconfigured
from backend.gateways.mem0_index import PREFIX, Mem0Index, collection_name
from backend.ports import IndexPoint, IndexQuery
from backend.tests.fakes import HashEmbedder
from backend.tests.gateways.memory_indexes import (
    START,
    House,
    embedded_house,
    house_over_the_wire,
    namespace,
)


@pytest.fixture(params=["embedded", "wire"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[House]:
    over = embedded_house if request.param == "embedded" else house_over_the_wire
    async with over(tmp_path / "index") as house:
        yield house


async def test_what_was_put_is_found_by_meaning_and_by_words(house: House) -> None:
    mine = namespace()
    lisbon, porto, dog = await house.keep(
        mine, "I moved to Lisbon in May", "My sister lives in Porto", "We have a dog called Momo"
    )
    found = await house.find("who lives in Lisbon", mine)
    [query] = await house.embedder.embed(["who lives in Lisbon"])
    assert set(found) == {lisbon, porto, dog}
    for hit in found.values():
        assert hit.namespace == mine
        assert hit.likeness == pytest.approx(float(hit.vector @ query), abs=0.002)
        assert np.linalg.norm(hit.vector) == pytest.approx(1.0, abs=0.001)
    assert found[lisbon].word_score > 0
    assert found[porto].word_score > 0, "lives and live have one stem"
    assert found[dog].word_score == 0


async def test_a_hit_by_words_has_its_likeness(house: House) -> None:
    mine = namespace()
    [wanted] = await house.keep(mine, "zebra crossing")
    await house.keep(mine, *["the the the question"] * 5)
    [query] = await house.embedder.embed(["the the the question"])
    hits = await house.index.search(IndexQuery([mine], query, "zebras", 3))
    by_words = [hit for hit in hits if hit.word_score > 0]
    assert [hit.id for hit in by_words] == [wanted]
    assert by_words[0].likeness == pytest.approx(float(by_words[0].vector @ query), abs=1e-5)
    assert len(hits) == 4


async def test_without_vectors_a_hit_by_words_is_as_like_as_the_last_by_meaning(house: House) -> None:
    mine = namespace()
    [wanted] = await house.keep(mine, "zebra crossing")
    await house.keep(mine, *["the the the question"] * 5)
    [query] = await house.embedder.embed(["the the the question"])
    hits = await house.index.search(IndexQuery([mine], query, "zebras", 3, with_vectors=False))
    assert {hit.vector.size for hit in hits} == {0}
    [by_words] = [hit for hit in hits if hit.id == wanted]
    assert by_words.likeness == min(hit.likeness for hit in hits if hit.id != wanted)


async def test_accents_do_not_hide_a_word(house: House) -> None:
    mine = namespace()
    [wanted] = await house.keep(mine, "At the café with Zoë")
    assert (await house.find("cafe", mine))[wanted].word_score > 0


async def test_texts_without_words_are_fine(house: House) -> None:
    mine = namespace()
    ids = await house.keep(mine, "…", "🙂", "the and of", "x" * 8000, "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 \u202e rtl")
    assert set(await house.find("", mine)) == set(ids)
    assert set(await house.find("🙂", mine)) == set(ids)


async def test_only_the_namespaces_that_were_asked_for(house: House) -> None:
    everybody = [namespace(tenant, agent, user) for tenant in (1, 2) for agent in (1, 2) for user in (None, 1, 2)]
    kept = {one: (await house.keep(one, "the secret word is swordfish"))[0] for one in everybody}
    for one in everybody:
        assert set(await house.find("swordfish", one)) == {kept[one]}
    two = everybody[:2]
    found = await house.find("swordfish", *two)
    assert {hit.id: hit.namespace for hit in found.values()} == {kept[one]: one for one in two}
    assert await house.find("swordfish") == {}
    assert await house.find("swordfish", namespace(9, 9, 9)) == {}


async def test_the_best_of_a_span_of_time_come_as_well(house: House) -> None:
    mine = namespace()
    ids = await house.keep(mine, *(f"day {day} at the sea" for day in range(20)))
    await house.keep(mine, *["the sea the sea"] * 5, said_at=START - timedelta(days=400))
    span = (START + timedelta(days=5), START + timedelta(days=6))
    without = await house.find("the sea the sea", mine, limit=3)
    within = await house.find("the sea the sea", mine, limit=3, said_between=span)
    assert not {ids[5], ids[6]} & set(without)
    assert set(within) >= {ids[5], ids[6]}


async def test_the_limit_is_of_each_way(house: House) -> None:
    mine = namespace()
    await house.keep(mine, *(f"note {number}" for number in range(30)))
    assert len(await house.find("nothing alike", mine, limit=7)) == 7
    assert 7 <= len(await house.find("note 3", mine, limit=7)) <= 14
    assert await house.find("note", mine, limit=0) == {}


async def test_putting_again_replaces(house: House) -> None:
    mine, other = namespace(user=1), namespace(user=2)
    [one] = await house.keep(mine, "I live in Porto")
    await house.keep(mine, "I live in Lisbon", ids=[one])
    assert await house.index.count() == 1
    assert (await house.find("Porto", mine))[one].word_score == 0
    assert (await house.find("Lisbon", mine))[one].word_score > 0
    await house.keep(other, "🙂", ids=[one])
    assert await house.find("Lisbon", mine) == {}
    assert (await house.find("Lisbon", other))[one].word_score == 0


async def test_removing_takes_out_and_is_no_trouble_twice(house: House) -> None:
    mine, other = namespace(user=1), namespace(user=2)
    first, second, third = await house.keep(mine, "one", "two", "three")
    [theirs] = await house.keep(other, "one")
    await house.index.remove([first, uuid4()])
    await house.index.remove([first])
    await house.index.remove([])
    assert set(await house.find("one", mine)) == {second, third}
    await house.index.remove_namespace(mine)
    await house.index.remove_namespace(mine)
    assert await house.index.count(mine) == 0
    assert await house.index.count(other) == await house.index.count() == 1
    assert set(await house.find("one", other)) == {theirs}


async def test_vectors_and_ids(house: House) -> None:
    mine = namespace()
    ids = await house.keep(mine, *(f"text {number}" for number in range(2500)))
    pages = [page async for page in house.index.ids()]
    assert sorted(one for page in pages for one in page) == sorted(ids)
    assert len(pages) > 1
    [expected] = await house.embedder.embed(["text 7"])
    found = await house.index.vectors([ids[7], uuid4()])
    assert set(found) == {ids[7]}
    assert np.allclose(found[ids[7]], expected, atol=0.001)
    assert len(await house.index.vectors(ids)) == 2500
    assert await house.index.vectors([]) == {}


async def test_a_prepared_index_stays_as_it_is(house: House) -> None:
    await house.keep(namespace(), "one")
    assert not await house.index.prepare()
    assert await house.index.count() == 1


async def test_what_is_not_a_vector_of_ours_is_refused(house: House) -> None:
    wrong = [np.zeros(3, np.float32), np.full(64, np.nan, np.float32), np.zeros((1, 64), np.float32)]
    for vector in wrong:
        with pytest.raises(ValueError, match="finite"):
            await house.index.put([IndexPoint(uuid4(), namespace(), vector, "x", START)])
        with pytest.raises(ValueError, match="finite"):
            await house.index.search(IndexQuery([namespace()], vector, "x", 3))
    await house.index.put([])
    assert await house.index.count() == 0


async def test_the_index_holds_no_text(house: House) -> None:
    await house.keep(namespace(), "my canary is called tweety4711")
    await house.index.compact()
    if house.server is not None:
        assert all("tweety4711" not in body for body in house.server.bodies)
    held = [file.read_bytes() for file in house.folder.rglob("*") if file.is_file()]
    assert any(str(namespace()).encode() in one for one in held), "this finds what is there"
    assert not any(b"tweety4711" in one or b"canary" in one for one in held)


async def test_a_wiped_index_is_missing_until_it_is_prepared(house: House) -> None:
    mine = namespace()
    [one] = await house.keep(mine, "one")
    shutil.rmtree(house.folder / house.index.collection)
    with pytest.raises(IndexMissing):
        await house.find("one", mine)
    for call in (house.index.count(), house.index.vectors([one]), house.keep(mine, "x")):
        with pytest.raises(IndexMissing):
            await call
    for removal in (house.index.remove([one]), house.index.remove_namespace(mine)):
        with pytest.raises(IndexMissing):
            await removal
    assert await house.index.prepare()
    await house.keep(mine, "one", ids=[one])
    assert set(await house.find("one", mine)) == {one}


async def test_the_whole_folder_may_be_wiped_with_its_lock(house: House) -> None:
    shutil.rmtree(house.folder)
    with pytest.raises(IndexMissing):
        await house.find("one", namespace())
    assert await house.index.prepare()
    await house.keep(namespace(), "one")
    with pytest.raises(Misconfigured):
        EdgeQdrantClient(house.folder)


async def test_leaving_does_not_break_what_was_begun(house: House) -> None:
    mine = namespace()
    await house.keep(mine, *(f"note {number}" for number in range(200)))

    async def impatient() -> None:
        async with asyncio.timeout(random.random() / 200):  # noqa: S311 — any moment
            await house.find("note 7", mine)

    left = await asyncio.gather(*(impatient() for _ in range(100)), return_exceptions=True)
    assert any(isinstance(one, TimeoutError) for one in left)
    assert all(one is None or isinstance(one, TimeoutError) for one in left)
    assert len(await house.find("note 7", mine)) >= 10


async def test_searches_do_not_wait_for_writes(house: House) -> None:
    mine = namespace()
    await house.keep(mine, "one")
    writes = asyncio.gather(*(house.keep(mine, *(f"n {n}" for n in range(100))) for _ in range(20)))
    searches = 0
    while not writes.done():
        await house.find("one", mine)
        searches += 1
    await writes
    assert searches > 5


async def test_after_closing_it_is_unavailable(house: House) -> None:
    await house.index.close()
    for call in (house.find("one", namespace()), house.keep(namespace(), "x"), house.index.prepare()):
        with pytest.raises(IndexUnavailable):
            await call
    await house.index.close()


# --- collections of several embedders


@pytest.fixture
async def server_house(tmp_path: Path) -> AsyncGenerator[House]:
    async with house_over_the_wire(tmp_path / "index") as house:
        yield house


def test_a_collection_is_of_one_embedder() -> None:
    assert collection_name("minilm", 384) == f"{PREFIX}minilm_384"
    assert collection_name("OpenAI/text embedding:3", 256) == f"{PREFIX}openai-text-embedding-3_256"


async def test_older_collections_are_cleaned_and_dropped(server_house: House) -> None:
    mine, other = namespace(user=1), namespace(user=2)
    await server_house.keep(mine, "one")
    _, second = await server_house.keep(other, "one", "two")
    newer = server_house.another(HashEmbedder("newer", 32))
    foreign = "somebody_elses"
    server = server_house.server
    assert server is not None
    server.engine.create_collection(foreign, models.VectorParams(size=2, distance=models.Distance.DOT))
    assert await newer.prepare()
    assert await newer.count() == 0
    await newer.remove_namespace(mine)
    await newer.remove([second])
    assert await server_house.index.count(mine) == 0
    assert await server_house.index.count(other) == 1
    assert await newer.drop_others() == 1
    assert await newer.drop_others() == 0
    names = {one.name for one in server.engine.get_collections().collections}
    assert names == {newer.collection, foreign}
    await newer.close()


async def test_two_that_prepare_at_once_make_one(server_house: House) -> None:
    embedder = HashEmbedder("newer", 32)
    several = [server_house.another(embedder) for _ in range(4)]
    made = await asyncio.gather(*(one.prepare() for one in several))
    assert sum(made) == 1
    await asyncio.gather(*(one.close() for one in several))


async def test_a_second_owner_is_refused(tmp_path: Path) -> None:
    async with embedded_house(tmp_path / "index") as house:
        second = Mem0Index(lambda: EdgeQdrantClient(tmp_path / "index"), house.embedder, house.metrics)
        with pytest.raises(Misconfigured, match="already serves"):
            await second.prepare()
        await second.close()
