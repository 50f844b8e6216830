"""A Qdrant server that is away, slow, wrong or none at all: the index is unavailable, soon, and well again after."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from backend.errors import IndexMissing, IndexUnavailable, Misconfigured
from backend.gateways.mem0_index import Mem0Index
from backend.gateways.qdrant_server import as_index_errors, qdrant_server
from backend.telemetry import Metrics
from backend.tests.fair_time import done_within
from backend.tests.fakes import HashEmbedder
from backend.tests.gateways.memory_indexes import API_KEY, House, house_over_the_wire, namespace
from backend.tests.protocol_servers.qdrant_server import FaultKind, QdrantServer

SECONDS = 1


@pytest.fixture
async def house(tmp_path: Path) -> AsyncGenerator[House]:
    async with house_over_the_wire(tmp_path / "index", SECONDS) as house:
        yield house


def server_of(house: House) -> QdrantServer:
    assert house.server is not None
    return house.server


@pytest.mark.parametrize("kind", ["dead", "slow", "500", "429", "rubbish", "empty"])
async def test_what_a_server_does_wrong_makes_the_index_unavailable(house: House, kind: FaultKind) -> None:
    mine = namespace()
    [one] = await house.keep(mine, "one")
    server_of(house).fault(kind)
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: house.find("one", mine),
        lambda: house.keep(mine, "two", ids=[one]),
        lambda: house.index.remove([one]),
        lambda: house.index.remove_namespace(mine),
        lambda: house.index.vectors([one]),
        house.index.count,
        house.index.prepare,
        house.index.drop_others,
        lambda: anext(house.index.ids()),
    ]
    for call in calls[: 2 if kind == "slow" else None]:
        async with done_within(SECONDS + 1):
            with pytest.raises(IndexUnavailable) as unavailable:
                await call()
            assert not isinstance(unavailable.value, IndexMissing)
    server_of(house).fault(None)
    if kind != "slow":  # then some of it was done after all
        assert set(await house.find("one", mine)) == {one}
    assert not await house.index.prepare()


async def test_a_server_that_hangs_holds_nobody_who_does_not_want_to_wait(house: House) -> None:
    await house.keep(namespace(), "one")
    server_of(house).fault("slow")

    async def impatient() -> None:
        async with asyncio.timeout(0.1):
            await house.find("one", namespace())

    async with done_within(SECONDS):
        left = await asyncio.gather(*(impatient() for _ in range(40)), return_exceptions=True)
    assert all(isinstance(one, TimeoutError) for one in left)
    server_of(house).fault(None)
    async with asyncio.timeout(SECONDS + 2):
        assert len(await house.find("one", namespace())) == 1


async def test_a_wrong_key_is_said(house: House) -> None:
    index = Mem0Index(qdrant_server(server_of(house).url, "another"), house.embedder, house.metrics)
    with pytest.raises(IndexUnavailable, match="QDRANT_API_KEY"):
        await index.prepare()
    await index.close()
    assert API_KEY not in repr(house.index.__dict__)


async def test_a_web_server_that_is_no_qdrant_is_not_taken_for_a_wiped_one(house: House) -> None:
    index = Mem0Index(qdrant_server(f"{server_of(house).url}/somewhere", API_KEY), house.embedder, house.metrics)
    with pytest.raises(IndexUnavailable, match="does not answer as Qdrant") as unavailable:
        await index.prepare()
    assert not isinstance(unavailable.value, IndexMissing)
    await index.close()


async def test_nothing_is_dialled_before_something_is_asked() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client = qdrant_server("http://192.0.2.1:6333", "key")()
    assert isinstance(client, QdrantClient)
    client.close()
    index = Mem0Index(qdrant_server("http://127.0.0.1:1", "key"), HashEmbedder(), Metrics())
    await index.close()


@pytest.mark.parametrize("url", ["ftp://example.org", "127.0.0.1:6333", "unix:/tmp/qdrant", ""])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="QDRANT_URL"):
        qdrant_server(url, None)


async def test_the_key_travels_as_a_header(house: House) -> None:
    await house.keep(namespace(), "one")
    assert not any(API_KEY in part for body in server_of(house).bodies for part in [body])
    assert not any(API_KEY in path for _, path in server_of(house).requests)


def test_only_a_404_is_a_missing_index() -> None:
    for status, kind in {404: IndexMissing, 400: IndexUnavailable, 503: IndexUnavailable}.items():
        with pytest.raises(IndexUnavailable) as raised, as_index_errors():
            raise UnexpectedResponse(status, "", b"secret words", httpx.Headers())
        assert type(raised.value) is kind
        assert "secret" not in raised.value.detail
    with pytest.raises(IndexUnavailable), as_index_errors():
        raise ResponseHandlingException(httpx.ConnectError("refused"))
    with pytest.raises(KeyError), as_index_errors():
        raise KeyError("a fault of ours stays one")
