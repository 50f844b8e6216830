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
from backend.ports import IndexHit, MissedMemory, PromptMessage, RecalledMemory, Vector
from backend.services.memory.confidence import Calibration, confidence, evidence_of_words, noise
from backend.services.memory.memory_reading import asking_share, plain, tells_of_speaker, tells_time
from backend.services.memory.query_dates import Span
from backend.services.memory.query_reading import QueryReading
from backend.services.memory.ranking import (
    POOL,
    Candidates,
    Flags,
    Floats,
    Integers,
    Ranking,
    Signs,
    Weighing,
    as_share,
    placed,
    ranked,
    relevance,
)
from backend.stores.memory_rows import RecallRow

MOST_NEAR_MISSES = 5
MOST_RANKED = 100
"""Of all candidates, by relevance."""
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


@dataclass(frozen=True, slots=True)
class Scene:
    """When it is asked, in an index of how many points, and what likeness means there."""

    now: datetime
    points: int
    calibration: Calibration


class Selection:
    """The candidates of a recall: first which of them are in question, then, with the vectors of those, who wins."""

    def __init__(
        self,
        hits: Sequence[IndexHit],
        rows: Mapping[UUID, RecallRow],
        reading: QueryReading,
        query: RecallQuery,
        scene: Scene,
    ) -> None:
        self._reading, self._query, self._scene = reading, query, scene
        self._found = found = _best(hits, rows, reading, query, scene)
        self._of_person = np.array([row.scope == "user" for row in found.rows], dtype=bool)
        passing = _passing(found, query, scene) | (self._of_person & reading.of_person)
        self._reasons = _refusals(found.rows, passing, query, scene.now)
        self._eligible = np.array([reason is None for reason in self._reasons], dtype=bool)

    def in_question(self) -> list[UUID]:
        """Whose vectors say which of two is the newer about one thing; none where no present state is asked for."""
        if not self._reading.wants_state:
            return []
        return [self._found.rows[place].id for place in _places(np.flatnonzero(self._eligible)[:POOL])]

    def made(self, vectors: Mapping[UUID, Vector]) -> Recall:
        """The best `k` of those whose rows may be seen."""
        found, query = self._found, self._query
        weighing = Weighing(query.settings, self._reading.wants_present, self._reading.wants_state)
        ranking = ranked(_candidates(found, self._eligible, self._scene.now, vectors), weighing)
        shown, _ = placed(ranking.order, self._of_person, query.k, query.settings.max_user_memories)
        return Recall(
            [_recalled(found.rows[place], _parts(place, found, ranking)) for place in _places(shown)],
            _near_misses(found, self._reasons, shown, ranking),
            _rounded(self._confidence(shown)),
        )

    def _confidence(self, shown: Integers) -> float:
        found, eligible = self._found, self._eligible
        sure = confidence(
            found.relevance[eligible], found.likeness[eligible], found.words[eligible], self._scene.calibration
        )
        if self._reading.of_person:
            # Whatever is known of a person answers what is known of them; each more makes that surer.
            sure = max(sure, 1 - 0.5 ** int(self._of_person[shown].sum()))
        return sure


@dataclass(frozen=True, slots=True)
class _Found:
    """The candidates that are ranked, most relevant first: arrays, and rows, of one length."""

    rows: Sequence[RecallRow]
    relevance: Floats
    likeness: Floats
    words: Floats


def _best(
    hits: Sequence[IndexHit], rows: Mapping[UUID, RecallRow], reading: QueryReading, query: RecallQuery, scene: Scene
) -> _Found:
    asked = {(one.agent_id, one.scope, one.subject_id) for one in query.namespaces}
    pairs = [(hit, row) for hit in hits if (row := rows.get(hit.id))]
    seen = [(hit, row) for hit, row in pairs if (row.agent_id, row.scope, row.subject_id) in asked]
    signs = _signs([hit for hit, _ in seen], [row for _, row in seen], reading)
    relevant = relevance(signs)
    best = np.argsort(-relevant, kind="stable")[:MOST_RANKED]
    return _Found(
        rows=[seen[place][1] for place in _places(best)],
        relevance=relevant[best],
        likeness=signs.likeness[best],
        words=evidence_of_words(signs.word_score[best], scene.points),
    )


def _passing(found: _Found, query: RecallQuery, scene: Scene) -> Flags:
    floor = query.settings.relevance_floor
    if floor is not None:
        return as_share(found.relevance) >= floor
    return ~noise(found.likeness, found.words, scene.calibration)


def _candidates(found: _Found, eligible: Flags, now: datetime, vectors: Mapping[UUID, Vector]) -> Candidates:
    numbers: dict[str, int] = {}
    places: dict[UUID | None, int] = {row.id: place for place, row in enumerate(found.rows)}
    dimensions = next((len(vector) for vector in vectors.values()), 1)
    nowhere = np.zeros(dimensions, np.float32)  # like nothing
    return Candidates(
        relevance=found.relevance,
        age_days=np.array([(now - row.valid_from).total_seconds() / _DAY_SECONDS for row in found.rows]),
        confirmations=np.array([row.confirmations for row in found.rows]),
        speaker=np.array([numbers.setdefault(row.speaker, len(numbers)) for row in found.rows]),
        vectors=np.array([vectors.get(row.id, nowhere) for row in found.rows]).reshape(-1, dimensions),
        eligible=eligible,
        revised_by=np.array([places.get(row.superseded_by, -1) for row in found.rows], dtype=np.int64),
    )


def _signs(hits: Sequence[IndexHit], rows: Sequence[RecallRow], reading: QueryReading) -> Signs:
    occasions: dict[object, int] = {}
    return Signs(
        likeness=np.array([hit.likeness for hit in hits], dtype=np.float64),
        word_score=np.array([hit.word_score for hit in hits], dtype=np.float64),
        session=np.array([occasions.setdefault(_occasion(row), len(occasions)) for row in rows], dtype=np.int64),
        speaker=np.array([bool(reading.speaker) and row.speaker == reading.speaker for row in rows]),
        span=np.array([_inside(row.valid_from, reading.spans) for row in rows]),
        asking=np.array([asking_share(row.text) for row in rows]),
        time=np.array([reading.wants_time and tells_time(row.text) for row in rows]),
        person=np.array([reading.of_person and _tells_of_person(row) for row in rows]),
    )


def _tells_of_person(row: RecallRow) -> bool:
    return row.scope == "user" and (row.kind != "message" or tells_of_speaker(row.text))


def _occasion(row: RecallRow) -> object:
    """A thread is taken up again on other days, about other things; what was said in no thread stands alone."""
    return row.id if row.thread_id is None else (row.thread_id, row.valid_from.date())


def _inside(moment: datetime, spans: Sequence[Span]) -> bool:
    return any(start <= moment <= end for start, end in spans)


def _refusals(rows: Sequence[RecallRow], passing: Flags, query: RecallQuery, now: datetime) -> list[MissReason | None]:
    view = _View(query)
    return [_refusal(row, now, view, passes=bool(passes)) for row, passes in zip(rows, passing, strict=True)]


class _View:
    """What the model reads anyway. A person's words count wherever they stand in a message; an agent that repeats some
    in an answer of its own has not made them known.
    """

    def __init__(self, query: RecallQuery) -> None:
        self._said = " ".join(plain(one.content) for one in query.in_view if one.role == "user")
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


def _near_misses(
    found: _Found, reasons: Sequence[MissReason | None], shown: Integers, ranking: Ranking
) -> list[MissedMemory]:
    inside = set(_places(shown))
    out = [place for place in range(len(found.rows)) if place not in inside][:MOST_NEAR_MISSES]
    return [
        MissedMemory(
            found.rows[place].id, reasons[place] or _why_out(place, shown, ranking), _parts(place, found, ranking)
        )
        for place in out
    ]


def _why_out(place: int, shown: Integers, ranking: Ranking) -> MissReason:
    """Too old is what would have had a place, had age not counted."""
    fits = ranking.semantic[place] > ranking.semantic[shown].min(initial=1.0)
    older = ranking.recency[place] < ranking.recency[shown].max(initial=0.0)
    return "too_old" if fits and older else "out_of_places"


def _recalled(row: RecallRow, parts: ScoreParts) -> RecalledMemory:
    return RecalledMemory(row.id, row.text, row.scope, parts, row.speaker, row.valid_from)


def _parts(place: int, found: _Found, ranking: Ranking) -> ScoreParts:
    return ScoreParts(
        score=_rounded(ranking.score[place]),
        relevance=_rounded(as_share(found.relevance)[place]),
        semantic=_rounded(ranking.semantic[place]),
        recency=_rounded(ranking.recency[place]),
        reinforcement=_rounded(ranking.reinforcement[place]),
    )


def _places(array: Integers) -> list[int]:
    return [int(place) for place in array]


def _rounded(number: float) -> float:
    return round(float(number), 4)
