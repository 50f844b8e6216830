"""What is sent to an embeddings API, what is believed of its answer, and what it comes to when it fails."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import Any

import numpy as np
import pytest

from backend.errors import EmbedderUnavailable, Misconfigured
from backend.gateways.circuit_breaker import FAILURES_TO_OPEN
from backend.gateways.openai_embedder import FEW_TEXTS, LONGEST_TEXT, MOST_TEXTS, OpenAIEmbedder
from backend.tests.gateways.model_requests import SECRET, SettableClock
from backend.tests.protocol_servers.openai_embeddings import DIMENSIONS, embedding, embeddings
from backend.tests.protocol_servers.openai_faults import FaultKind
from backend.tests.protocol_servers.openai_server import OpenAIServer

TEXTS = ["Ana lives in Lisbon.", "Lives in Lisbon: Ana.", "Bananas"]


def made(base_url: str, clock: SettableClock, **rest: Any) -> OpenAIEmbedder:
    settings: dict[str, Any] = {"api_key": SECRET, "model": "test-embedder", "key_setting": "TEST_KEY"}
    settings |= {"total_seconds": 1.5, **rest}
    return OpenAIEmbedder(base_url=base_url, clock=clock, **settings)


@pytest.fixture
async def embedder(openai_server: OpenAIServer, clock: SettableClock) -> AsyncGenerator[OpenAIEmbedder]:
    """An embedder at the local server that does not know its dimensions yet."""
    embedder = made(openai_server.base_url, clock)
    yield embedder
    await embedder.close()


def expected(texts: list[str], dimensions: int = DIMENSIONS) -> Any:
    vectors = np.array([embedding(text, dimensions) for text in texts])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


async def test_vectors_in_order_and_of_unit_length(embedder: OpenAIEmbedder, openai_server: OpenAIServer) -> None:
    vectors = await embedder.embed(TEXTS)
    assert vectors.dtype == np.float32
    assert np.allclose(vectors, expected(TEXTS), atol=1e-6)
    (sent,) = openai_server.calls
    assert sent.path == "/v1/embeddings"
    assert sent.headers["authorization"] == f"Bearer {SECRET}"
    assert sent.body == {"model": "test-embedder", "input": TEXTS, "encoding_format": "base64"}
    assert (await embedder.embed([])).shape == (0, DIMENSIONS)


async def test_the_order_is_the_servers_index(embedder: OpenAIEmbedder, openai_server: OpenAIServer) -> None:
    def reversed_floats(body: dict[str, Any]) -> dict[str, Any]:
        answer = embeddings({**body, "encoding_format": "float"})
        return {**answer, "data": answer["data"][::-1]}

    openai_server.embeddings = reversed_floats
    assert np.allclose(await embedder.embed(TEXTS), expected(TEXTS), atol=1e-6)


async def test_dimensions_are_learned(embedder: OpenAIEmbedder, openai_server: OpenAIServer) -> None:
    for ask in (lambda: embedder.name, lambda: embedder.dimensions):
        with pytest.raises(EmbedderUnavailable, match="NUMEN_EMBEDDER_DIMENSIONS"):
            ask()
    await embedder.warm()
    await embedder.warm()
    assert (embedder.name, embedder.dimensions) == (f"test-embedder-{DIMENSIONS}", DIMENSIONS)
    assert len(openai_server.calls) == 1


async def test_dimensions_are_asked_for(openai_server: OpenAIServer, clock: SettableClock) -> None:
    embedder = made(openai_server.base_url, clock, dimensions=5)
    assert embedder.name == "test-embedder-5"
    assert (await embedder.embed(TEXTS)).shape == (3, 5)
    assert openai_server.calls[0].body["dimensions"] == 5
    await embedder.close()


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("text-embedding-3-small", "text-embedding-3-small-1536"),
        ("text-embedding-3-large", "text-embedding-3-large-3072"),
    ],
)
async def test_known_models_need_no_question(model: str, name: str, clock: SettableClock) -> None:
    embedder = made("http://127.0.0.1:9/v1", clock, model=model)
    await embedder.warm()
    assert embedder.name == name
    await embedder.close()


async def test_names_are_fit_for_a_collection_and_stay_apart(clock: SettableClock) -> None:
    models = ["BAAI/bge-m3", "baai-bge-m3", "BAAI:bge-m3", "../..", "模型", "x" * 200, "x" * 201]
    embedders = [made("http://127.0.0.1:9/v1", clock, model=model, dimensions=8) for model in models]
    names = [embedder.name for embedder in embedders]
    assert len(set(names)) == len(models)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", name) for name in names), names
    for embedder in embedders:
        await embedder.close()


async def test_many_texts_go_in_batches(embedder: OpenAIEmbedder, openai_server: OpenAIServer) -> None:
    texts = [f"text {number}" for number in range(2 * MOST_TEXTS + 1)]
    assert np.allclose(await embedder.embed(texts), expected(texts), atol=1e-6)
    assert [len(call.body["input"]) for call in openai_server.calls] == [MOST_TEXTS, MOST_TEXTS, 1]
    openai_server.requests.clear()
    await embedder.embed(["long " * 2000] * 60)
    assert [len(call.body["input"]) for call in openai_server.calls] == [25, 25, 10]
    assert {len(text) for call in openai_server.calls for text in call.body["input"]} == {LONGEST_TEXT}


async def test_odd_texts_are_made_fit(embedder: OpenAIEmbedder, openai_server: OpenAIServer) -> None:
    assert (await embedder.embed(["", " \n", "a\x00b", "\ud83d"])).shape == (4, DIMENSIONS)
    assert openai_server.calls[0].body["input"] == [".", ".", "a\ufffdb", "\ufffd"]


async def test_fewer_texts_at_once_are_learned(embedder: OpenAIEmbedder, openai_server: OpenAIServer) -> None:
    def picky(body: dict[str, Any]) -> tuple[int, object] | dict[str, Any]:
        return embeddings(body) if len(body["input"]) <= FEW_TEXTS else (413, {"error": {"message": "batch size"}})

    openai_server.embeddings = picky
    texts = [f"text {number}" for number in range(MOST_TEXTS)]
    for calls in (1 + MOST_TEXTS // FEW_TEXTS, MOST_TEXTS // FEW_TEXTS):
        openai_server.requests.clear()
        assert np.allclose(await embedder.embed(texts), expected(texts), atol=1e-6)
        assert len(openai_server.calls) == calls


async def test_the_longest_text_is_learned(embedder: OpenAIEmbedder, openai_server: OpenAIServer) -> None:
    def short_sighted(body: dict[str, Any]) -> tuple[int, object] | dict[str, Any]:
        longest = max(len(text) for text in body["input"])
        return embeddings(body) if longest <= 1100 else (400, {"error": {"message": "maximum context length"}})

    openai_server.embeddings = short_sighted
    texts = ["word " * 900, "short"]
    for calls in (4, 1):
        openai_server.requests.clear()
        await embedder.embed(texts)
        assert len(openai_server.calls) == calls
        assert [len(text) for text in openai_server.calls[-1].body["input"]] == [562, 5]


def answer(*vectors: object, **rest: object) -> dict[str, Any]:
    return {"data": [{"index": place, "embedding": vector, **rest} for place, vector in enumerate(vectors)]}


GOOD = [0.6, 0.8]
RUBBISH: dict[str, tuple[object, str]] = {
    "too few": (answer(GOOD), "1 vectors for 2 texts"),
    "too many": (answer(GOOD, GOOD, GOOD), "3 vectors for 2 texts"),
    "no order": (answer(GOOD, GOOD, index=0), "which vector belongs to which text"),
    "half an order": ({"data": [{"index": 0, "embedding": GOOD}, {"embedding": GOOD}]}, "which vector"),
    "lengths differ": (answer(GOOD, [1.0]), "not of one length"),
    "empty": (answer([], []), "empty"),
    "NaN": (answer(GOOD, [float("nan"), 1.0]), "no finite number"),
    "infinity": (answer(GOOD, [float("inf"), 1.0]), "no finite number"),
    "NaN in base64": (answer("AADAfwAAwH8=", "AACAPwAAgD8="), "no finite number"),
    "zero": (answer(GOOD, [0.0, 0.0]), "is zero"),
    "texts": (answer(GOOD, ["1", "2"]), "something else than numbers"),
    "nothing": (answer(GOOD, None), "something else than numbers"),
    "a number": (answer(GOOD, 7), "something else than numbers"),
    "nested": (answer(GOOD, [[1.0], [2.0]]), "something else than numbers"),
    "ragged": (answer(GOOD, [[1.0], 2.0]), "cannot be read"),
    "nulls": (answer(GOOD, [None, 1.0]), "something else than numbers"),
    "half a number": (answer("AAAA", "AAAA"), "cannot be read"),
    "no base64": (answer("é", "é"), "cannot be read"),
    "an error": ({"error": {"message": "out of memory"}}, "0 vectors for 2 texts"),
    "a list": ([1, 2], "0 vectors for 2 texts"),
    "objects": ({"data": {"0": GOOD}}, "0 vectors for 2 texts"),
}


@pytest.mark.parametrize("what", RUBBISH)
async def test_rubbish_is_told_from_vectors(what: str, embedder: OpenAIEmbedder, openai_server: OpenAIServer) -> None:
    said, told = RUBBISH[what]
    openai_server.embeddings = lambda _: (200, said)
    with pytest.raises(EmbedderUnavailable, match=f"gave no usable answer: .*{told}"):
        await embedder.embed(["one", "two"])
    openai_server.embeddings = embeddings
    assert (await embedder.embed(["one", "two"])).shape == (2, DIMENSIONS)


async def test_other_dimensions_than_before_are_refused(embedder: OpenAIEmbedder, openai_server: OpenAIServer) -> None:
    await embedder.warm()
    openai_server.embeddings = lambda body: embeddings({**body, "dimensions": 7})
    with pytest.raises(EmbedderUnavailable, match=f"7 numbers where {DIMENSIONS} are due"):
        await embedder.embed(["one"])


async def test_huge_numbers_are_brought_to_unit_length(embedder: OpenAIEmbedder, openai_server: OpenAIServer) -> None:
    openai_server.embeddings = lambda _: answer([3e300, -4e300], [3, 4], [3e-300, 4e-300])
    vectors = await embedder.embed(TEXTS)
    assert np.allclose(vectors, [[0.6, -0.8], [0.6, 0.8], [0.6, 0.8]])


FAULTS: dict[FaultKind, str] = {
    "dead": "nobody accepts connections",
    "reset": "connection was lost",
    "slow_headers": "did not finish its answer within 1.5 s$",
    "slow_total": "did not finish its answer within 1.5 s$",
    "rate_limited": "limits how often",
    "quota": "current quota",
    "unauthorized": r"refuses the key \(answer 401\): check TEST_KEY",
    "not_found": "answers 404",
    "bad_request": "answers 400",
    "server_error": "answers 500",
    "unavailable": "answers 503",
    "redirect": "a redirect",
    "html": "0 vectors",
    "truncated_json": "no valid JSON",
    "deep_json": "gave no usable answer",
    "short_body": "cannot be used now",
    "bad_http": "no valid HTTP",
    "gigantic": "larger than",
    "compressed": "compressed",
}


@pytest.mark.parametrize("kind", FAULTS)
async def test_every_fault_is_one_error(kind: FaultKind, embedder: OpenAIEmbedder, openai_server: OpenAIServer) -> None:
    openai_server.fault(kind)
    with pytest.raises(EmbedderUnavailable, match=FAULTS[kind]) as caught:
        await embedder.embed(["one"])
    assert SECRET not in str(caught.value)
    assert "NUMEN_LLM_TOTAL" not in str(caught.value)


async def test_a_passing_fault_is_not_noticed(embedder: OpenAIEmbedder, openai_server: OpenAIServer) -> None:
    openai_server.fault("unavailable", times=1)
    assert (await embedder.embed(["one"])).shape == (1, DIMENSIONS)
    assert len(openai_server.calls) == 2


async def test_a_dead_server_is_left_alone_for_a_while(
    embedder: OpenAIEmbedder, openai_server: OpenAIServer, clock: SettableClock
) -> None:
    openai_server.fault("quota")
    for _ in range(FAILURES_TO_OPEN):
        with pytest.raises(EmbedderUnavailable, match="quota"):
            await embedder.embed(["one"])
    with pytest.raises(EmbedderUnavailable, match="left alone") as caught:
        await embedder.embed(["one"])
    assert caught.value.context["retry_after"] > 0
    assert len(openai_server.calls) == FAILURES_TO_OPEN
    openai_server.reset()
    clock.forward(60)
    assert (await embedder.embed(["one"])).shape == (1, DIMENSIONS)


@pytest.mark.parametrize(
    ("rest", "told"), [({"base_url": "ollama"}, "the base URL of the embeddings API"), ({"api_key": "a b"}, "TEST_KEY")]
)
def test_what_cannot_work_is_refused(rest: dict[str, str], told: str, clock: SettableClock) -> None:
    with pytest.raises(Misconfigured, match=told):
        made(**{"base_url": "http://127.0.0.1:9/v1", **rest}, clock=clock)
