"""Mem0's own classes with our parts in them, and nothing of it that dials, writes or talks.

Mem0 reads its environment when it is first imported, so it is imported here and nowhere else. That takes a second:
whoever needs this module imports it when it opens (`mem0_index`, `mem0_extractor`).
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, Protocol, cast
from uuid import UUID

import numpy as np
import qdrant_edge as edge
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from backend.errors import Misconfigured
from backend.models.namespace import Namespace
from backend.ports import Vector

os.environ["MEM0_TELEMETRY"] = "False"
_BEFORE = os.environ.get("MEM0_DIR")
# In a block because of what the import itself does: it writes an id of this installation where MEM0_DIR points. That
# is a folder which is gone afterwards. Mem0 has neither type hints nor stubs.
with TemporaryDirectory(prefix="numen-mem0-") as _nowhere:
    os.environ["MEM0_DIR"] = _nowhere
    from mem0 import Memory  # pyright: ignore[reportMissingTypeStubs]
    from mem0.exceptions import LLMError  # pyright: ignore[reportMissingTypeStubs]
    from mem0.memory import telemetry  # pyright: ignore[reportMissingTypeStubs]
    from mem0.utils import spacy_models  # pyright: ignore[reportMissingTypeStubs]
    from mem0.vector_stores.qdrant import Qdrant  # pyright: ignore[reportMissingTypeStubs]
del os.environ["MEM0_DIR"]
if _BEFORE is not None:
    os.environ["MEM0_DIR"] = _BEFORE
if telemetry.MEM0_TELEMETRY:
    raise Misconfigured("Mem0 was imported with its telemetry on, before Numen could switch it off")
for _flag in ("_load_failed_full", "_load_failed_lemma"):
    setattr(spacy_models, _flag, True)  # where spaCy is installed, Mem0 downloads a model for it at first use
logging.getLogger("mem0").setLevel(logging.CRITICAL + 1)  # its lines quote what people said

WORDS = "text_lemmatized"
"""Where Mem0's payloads have the words for its search by word."""
_DENSE = ""
_SPARSE = "bm25"
_KEPT = ("user_id", "said_at")
_NO_VECTOR = np.empty(0, np.float32)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A point that a search found; `namespace` is as it is stored, and not checked yet."""

    id: UUID
    namespace: str
    likeness: float
    word_score: float
    vector: Vector


class WordlessQdrant(Qdrant):
    """Mem0's store, which indexes words and keeps none: a payload has the namespace and the moment, nothing else.

    It makes no call when it is constructed. Errors are those of the client.
    """

    def __init__(self, client: QdrantClient, collection: str, dimensions: int) -> None:
        super().__init__(collection_name=collection, embedding_model_dims=dimensions, client=client)
        self.client: QdrantClient = client
        self.collection: str = collection
        self.dimensions: int = dimensions
        # Its defaults are what the ranking was measured with; é is found by e. Several threads may use it.
        self._words = edge.Bm25(edge.Bm25Config(ascii_folding=True))

    def create_col(self, *_: object, **__: object) -> None:
        """Nothing: the constructor calls it, and a server that is away must not keep ours from starting."""

    def make(self) -> bool:
        """Make the collection and its indexes where they are missing; True when the collection was."""
        made = not self.client.collection_exists(self.collection) and self._made()
        tenant = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
        self.client.create_payload_index(self.collection, "user_id", tenant)
        self.client.create_payload_index(self.collection, "said_at", models.PayloadSchemaType.DATETIME)
        return made

    def _made(self) -> bool:
        try:
            return self.client.create_collection(
                self.collection,
                # Half precision halves memory and time; it moves a likeness by less than 0.0001.
                vectors_config=models.VectorParams(
                    size=self.dimensions, distance=models.Distance.COSINE, datatype=models.Datatype.FLOAT16
                ),
                sparse_vectors_config={_SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
                # A server builds its graphs inside the namespaces, as every search is inside some.
                hnsw_config=models.HnswConfigDiff(m=0, payload_m=16),
            )
        except UnexpectedResponse:
            if self.client.collection_exists(self.collection):  # another process was quicker
                return False
            raise

    def insert(
        self,
        vectors: Sequence[Sequence[float]],
        payloads: Sequence[Mapping[str, Any]] | None = None,
        ids: Sequence[str] | None = None,
    ) -> None:
        """Insert or replace points. What Mem0 puts into a payload as text becomes a sparse vector and is not stored."""
        if payloads is None or ids is None:
            raise ValueError("a point without an id or a namespace")
        points: list[models.PointStruct] = []
        for point_id, vector, payload in zip(ids, vectors, payloads, strict=True):
            named: dict[str, Any] = {_DENSE: list(vector)}
            words = self._words.embed_document(payload.get(WORDS) or payload.get("data") or "")
            if words.indices:
                named[_SPARSE] = models.SparseVector(indices=words.indices, values=words.values)
            kept = {name: payload[name] for name in _KEPT}
            points.append(models.PointStruct(id=point_id, vector=named, payload=kept))
        self.client.upsert(self.collection, points, wait=True)

    def candidates(
        self,
        namespaces: Sequence[str],
        vector: Vector,
        words: str,
        limit: int,
        said_between: tuple[datetime, datetime] | None,
        *,
        with_vectors: bool = True,
    ) -> list[Candidate]:
        """The best `limit` by meaning, by words, and by meaning within a span of time, each with its likeness."""
        own = self.inside(namespaces)
        near: list[float] = vector.tolist()
        requests = [_request(near, own, limit)]
        if said_between is not None:
            requests.append(_request(near, self.inside(namespaces, said_between), limit))
        sparse = self._words.embed_query(words)
        if sparse.indices:
            asked = models.SparseVector(indices=sparse.indices, values=sparse.values)
            requests.append(_request(asked, own, limit, using=_SPARSE))
        if not with_vectors:
            requests = [one.model_copy(update={"with_vector": False}) for one in requests]
        answers = self.client.query_batch_points(self.collection, requests)
        by_words = answers.pop().points if sparse.indices else []
        alike = {point.id: point for answer in answers for point in answer.points}
        scores = {point.id: point.score for point in by_words}
        rest = [point for point in by_words if point.id not in alike]
        least = min((point.score for point in alike.values()), default=0.0)
        return [
            *(_candidate(point, point.score, scores.get(point.id, 0.0)) for point in alike.values()),
            *(_candidate(point, vector if with_vectors else least, point.score) for point in rest),
        ]

    def inside(self, namespaces: Sequence[str], said_between: tuple[datetime, datetime] | None = None) -> models.Filter:
        """A filter of Mem0's conditions; never without namespaces. Errors: `ValueError` for what is none, such as `*`,
        which would mean everybody's to Mem0.
        """
        if not namespaces:
            raise ValueError("a filter needs namespaces")
        build = cast("Callable[[str, Any], models.FieldCondition]", cast("Any", self)._build_field_condition)
        # One condition each: at 100,000 points a search takes a third less time than with a list of values.
        own: list[Any] = [build("user_id", str(Namespace.parse(one))) for one in namespaces]
        if said_between is None:
            return models.Filter(should=own)
        start, end = said_between
        return models.Filter(should=own, must=[build("said_at", {"gte": start.isoformat(), "lte": end.isoformat()})])


def _request(query: Any, within: models.Filter, limit: int, **more: Any) -> models.QueryRequest:
    nearest = models.NearestQuery(nearest=query)
    return models.QueryRequest(
        query=nearest, filter=within, limit=limit, with_payload=["user_id"], with_vector=[_DENSE], **more
    )


def _candidate(point: models.ScoredPoint, likeness: float | Vector, word_score: float) -> Candidate:
    """A point with its likeness, or with the vector that it is to be compared to."""
    vector = _NO_VECTOR if point.vector is None else dense(point.vector)
    like = float(vector @ likeness) if isinstance(likeness, np.ndarray) else likeness
    return Candidate(as_uuid(point.id), str((point.payload or {}).get("user_id")), like, word_score, vector)


def as_uuid(point_id: Any) -> UUID:
    """An id of ours: over the wire it is text."""
    return point_id if isinstance(point_id, UUID) else UUID(str(point_id))


def dense(vector: Any) -> Vector:
    """The dense one of a point's vectors."""
    return np.asarray(cast("dict[str, Any]", vector)[_DENSE] if isinstance(vector, dict) else vector, dtype=np.float32)


class ChatModel(Protocol):
    """What Mem0 asks of a language model."""

    def generate_response(self, messages: Sequence[Mapping[str, str]], **options: Any) -> str:
        """The model's answer to `messages`, each with a role and a content."""
        ...


class FactMemory(Memory):
    """Mem0's pipeline that reads facts out of a conversation, over stores that hold what is known and collect the rest.

    For one conversation: nothing is stored anywhere. `add` is blocking.
    """

    def __init__(self, llm: ChatModel, known: Sequence[str]) -> None:  # pyright: ignore[reportMissingSuperCall]
        # Not the parent's constructor: it takes names for its factories, and dials.
        parts: dict[str, Any] = {
            "config": SimpleNamespace(llm=SimpleNamespace(config={})),
            "embedding_model": _NoEmbeddings(),
            "llm": llm,
            "vector_store": _Collected(known),
            "_entity_store": None,
            "db": _NoHistory(),
            "reranker": None,
            "collection_name": "facts",
            "api_version": "v1.1",
            "custom_instructions": None,
        }
        vars(self).update(parts)

    def facts(self, messages: Sequence[Mapping[str, str]], namespace: str, instructions: str) -> list[Any]:
        """The texts that the model named, as it named them, without those known by the very words.

        Errors: the model's; `AttributeError`, `KeyError`, `TypeError` or `ValueError` for an answer of another shape.
        """
        try:
            added = cast("Any", self).add(list(messages), user_id=namespace, infer=True, prompt=instructions)
        except LLMError as wrapped:
            raise (wrapped.__cause__ or wrapped) from None
        return [one["memory"] for one in added["results"]]


class _NoEmbeddings:
    """Nothing is compared by meaning here; what is known was found before."""

    config = SimpleNamespace(embedding_dims=1)

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:  # noqa: ARG002 — Mem0's names
        return [0.0]

    def embed_batch(self, texts: Sequence[str], memory_action: str | None = None) -> list[list[float]]:  # noqa: ARG002
        return [[0.0] for _ in texts]


class _Collected:
    """A store whose search finds what is known, and which lets everything else pass by."""

    def __init__(self, known: Sequence[str]) -> None:
        self._known = [SimpleNamespace(id=str(place), payload=_payload(text)) for place, text in enumerate(known)]

    def search(self, **_: Any) -> list[SimpleNamespace]:
        return self._known

    def insert(self, **_: Any) -> None:
        pass


def _payload(text: str) -> dict[str, str]:
    digest = hashlib.md5(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
    return {"data": text, "hash": digest}  # by which Mem0 knows the very words again


class _NoHistory:
    """Mem0's database of what was said, without memory."""

    def get_last_messages(self, *_: Any, **__: Any) -> list[Any]:
        return []

    def save_messages(self, *_: Any) -> None:
        pass

    def batch_add_history(self, *_: Any) -> None:
        pass

    def close(self) -> None:
        pass
