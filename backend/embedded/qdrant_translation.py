"""From the vocabulary of qdrant-client to that of the engine, and back.

What is not understood is refused: a condition that was silently dropped would widen a search.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import qdrant_edge as edge
from qdrant_client import models

_HARMLESS = frozenset({"consistency", "ordering", "timeout", "wait"})
"""What only says how a cluster should answer; here there is one copy, and every write is waited for."""


class NotUnderstood(NotImplementedError):
    """A request asks for something that is not translated."""


def refuse_the_rest(rest: Mapping[str, Any]) -> None:
    """Refuse every argument that would have changed the answer. Errors: `NotUnderstood`."""
    unknown = [name for name, value in rest.items() if value not in (None, False) and name not in _HARMLESS]
    if unknown:
        raise NotUnderstood(f"the embedded engine is not asked with {', '.join(unknown)}")


def to_filter(wanted: Any) -> edge.Filter | None:
    """The same conditions; None means all points."""
    if wanted is None:
        return None
    if not isinstance(wanted, models.Filter):
        raise NotUnderstood(f"a filter of the type {type(wanted).__name__}")
    if wanted.min_should is not None:
        raise NotUnderstood("min_should")
    return edge.Filter(must=_each(wanted.must), should=_each(wanted.should), must_not=_each(wanted.must_not))


def _each(conditions: Any) -> list[Any] | None:
    if conditions is None:
        return None
    some: Iterable[Any] = cast("list[Any]", conditions) if isinstance(conditions, list) else [conditions]
    return [_to_condition(one) for one in some]


def _to_condition(condition: Any) -> Any:
    if isinstance(condition, models.Filter):
        return to_filter(condition)
    if isinstance(condition, models.HasIdCondition):
        return edge.HasIdCondition(set(condition.has_id))
    if isinstance(condition, models.FieldCondition):
        return _to_field_condition(condition)
    raise NotUnderstood(f"a condition of the type {type(condition).__name__}")


def _to_field_condition(condition: models.FieldCondition) -> edge.FieldCondition:
    said = condition.model_dump(exclude_none=True, exclude={"key"})
    if set(said) == {"match"}:
        return edge.FieldCondition(key=condition.key, match=_to_match(condition.match))
    if set(said) == {"range"} and isinstance(condition.range, models.DatetimeRange):
        return edge.FieldCondition(key=condition.key, range=_to_range(condition.range))
    raise NotUnderstood(f"a condition on a field with {', '.join(sorted(said)) or 'nothing'}")


def _to_match(match: Any) -> Any:
    if isinstance(match, models.MatchValue):
        return edge.MatchValue(match.value)
    if isinstance(match, models.MatchAny):
        return edge.MatchAny(cast("list[str]", list(match.any)))
    raise NotUnderstood(f"a match of the type {type(match).__name__}")


def _to_range(limits: models.DatetimeRange) -> edge.RangeDateTime:
    bounds = {name: getattr(limits, name) for name in ("gte", "gt", "lte", "lt")}
    return edge.RangeDateTime(**{name: at.isoformat() if at else None for name, at in bounds.items()})


def to_vector(vector: Any) -> Any:
    """A dense or sparse vector, or several by name."""
    if isinstance(vector, models.SparseVector):
        return edge.SparseVector(vector.indices, vector.values)
    if isinstance(vector, dict):
        return {name: to_vector(part) for name, part in cast("dict[str, Any]", vector).items()}
    if isinstance(vector, list) and isinstance(next(iter(cast("list[Any]", vector)), None), float | int):
        return cast("list[float]", vector)
    raise NotUnderstood(f"a vector of the type {type(cast('Any', vector)).__name__}")


def to_query_request(request: models.QueryRequest) -> edge.QueryRequest:
    """A search for what is nearest to one vector. Prefetches, fusions and the rest are refused."""
    refuse_the_rest({
        "prefetch": request.prefetch, "score_threshold": request.score_threshold, "lookup_from": request.lookup_from,
        "shard_key": request.shard_key,
    })  # fmt: skip
    query = request.query.nearest if isinstance(request.query, models.NearestQuery) else request.query
    return edge.QueryRequest(
        limit=10 if request.limit is None else request.limit,
        offset=request.offset,
        query=edge.Query.Nearest(to_vector(query), using=request.using or None),
        filter=to_filter(request.filter),
        params=_to_search_params(request.params),
        with_payload=to_payload_selection(request.with_payload),
        with_vector=to_vector_selection(request.with_vector),
    )


def _to_search_params(params: models.SearchParams | None) -> edge.SearchParams | None:
    if params is None:
        return None
    refuse_the_rest(params.model_dump(exclude={"idf"}))
    corpus = params.idf.corpus if isinstance(params.idf, models.IdfCorpusParams) else None
    return edge.SearchParams(idf=None if corpus is None else edge.IdfParams(corpus=to_filter(corpus)))


def to_payload_selection(wanted: Any) -> bool | list[str]:
    """All, none, or these fields."""
    if wanted is None or isinstance(wanted, bool):
        return bool(wanted)
    if isinstance(wanted, list):
        return cast("list[str]", wanted)
    raise NotUnderstood(f"a payload selector of the type {type(wanted).__name__}")


def to_vector_selection(wanted: Any) -> bool | list[str]:
    """All, none, or these by name; the unnamed one's name is empty."""
    return to_payload_selection(wanted)


def to_point(point: models.PointStruct) -> edge.Point:
    """A point with its vectors and payload."""
    return edge.Point(point.id, to_vector(point.vector), point.payload or {})


def from_answers(answers: Sequence[Sequence[edge.ScoredPoint]]) -> list[list[models.ScoredPoint]]:
    """The hits of several searches. A vector takes longer to hand over than to find, so each is handed over once."""
    vectors: dict[edge.PointId, Any] = {}
    return [[_from_scored(point, vectors) for point in points] for points in answers]


def _from_scored(point: edge.ScoredPoint, vectors: dict[edge.PointId, Any]) -> models.ScoredPoint:
    point_id = point.id
    if point_id not in vectors:
        vectors[point_id] = _from_vector(point.vector)
    # What comes from the engine is not validated again.
    return models.ScoredPoint.model_construct(
        id=point_id,
        version=point.version,
        score=point.score,
        payload=point.payload,
        vector=vectors[point_id],
        shard_key=None,
        order_value=None,
    )


def from_record(point: edge.Record) -> models.Record:
    """A stored point."""
    return models.Record.model_construct(
        id=point.id,
        payload=point.payload,
        vector=_from_vector(point.vector),
        shard_key=None,
        order_value=None,
    )


def _from_vector(vector: Any) -> Any:
    if isinstance(vector, edge.SparseVector):
        return models.SparseVector(indices=vector.indices, values=vector.values)
    if isinstance(vector, dict):
        return {name: _from_vector(part) for name, part in cast("dict[str, Any]", vector).items()}
    return vector
