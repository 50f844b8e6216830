"""Which of the candidates get the places of a turn, and what became of those that nearly did. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import numpy as np

from backend.models.memory import MissReason, ScoreParts
from backend.models.memory_settings import MemorySettings
from backend.models.namespace import Namespace
from backend.ports import IndexHit, MissedMemory, PromptMessage, RecalledMemory
from backend.services.memory.confidence import confidence
from backend.services.memory.memory_reading import asking_share, plain, tells_time
from backend.services.memory.query_dates import Span
from backend.services.memory.query_reading import QueryReading
from backend.services.memory.ranking import (
    FLOOR,
    Flags,
    Floats,
    Integers,
    Ranking,
    Signs,
    Weighing,
    placed,
    ranked,
    relevance,
)
from backend.stores.memory_rows import RecallRow

MOST_NEAR_MISSES = 5
_DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class RecallQuery:
    """What is asked, of which namespaces (of one tenant and agent), for how many places.

    `in_view`: messages that are before the model already, so that what they say need not be recalled.
    """

    text: str
    namespaces: Sequence[Namespace]
    k: int
    in_view: Sequence[PromptMessage] = ()
    settings: MemorySettings = field(default_factory=MemorySettings)


@dataclass(frozen=True, slots=True)
class Recall:
    """Memories with why they have their place, best first; those that nearly had one; and how sure that makes."""

    memories: Sequence[RecalledMemory] = ()
    near_misses: Sequence[MissedMemory] = ()
    confidence: float = 0.0


def select(
    hits: Sequence[IndexHit], rows: Mapping[UUID, RecallRow], reading: QueryReading, query: RecallQuery, now: datetime
) -> Recall:
    """The best `k` of the hits whose rows may be seen. `now` is when the question is asked."""
    asked = {(one.agent_id, one.scope, one.subject_id) for one in query.namespaces}
    found = [
        (hit, row) for hit in hits if (row := rows.get(hit.id)) and (row.agent_id, row.scope, row.subject_id) in asked
    ]
    if not found:
        return Recall()
    relevant = relevance(_signs(found, reading))
    of_person = np.array([row.scope == "user" for _, row in found])
    floor = FLOOR if query.settings.relevance_floor is None else query.settings.relevance_floor
    passing = (relevant >= floor) | (of_person & reading.of_person)
    reasons = _refusals(found, passing, query, now)
    ranking = ranked(
        relevant,
        np.array([(now - row.valid_from).total_seconds() / _DAY_SECONDS for _, row in found]),
        np.array([row.confirmations for _, row in found]),
        np.array([reason is None for reason in reasons]),
        Weighing(query.settings, reading.wants_present, floor),
    )
    shown, rest = placed(ranking.order, of_person, query.k, query.settings.max_user_memories)
    for place in _places(rest):
        reasons[place] = _why_out(place, shown, ranking)
    return Recall(
        [_recalled(found[place][1], _parts(place, relevant, ranking)) for place in _places(shown)],
        _near_misses(found, relevant, reasons, ranking),
        confidence(relevant[shown]),
    )


def _signs(found: Sequence[tuple[IndexHit, RecallRow]], reading: QueryReading) -> Signs:
    occasions: dict[object, int] = {}
    rows = [row for _, row in found]
    return Signs(
        likeness=np.array([hit.likeness for hit, _ in found], dtype=np.float64),
        word_score=np.array([hit.word_score for hit, _ in found], dtype=np.float64),
        session=np.array([occasions.setdefault(_occasion(row), len(occasions)) for row in rows]),
        speaker=np.array([bool(reading.speaker) and row.speaker == reading.speaker for row in rows]),
        span=np.array([_inside(row.valid_from, reading.spans) for row in rows]),
        asking=np.array([asking_share(row.text) for row in rows]),
        time=np.array([reading.wants_time and tells_time(row.text) for row in rows]),
    )


def _occasion(row: RecallRow) -> object:
    """A thread is taken up again on other days, about other things; what was said in no thread stands alone."""
    return row.id if row.thread_id is None else (row.thread_id, row.valid_from.date())


def _inside(moment: datetime, spans: Sequence[Span]) -> bool:
    return any(start <= moment <= end for start, end in spans)


def _refusals(
    found: Sequence[tuple[IndexHit, RecallRow]], passing: Flags, query: RecallQuery, now: datetime
) -> list[MissReason | None]:
    view = _View(query)
    return [_refusal(row, now, view, passes=bool(passes)) for (_, row), passes in zip(found, passing, strict=True)]


class _View:
    """What the model reads anyway. A person's words count wherever they stand in a message; an agent that repeats some
    in an answer of its own has not made them known.
    """

    def __init__(self, query: RecallQuery) -> None:
        said = [plain(one.content) for one in query.in_view if one.role == "user"]
        self._said = " ".join([*said, plain(query.text)])
        self._whole = {plain(one.content) for one in query.in_view}

    def __contains__(self, text: str) -> bool:
        words = plain(text)
        return words in self._said or words in self._whole


def _refusal(row: RecallRow, now: datetime, view: _View, *, passes: bool) -> MissReason | None:
    if not passes:
        return "below_floor"
    if row.superseded_at is not None:
        return "superseded"
    if row.expires_at is not None and row.expires_at <= now:
        return "expired"
    return "in_view" if row.text in view else None


def _why_out(place: int, shown: Integers, ranking: Ranking) -> MissReason:
    """Too old is what would have had a place, had age not counted."""
    undated = ranking.score[place] > 0 and ranking.semantic[place] > ranking.semantic[shown].min(initial=1.0)
    older = ranking.recency[place] < ranking.recency[shown].max(initial=0.0)
    return "too_old" if undated and older else "out_of_places"


def _near_misses(
    found: Sequence[tuple[IndexHit, RecallRow]],
    relevant: Floats,
    reasons: Sequence[MissReason | None],
    ranking: Ranking,
) -> list[MissedMemory]:
    misses: list[MissedMemory] = []
    for place in _places(np.argsort(-relevant, kind="stable")):
        reason = reasons[place]
        if reason is not None and len(misses) < MOST_NEAR_MISSES:
            misses.append(MissedMemory(found[place][1].id, reason, _parts(place, relevant, ranking)))
    return misses


def _recalled(row: RecallRow, parts: ScoreParts) -> RecalledMemory:
    return RecalledMemory(row.id, row.text, row.scope, parts, row.speaker, row.valid_from)


def _parts(place: int, relevant: Floats, ranking: Ranking) -> ScoreParts:
    return ScoreParts(
        score=_rounded(ranking.score[place]),
        relevance=_rounded(relevant[place]),
        semantic=_rounded(ranking.semantic[place]),
        recency=_rounded(ranking.recency[place]),
        reinforcement=_rounded(ranking.reinforcement[place]),
    )


def _places(array: Integers) -> list[int]:
    return [int(place) for place in array]


def _rounded(number: float) -> float:
    return round(float(number), 4)
