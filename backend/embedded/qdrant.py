"""A `QdrantClient` whose server is Qdrant's own engine inside this process, over a folder.

Code written for a server, ours and Mem0's, runs unchanged, and meets the errors that it would meet over the wire. One
process at a time. Everything in the folder is derived data: what cannot be read is removed, and made anew by others.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx
import qdrant_edge as edge
from qdrant_client import QdrantClient, models
from qdrant_client.client_base import QdrantBase
from qdrant_client.http.exceptions import UnexpectedResponse
from qdrant_client.http.models import QueryResponse

from backend.embedded.data_folder import DataFolderLock
from backend.embedded.qdrant_collection import (
    CollectionLost,
    EdgeCollection,
    EngineFailed,
    FieldIndex,
    Shape,
    is_collection,
)
from backend.embedded.qdrant_translation import (
    NotUnderstood,
    from_answers,
    from_record,
    refuse_the_rest,
    to_filter,
    to_payload_selection,
    to_point,
    to_query_request,
    to_vector_selection,
)
from backend.telemetry import get_logger

T = TypeVar("T")

_log = get_logger("numen.index")
_DONE = models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)


class EdgeQdrantClient(QdrantClient):
    """The part of a `QdrantClient` that Numen and Mem0 use, over `<root>/<collection>/`.

    Errors: `Misconfigured` when another process has the folder; afterwards `UnexpectedResponse`, 404 for a collection
    that is not there (any more) and 500 for a failure of the engine; `NotUnderstood` for what is not translated.
    """

    def __init__(self, root: Path) -> None:
        engine = _Engine(root)
        super().__init__(location=":memory:")
        self._client.close()
        self._client: QdrantBase = engine
        self._engine = engine

    def compact(self, collection_name: str | None = None) -> None:
        """Write one collection, or each, anew, so that nothing deleted is left in its files. Reads go on meanwhile."""
        self._engine.compact(collection_name)


class _Engine(QdrantBase):
    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self._lock = DataFolderLock(root)
        self._registry = threading.Lock()
        self._collections: dict[str, EdgeCollection] = {}
        self._take_folder()
        for folder in sorted(one for one in root.iterdir() if is_collection(one)):
            try:
                self._collections[folder.name] = EdgeCollection.open(folder)
            except CollectionLost as lost:
                _log.error("a collection cannot be read and is removed", collection=folder.name, reason=str(lost))
                shutil.rmtree(folder, ignore_errors=True)

    def _take_folder(self) -> None:
        """Hold the folder alone; again where it was removed, with the lock in it."""
        if not self._lock.path.exists():
            self._lock.release()
        if not self._lock.held:
            self._lock.acquire()
        self.root.chmod(0o700)  # vectors and namespaces are nobody else's business

    # --- collections

    def get_collections(self, **rest: Any) -> models.CollectionsResponse:
        """The names of all."""
        refuse_the_rest(rest)
        names = [name for name in list(self._collections) if self.collection_exists(name)]
        return models.CollectionsResponse(collections=[models.CollectionDescription(name=name) for name in names])

    def collection_exists(self, collection_name: str, **rest: Any) -> bool:
        """Whether it is there, with its files."""
        refuse_the_rest(rest)
        collection = self._collections.get(collection_name)
        if collection is not None and not collection.is_there():
            self._forget(collection_name, "its files were removed while it was open")
            return False
        return collection is not None

    def create_collection(
        self,
        collection_name: str,
        vectors_config: models.VectorParams | Mapping[str, models.VectorParams],
        sparse_vectors_config: Mapping[str, models.SparseVectorParams] | None = None,
        **rest: Any,
    ) -> bool:
        """An empty collection with one unnamed dense vector a point, and sparse ones."""
        rest.pop("hnsw_config", None)  # how a server builds its graphs; here a search compares with all there are
        refuse_the_rest(rest)
        shape = _shape(vectors_config, sparse_vectors_config or {})
        if collection_name != Path(collection_name).name or collection_name.startswith("."):
            raise _answer(HTTPStatus.BAD_REQUEST, f"{collection_name} cannot be a collection's name")
        exists = self.collection_exists(collection_name)
        with self._registry, _as_answers(collection_name):
            if exists or collection_name in self._collections:
                raise _answer(HTTPStatus.CONFLICT, f"Collection `{collection_name}` already exists!")
            self._take_folder()
            self._collections[collection_name] = EdgeCollection.create(self.root / collection_name, shape)
        return True

    def delete_collection(self, collection_name: str, **rest: Any) -> bool:
        """Whether there was one to take away."""
        refuse_the_rest(rest)
        with self._registry:
            collection = self._collections.pop(collection_name, None)
        if collection is None:
            return False
        with _as_answers(collection_name):
            collection.remove()
        return True

    def get_collection(self, collection_name: str, **rest: Any) -> models.CollectionInfo:
        """What it holds and how much."""
        refuse_the_rest(rest)
        collection = self._collection(collection_name)
        info = self._read(collection_name, lambda shard: shard.info())
        shape = collection.shape
        sparse = {name: models.SparseVectorParams(modifier=models.Modifier.IDF) for name in shape.sparse}
        params = models.CollectionParams(
            vectors=models.VectorParams(
                size=shape.size, distance=models.Distance(shape.distance), datatype=models.Datatype(shape.datatype)
            ),
            sparse_vectors=sparse or None,
        )
        return models.CollectionInfo.model_construct(
            status=models.CollectionStatus.GREEN,
            points_count=info.points_count,
            segments_count=info.segments_count,
            indexed_vectors_count=info.indexed_vectors_count,
            config=models.CollectionConfig.model_construct(params=params),
            payload_schema={},
        )

    def create_payload_index(
        self, collection_name: str, field_name: str, field_schema: Any = None, field_type: Any = None, **rest: Any
    ) -> models.UpdateResult:
        """Index a field: as keyword (of a tenant, or not) or as datetime."""
        refuse_the_rest({**rest, "field_type": field_type})
        index = _field_index(field_schema)
        with _as_answers(collection_name):
            self._collection(collection_name).add_field(field_name, index)
        return _DONE

    def compact(self, collection_name: str | None = None) -> None:
        """Write one collection, or each, anew."""
        for name in list(self._collections) if collection_name is None else [collection_name]:
            with self._forgetting(name):
                self._collection(name).compact()

    # --- points

    def upsert(self, collection_name: str, points: Any, **rest: Any) -> models.UpdateResult:
        """Insert or replace points, whole."""
        refuse_the_rest(rest)
        if not isinstance(points, Sequence):
            raise NotUnderstood("points that are not a list")
        new = [to_point(one) for one in cast("Sequence[models.PointStruct]", points)]
        return self._write(collection_name, edge.UpdateOperation.upsert_points(new))

    def delete(self, collection_name: str, points_selector: Any, **rest: Any) -> models.UpdateResult:
        """Delete points by their ids, or all that meet a filter."""
        refuse_the_rest(rest)
        chosen = points_selector.filter if isinstance(points_selector, models.FilterSelector) else points_selector
        if isinstance(chosen, models.Filter):
            condition = cast("edge.Filter", to_filter(chosen))
            return self._write(collection_name, edge.UpdateOperation.delete_points_by_filter(condition))
        ids = chosen.points if isinstance(chosen, models.PointIdsList) else chosen
        if not isinstance(ids, list):
            raise NotUnderstood(f"points chosen by {type(chosen).__name__}")
        return self._write(collection_name, edge.UpdateOperation.delete_points(cast("list[edge.PointId]", ids)))

    def query_points(  # noqa: PLR0913, PLR0917 — the client's signature
        self,
        collection_name: str,
        query: Any = None,
        using: str | None = None,
        prefetch: Any = None,
        query_filter: Any = None,
        search_params: Any = None,
        limit: int = 10,
        offset: int | None = None,
        with_payload: Any = True,
        with_vectors: Any = False,
        score_threshold: float | None = None,
        lookup_from: Any = None,
        **rest: Any,
    ) -> QueryResponse:
        """The points nearest to a vector."""
        refuse_the_rest({**rest, "prefetch": prefetch, "lookup_from": lookup_from, "score_threshold": score_threshold})
        request = models.QueryRequest(
            query=query,
            using=using,
            filter=query_filter,
            params=search_params,
            limit=limit,
            offset=offset,
            with_payload=with_payload,
            with_vector=with_vectors,
        )
        return self.query_batch_points(collection_name, [request])[0]

    def query_batch_points(
        self, collection_name: str, requests: Sequence[models.QueryRequest], **rest: Any
    ) -> list[QueryResponse]:
        """The answers to several searches, in order."""
        refuse_the_rest(rest)
        batch = edge.QueryBatchRequest([to_query_request(one) for one in requests])
        answers = self._read(collection_name, lambda shard: shard.query_batch(batch))
        return [QueryResponse.model_construct(points=points, query_vectors=None) for points in from_answers(answers)]

    def scroll(
        self,
        collection_name: str,
        scroll_filter: Any = None,
        limit: int = 10,
        order_by: Any = None,
        offset: Any = None,
        with_payload: Any = True,
        with_vectors: Any = False,
        **rest: Any,
    ) -> tuple[list[models.Record], Any]:
        """A page of points by their ids, and where the next one begins."""
        refuse_the_rest({**rest, "order_by": order_by})
        request = edge.ScrollRequest(
            limit=limit,
            offset=offset,
            filter=to_filter(scroll_filter),
            with_payload=to_payload_selection(with_payload),
            with_vector=to_vector_selection(with_vectors),
        )
        points, following = self._read(collection_name, lambda shard: shard.scroll(request))
        return [from_record(one) for one in points], following

    def retrieve(
        self,
        collection_name: str,
        ids: Sequence[Any],
        with_payload: Any = True,
        with_vectors: Any = False,
        **rest: Any,
    ) -> list[models.Record]:
        """Those of these points that are there."""
        refuse_the_rest(rest)
        payload, vectors = to_payload_selection(with_payload), to_vector_selection(with_vectors)
        found = self._read(collection_name, lambda shard: shard.retrieve(list(ids), payload, vectors))
        return [from_record(one) for one in found]

    def count(
        self, collection_name: str, count_filter: Any = None, exact: bool = True, **rest: Any
    ) -> models.CountResult:
        """How many points there are, or meet a filter."""
        refuse_the_rest(rest)
        request = edge.CountRequest(exact=exact, filter=to_filter(count_filter))
        return models.CountResult(count=self._read(collection_name, lambda shard: shard.count(request)))

    def close(self, **_: Any) -> None:
        """Close every collection and let the next process have the folder. May be called twice."""
        with self._registry:
            collections, self._collections = list(self._collections.values()), {}
        for collection in collections:
            with _as_answers(collection.folder.name):
                collection.close()
        self._lock.release()

    # --- the way to a collection

    def _collection(self, name: str) -> EdgeCollection:
        collection = self._collections.get(name)
        if collection is None:
            raise _missing(name)
        return collection

    def _read(self, name: str, ask: Callable[[edge.EdgeShard], T]) -> T:
        with self._forgetting(name):
            return self._collection(name).read(ask)

    def _write(self, name: str, operation: edge.UpdateOperation) -> models.UpdateResult:
        with self._forgetting(name):
            self._collection(name).write(operation)
        return _DONE

    @contextmanager
    def _forgetting(self, name: str) -> Generator[None]:
        """A collection whose files went away under it is missing from then on."""
        try:
            with _as_answers(name):
                yield
        except UnexpectedResponse as answer:
            if answer.status_code == HTTPStatus.NOT_FOUND:
                self._forget(name, "its files were removed while it was open")
            raise

    def _forget(self, name: str, reason: str) -> None:
        with self._registry:
            collection = self._collections.get(name)
            if collection is None or collection.is_there():
                return
            del self._collections[name]
        _log.error("a collection is missing", collection=name, reason=reason)
        with _as_answers(name):
            collection.close()


@contextmanager
def _as_answers(name: str) -> Generator[None]:
    try:
        yield
    except CollectionLost:
        raise _missing(name) from None
    except (EngineFailed, OSError) as failure:
        raise _answer(HTTPStatus.INTERNAL_SERVER_ERROR, str(failure)) from failure


def _missing(name: str) -> UnexpectedResponse:
    return _answer(HTTPStatus.NOT_FOUND, f"Not found: Collection `{name}` doesn't exist!")


def _answer(status: HTTPStatus, words: str) -> UnexpectedResponse:
    return UnexpectedResponse(int(status), status.phrase, words.encode(), httpx.Headers())


def _shape(
    dense: models.VectorParams | Mapping[str, models.VectorParams], sparse: Mapping[str, models.SparseVectorParams]
) -> Shape:
    if not isinstance(dense, models.VectorParams):
        raise NotUnderstood("dense vectors with names")
    refuse_the_rest(dense.model_dump(exclude={"size", "distance", "datatype", "on_disk"}))
    if any(one.modifier is not models.Modifier.IDF for one in sparse.values()):
        raise NotUnderstood("sparse vectors without IDF")
    datatype = dense.datatype or models.Datatype.FLOAT32
    if datatype not in {models.Datatype.FLOAT32, models.Datatype.FLOAT16}:
        raise NotUnderstood(f"vectors stored as {datatype}")
    return Shape(dense.size, dense.distance.value, datatype.value, tuple(sparse))


def _field_index(schema: Any) -> FieldIndex:
    kind = getattr(schema, "type", schema)
    match getattr(kind, "value", kind):
        case "keyword":
            return FieldIndex("keyword", bool(getattr(schema, "is_tenant", None)))
        case "datetime":
            return FieldIndex("datetime")
        case other:
            raise NotUnderstood(f"an index over a field as {other}")
