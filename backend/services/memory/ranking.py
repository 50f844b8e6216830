"""The rank of memories: what bears on the question, weighed with recency and reinforcement. Pure, over small arrays.

The constants stand here and nowhere else; `docs/decisions/0023-retrieval.md` says what they were measured on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backend.models.memory_settings import MemorySettings
from backend.ports import Vector

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

CANDIDATES = 100
"""How many are asked of the index by meaning, as many by words, and as many of a time that the question names."""
POOL = 20
LEAST_RELEVANCE = 0.1
"""Where the scale of a pool begins that has nothing in it."""
CONFIRMATIONS_THAT_COUNT = 2.0
"""F is tanh(confirmations / this): two raise it to .76, and nothing raises it to 1."""
UNASKED_RECENCY = 0.3
_A_HAIR = 1e-6


@dataclass(frozen=True, slots=True)
class Shares:
    """What each sign is worth. `own` and `session` share likeness, which is at most 1; the others are added to it."""

    own: float = 0.60
    session: float = 0.40
    words: float = 0.20
    speaker: float = 0.20
    span: float = 0.25
    asking: float = -0.10
    time: float = 0.20
    person: float = 0.50

    @property
    def most(self) -> float:
        """The sum for a memory for which everything speaks that a question can name."""
        return self.own + self.session + self.words + self.speaker + self.span + self.time


SHARES = Shares()


@dataclass(frozen=True, slots=True)
class Signs:
    """What speaks for each candidate: arrays of one length. `session` numbers what was said on one occasion;
    `asking` is the share of a memory that is a question; `time` is set where the question is when, and it says so;
    `person` where the question is what is known of somebody, and it tells of them.
    """

    likeness: Floats
    word_score: Floats
    session: Integers
    speaker: Flags
    span: Flags
    asking: Floats
    time: Flags
    person: Flags


@dataclass(frozen=True, slots=True)
class NewerWins:
    """When an older memory gives way to a newer one of the same speaker about the same thing.

    `topic` and `fact` are likenesses of vectors. From `topic` on the older is weakened by `weaken`; from `fact` on
    it goes behind a newer one that has at least the share `able` of its S. Where now is asked for expressly, recency
    counts fully, and only the latter holds, earlier. What was said within `apart_days` is of one sitting.
    """

    topic: float = 0.60
    weaken: float = 0.20
    fact: float = 0.70
    fact_now: float = 0.65
    able: float = 0.5
    able_now: float = 0.3
    apart_days: float = 1 / 24


NEWER_WINS = NewerWins()


@dataclass(frozen=True, slots=True)
class Weighing:
    """What turns relevance into a rank: the contract's weights, and what the question asks for."""

    settings: MemorySettings = field(default_factory=MemorySettings)
    wants_present: bool = False
    wants_state: bool = False


@dataclass(frozen=True, slots=True)
class Candidates:
    """What is ranked: arrays of one length. `eligible` says which may have a place; `speaker` numbers who said it;
    `revised_by` is the place of the one that is known to be newer about a part of it, −1 where there is none.
    """

    relevance: Floats
    age_days: Floats
    confirmations: Floats
    speaker: Integers
    vectors: Vector
    eligible: Flags
    revised_by: Integers


@dataclass(frozen=True, slots=True)
class Ranking:
    """The parts of each candidate's score; `order` holds the candidates' places, best first."""

    order: Integers
    semantic: Floats
    recency: Floats
    reinforcement: Floats
    score: Floats


def relevance(signs: Signs, shares: Shares = SHARES) -> Floats:
    """How much each candidate bears on the question. Absolute: what fits badly looks bad alone, too."""
    if not len(signs.likeness):
        return signs.likeness
    total = shares.own * signs.likeness + shares.session * _best_of_session(signs.likeness, signs.session)
    most = signs.word_score.max()
    if most > 0:
        total = total + shares.words * signs.word_score / most
    total = total + shares.speaker * signs.speaker + shares.span * signs.span
    return total + shares.asking * signs.asking + shares.time * signs.time + shares.person * signs.person


def as_share(relevant: Floats, shares: Shares = SHARES) -> Floats:
    """Relevance in [0, 1]: 1 for a memory for which everything speaks."""
    return np.clip(relevant / shares.most, 0.0, 1.0)


def _best_of_session(likeness: Floats, session: Integers) -> Floats:
    best = np.full(int(session.max()) + 1, -np.inf)
    np.maximum.at(best, session, likeness)
    return best[session]


def recency(age_days: Floats, half_life_days: float) -> Floats:
    """1 for what was said just now, half with every half-life."""
    return np.power(0.5, np.maximum(age_days, 0.0) / half_life_days)


def reinforcement(confirmations: Floats) -> Floats:
    """What was said again or proved good counts for it, what proved bad against it; in (-1, 1)."""
    return np.tanh(confirmations / CONFIRMATIONS_THAT_COUNT)


def ranked(candidates: Candidates, weighing: Weighing) -> Ranking:
    """The best `POOL` by score = α_semantic·S + α_recency·(R·S) + α_reinforcement·(F·S), then the rest by relevance.

    Only what is eligible has a place; the parts are given for all.
    """
    settings, relevant = weighing.settings, candidates.relevance
    eligible = np.flatnonzero(candidates.eligible)
    by_relevance = eligible[np.argsort(-relevant[eligible], kind="stable")]
    pool = by_relevance[:POOL]
    semantic = on_scale_of(relevant[pool], relevant)
    fresh = recency(candidates.age_days, settings.half_life_days)
    confirmed = reinforcement(candidates.confirmations)
    asked = 1.0 if weighing.wants_present else UNASKED_RECENCY
    score = semantic * (
        settings.alpha_semantic + settings.alpha_recency * asked * fresh + settings.alpha_reinforcement * confirmed
    )
    if weighing.wants_present or weighing.wants_state:
        score[pool] = newer_first(score[pool], semantic[pool], candidates, pool, now=weighing.wants_present)
    order = np.concatenate([pool[np.argsort(-score[pool], kind="stable")], by_relevance[POOL:]])
    return Ranking(order, semantic, fresh, confirmed, score)


def on_scale_of(pool: Floats, relevant: Floats) -> Floats:
    """Relevance on the scale of the pool: 1 for its best, 0 for its worst.

    The emptier the pool, the lower the scale begins: the second of two is no worse for there being no third.
    """
    if not len(pool):
        return np.zeros_like(relevant)
    low = pool.min() - max(pool.min() - LEAST_RELEVANCE, 0.0) * (1 - len(pool) / POOL)
    spread = pool.max() - low
    return np.clip((relevant - low) / spread, 0.0, 1.0) if spread > 0 else np.ones_like(relevant)


def newer_first(
    score: Floats, semantic: Floats, candidates: Candidates, pool: Integers, *, now: bool, rule: NewerWins = NEWER_WINS
) -> Floats:
    """The scores of a pool after what is newer has won over what it is newer than."""
    vectors, speaker, age = candidates.vectors[pool], candidates.speaker[pool], candidates.age_days[pool]
    newer = (speaker[:, None] == speaker[None, :]) & (age[None, :] + rule.apart_days < age[:, None])
    likeness = vectors @ vectors.T
    if not now:
        score = score * (1 - rule.weaken * ((likeness >= rule.topic) & newer).any(axis=1))
    alike, able = (rule.fact_now, rule.able_now) if now else (rule.fact, rule.able)
    known = candidates.revised_by[pool][:, None] == pool[None, :]
    beats = (known | (newer & (likeness >= alike))) & (semantic[None, :] >= able * semantic[:, None])
    best = np.where(beats, score[None, :], -1.0).max(axis=1, initial=-1.0)
    return np.where(beats.any(axis=1), np.minimum(score, best * (1 - _A_HAIR)), score)


def placed(order: Integers, of_person: Flags, k: int, guaranteed: int) -> tuple[Integers, Integers]:
    """Who gets the `k` places and who does not, both in order.

    `order` lists candidates, `of_person` says of each candidate whether it is of the person's own namespace: up to
    `guaranteed` of those, if they are among the best `POOL`, have a place.
    """
    shown, rest = order[:k], order[k:]
    lacking = min(guaranteed, k) - int(of_person[shown].sum())
    fitting = order[k:POOL]
    waiting = fitting[of_person[fitting]][: max(lacking, 0)]
    if not len(waiting):
        return shown, rest
    others = shown[~of_person[shown]]
    leaving = others[len(others) - len(waiting) :]
    inside = (np.isin(order, shown) & ~np.isin(order, leaving)) | np.isin(order, waiting)
    return order[inside], order[~inside]
