"""What a question says about where its answer lies: whom it names, which time it means, and whether now counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from backend.services.memory.query_dates import Span, date_spans

_PRESENT = re.compile(
    r"\b(?:now|current(?:ly)?|these days|latest|(?:most )?recent(?:ly)?|today|nowadays|at the moment|at present|still"
    r"|last time|any ?more)\b",
    re.IGNORECASE,
)
_WHEN = re.compile(
    r"\s*(?:when\b|(?:on |in )?(?:what|which) (?:date|day|month|year|time)\b|how long\b"
    r"|how many (?:days|weeks|months|years)\b)",
    re.IGNORECASE,
)
_STATE = re.compile(r"\b(?:is|are|am|do|does|has|have)\b|['’]s\b", re.IGNORECASE)
_OTHER_TIME = re.compile(
    r"\b(?:did|was|were|had|will|would|could|might|last|ago|used to|before|first)\b", re.IGNORECASE
)
_WORDS_OF_A_STATE = 5
_OF_PERSON = re.compile(
    r"\b(?:know|knew|remember|recall|learn(?:ed|t)?|heard|told)\b[^.?!]{0,30}\b(?:about|of) me\b"
    r"|\b(?:know|remember) me\b|\bwho am i\b|\b(?:everything|anything|all) about me\b|\bwhat have i told you\b",
    re.IGNORECASE,
)
_SPACES = re.compile(r"\s+")
_LONGEST_READ = 2000


@dataclass(frozen=True, slots=True)
class QueryReading:
    """`topic` is what to look for: the question without the names in it, which say who, not what.

    `speaker` is the one person of the conversation whom it names ("" when none, or several). `spans` are the times it
    means, latest first. `wants_present`: it asks expressly how things are now; `wants_state`: or of no other time.
    `wants_time`: its answer is a time. `of_person`: it asks what is known of the person who asks, whatever that is.
    """

    topic: str
    speaker: str = ""
    spans: tuple[Span, ...] = ()
    wants_present: bool = False
    wants_state: bool = False
    wants_time: bool = False
    of_person: bool = False


def read_query(query: str, speakers: Sequence[str], now: datetime) -> QueryReading:
    """Read a question asked at `now` in a conversation of these speakers. Only its beginning is looked at for signs."""
    start = query[:_LONGEST_READ]
    named = [speaker for speaker in speakers if _names(speaker, start)]
    spans, wants_present = date_spans(start, now), bool(_PRESENT.search(start))
    return QueryReading(
        topic=without_names(query, speakers),
        speaker=named[0] if len(named) == 1 else "",
        spans=spans,
        wants_present=wants_present,
        wants_state=wants_present or (not spans and _is_state(start)),
        wants_time=bool(_WHEN.match(start)),
        of_person=bool(_OF_PERSON.search(start)),
    )


def _is_state(query: str) -> bool:
    beginning = " ".join(query.split()[:_WORDS_OF_A_STATE])
    return bool(_STATE.search(beginning)) and not _OTHER_TIME.search(query)


def without_names(query: str, speakers: Sequence[str]) -> str:
    """The question without the speakers' names; as it was where nothing else is in it."""
    names = {name for speaker in speakers for name in (speaker, *_parts(speaker))}
    if not names:
        return query
    longest_first = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True) if name)
    masked = re.sub(rf"\b(?:{longest_first})(?:['’]s|['’])?(?!\w)", "", query, flags=_flags(query))
    return _SPACES.sub(" ", masked).strip() if re.search(r"\w", masked) else query


def _names(speaker: str, query: str) -> bool:
    return any(re.search(rf"\b{re.escape(part)}\b", query, _flags(query)) for part in _parts(speaker))


def _parts(name: str) -> list[str]:
    return [part for part in name.split() if len(part) > 1]


def _flags(query: str) -> re.RegexFlag:
    # Will, May and Mark are words, too: small letters name somebody only where all letters are small.
    return re.IGNORECASE if query == query.lower() else re.NOFLAG
