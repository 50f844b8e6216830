"""Texts to vectors at the OpenAI API, and at every server that speaks it (`POST /embeddings`).

Servers differ in how many texts they take at once and in how long a text may be, and say so by refusing; both are
learned. Nothing of an answer is believed: its rows are counted, measured and brought to unit length.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import openai
from numpy.typing import NDArray

from backend.errors import EmbedderUnavailable, ModelError
from backend.gateways.answer import BadAnswer, is_list, is_object, rows
from backend.gateways.attempts import attempts
from backend.gateways.circuit_breaker import CircuitBreaker
from backend.gateways.guarded_bytes import LARGEST_ANSWER_BYTES
from backend.gateways.model_fault import FOREIGN, FaultTranslator, ModelFault
from backend.gateways.openai_client import openai_client
from backend.gateways.text_cleaner import clean
from backend.ports import Clock, Vector

WHO = "the embeddings API"
LONGEST_TEXT, SHORTEST_LIMIT = 8000, 500
"""Characters: what is sent of a text at first, and what every server is expected to take."""
MOST_TEXTS, FEW_TEXTS = 128, 32
MOST_CHARACTERS = 200_000
LONGEST_NUMBER = 22
"""Bytes of one number written as JSON, with its comma."""
REFUSALS = {400, 413, 422}
KNOWN_DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
LONGEST_NAME = 48


class OpenAIEmbedder:
    """An `Embedder` over one base URL, key and model.

    With `dimensions` the server is asked for vectors of that many numbers. Without, and with a model that is not
    known here, they are learned from the first answer: `warm()` asks for one; until then `name` and `dimensions` raise
    `EmbedderUnavailable`. Seconds: `connect_seconds` for a connection, `total_seconds` for one batch with all its
    attempts. Errors: as the port says; constructing raises `Misconfigured` for an unusable URL or key.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        model: str,
        clock: Clock,
        dimensions: int | None = None,
        connect_seconds: float = 5.0,
        total_seconds: float = 20.0,
        key_setting: str = "NUMEN_EMBEDDER_API_KEY",
    ) -> None:
        key = api_key.strip()
        self._model = model
        self._asked_dimensions = dimensions
        self._dimensions = dimensions or KNOWN_DIMENSIONS.get(model)
        self._longest = LONGEST_TEXT
        self._most = MOST_TEXTS
        self._total_seconds = total_seconds
        self._breaker = CircuitBreaker(WHO, clock)
        self._faults = FaultTranslator(
            WHO,
            key_setting=key_setting,
            secret=key,
            connect_seconds=connect_seconds,
            clock=clock,
            deadline_settings={"connect": "NUMEN_LLM_CONNECT_SECONDS"},
        )
        self._client = openai_client(
            WHO, base_url=base_url, key=key, key_setting=key_setting, connect_seconds=connect_seconds
        )

    @property
    def name(self) -> str:
        """The model's name in plain letters, and the dimensions. Errors: `EmbedderUnavailable` before the first."""
        return f"{_plain(self._model)}-{self.dimensions}"

    @property
    def dimensions(self) -> int:
        """Numbers in a vector. Errors: `EmbedderUnavailable` while nobody knows."""
        if self._dimensions is None:
            detail = f"how long the vectors of {self._model} are is not known before {WHO} has answered once"
            raise EmbedderUnavailable(f"{detail}; NUMEN_EMBEDDER_DIMENSIONS can say it")
        return self._dimensions

    async def warm(self) -> None:
        """Learn the dimensions, if nobody knows them yet. Errors: `EmbedderUnavailable`."""
        if self._dimensions is None:
            await self.embed(["warm"])

    async def embed(self, texts: Sequence[str]) -> Vector:
        """One row of unit length per text, in order. Errors: `EmbedderUnavailable`."""
        fit = [clean(text[:LONGEST_TEXT]) for text in texts]
        # The API refuses empty texts.
        batches = self._batches([text if text.strip() else "." for text in fit])
        vectors = [await self._within_deadline(batch) for batch in batches]
        return np.vstack(vectors) if vectors else np.empty((0, self.dimensions), np.float32)

    async def close(self) -> None:
        """Give back connections."""
        await self._client.close()

    def _batches(self, texts: Sequence[str]) -> Iterator[list[str]]:
        batch: list[str] = []
        characters = 0
        for text in texts:
            most = min(self._most, LARGEST_ANSWER_BYTES // (LONGEST_NUMBER * (self._dimensions or 1)))
            if batch and (len(batch) >= most or characters + len(text) > MOST_CHARACTERS):
                yield batch
                batch, characters = [], 0
            batch.append(text)
            characters += len(text)
        if batch:
            yield batch

    async def _within_deadline(self, texts: list[str]) -> Vector:
        until = asyncio.get_running_loop().time() + self._total_seconds
        try:
            with self._breaker.call():
                try:
                    async with asyncio.timeout_at(until):
                        return await attempts(until, partial(self._translated, texts))
                except TimeoutError as exc:
                    raise self._faults.too_slow("total", self._model, self._total_seconds, dead=True) from exc
        except ModelFault as fault:
            raise _unavailable(fault.error) from fault.__cause__
        except ModelError as error:  # the breaker's
            raise _unavailable(error) from error

    async def _translated(self, texts: list[str]) -> Vector:
        try:
            return await self._taken(texts)
        except FOREIGN as exc:
            raise self._faults.fault(exc, self._model) from exc

    async def _taken(self, texts: list[str]) -> Vector:
        """The vectors; where the server refuses, of fewer texts at once, and then of the beginnings of texts."""
        longest = self._longest
        while True:
            try:
                vectors = await self._asked([text[:longest] for text in texts])
            except openai.APIStatusError as exc:
                if exc.status_code not in REFUSALS:
                    raise
                if len(texts) > FEW_TEXTS:
                    return await self._in_pieces(texts)
                longest = min(longest, max(len(text) for text in texts)) // 2
                if longest < SHORTEST_LIMIT:
                    raise
            else:
                self._longest = longest
                return vectors

    async def _in_pieces(self, texts: list[str]) -> Vector:
        pieces = [texts[start : start + FEW_TEXTS] for start in range(0, len(texts), FEW_TEXTS)]
        vectors = np.vstack([await self._taken(piece) for piece in pieces])
        self._most = FEW_TEXTS
        return vectors

    async def _asked(self, texts: list[str]) -> Vector:
        # Base64 is what the SDK asks for by default, too: a quarter of the bytes, and nothing to parse.
        body: dict[str, Any] = {"model": self._model, "input": texts, "encoding_format": "base64"}
        if self._asked_dimensions is not None:
            body["dimensions"] = self._asked_dimensions
        vectors = _read(await self._client.post("/embeddings", cast_to=object, body=body), len(texts))
        due, given = self._dimensions, vectors.shape[1]
        if due not in {None, given}:
            raise BadAnswer(
                f"its vectors have {given} numbers where {due} are due: check NUMEN_EMBEDDER_DIMENSIONS and "
                "NUMEN_EMBEDDER_MODEL"
            )
        self._dimensions = given
        return vectors


def _unavailable(error: ModelError) -> EmbedderUnavailable:
    return EmbedderUnavailable(error.detail, **error.context)


def _read(data: object, texts: int) -> Vector:
    """The vectors of an answer, in the order of the texts. Errors: `BadAnswer`."""
    found = rows(data.get("data")) if is_object(data) else []
    if len(found) != texts:
        raise BadAnswer(f"it has {len(found)} vectors for {texts} texts")
    places = [row.get("index") for row in found]
    if any(place is not None for place in places):
        order = {place: row for place, row in zip(places, found, strict=True) if type(place) is int}
        if set(order) != set(range(texts)):
            raise BadAnswer("it does not say which vector belongs to which text")
        found = [order[place] for place in range(texts)]
    vectors = [_numbers(row.get("embedding")) for row in found]
    if len({len(vector) for vector in vectors}) != 1 or not len(vectors[0]):
        raise BadAnswer("its vectors are empty or not of one length")
    return _unit_length(np.vstack(vectors))


def _numbers(embedding: object) -> NDArray[Any]:
    """One vector, written as a list or as base64 of little-endian floats of four bytes. Errors: `BadAnswer`."""
    try:
        if isinstance(embedding, str):
            return np.frombuffer(base64.b64decode(embedding, validate=True), "<f4")
        if is_list(embedding):
            numbers = np.array(embedding)
            if numbers.ndim == 1 and numbers.dtype.kind in "fi":
                return numbers
    except ValueError as exc:
        raise BadAnswer("a vector in it cannot be read") from exc
    raise BadAnswer("a vector in it holds something else than numbers")


def _unit_length(vectors: NDArray[Any]) -> Vector:
    if not np.isfinite(vectors).all():
        raise BadAnswer("a vector in it holds something that is no finite number")
    doubled = vectors.astype(np.float64)  # squares of large numbers do not fit into four bytes
    # Divided by the largest first, so that not even the squares of the largest doubles overflow.
    largest = np.abs(doubled).max(axis=1, keepdims=True)
    if not largest.all():
        raise BadAnswer("a vector in it is zero")
    doubled /= largest
    return (doubled / np.linalg.norm(doubled, axis=1, keepdims=True)).astype(np.float32)


def _plain(model: str) -> str:
    """The name in a-z, 0-9, `-` and `_`; with a fingerprint where two names could become the same."""
    plain = re.sub(r"[^a-z0-9_]+", "-", model.lower()).strip("-")[:LONGEST_NAME]
    return plain if plain == model else f"{plain}-{hashlib.sha256(model.encode()).hexdigest()[:6]}".lstrip("-")
