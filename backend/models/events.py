"""Events of a run, as they go over the wire, and the record from which any stream can be taken up again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from backend.errors import FieldError, Invalid

TERMINAL = frozenset({"message.completed", "run.failed"})
RESUMED = "run.resumed"
"""Another server went on with the run: what it wrote after this event's `offset` is void, and is written anew."""
_EVENT_ID = re.compile(r"(\d{1,9})-(\d{1,9})", re.ASCII)


class ServerEvent(NamedTuple):
    """One event: `id` names the place right after it, to be sent back as Last-Event-ID."""

    id: str
    type: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Mark:
    """An event that is no text: `offset` is how many characters of the answer had been written before it."""

    type: str
    offset: int
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a run's stream: how many marks and how many characters of text lie before it."""

    marks: int = 0
    offset: int = 0

    @property
    def id(self) -> str:
        """The event id of this place."""
        return f"{self.marks}-{self.offset}"

    @classmethod
    def parse(cls, event_id: str) -> Place:
        """The place an event id names. Errors: `Invalid` when it is no event id of ours."""
        match = _EVENT_ID.fullmatch(event_id)
        if match is None:
            raise Invalid(
                "Last-Event-ID is not an id of this stream; leave it out to start at the beginning.",
                [FieldError("", "Last-Event-ID must be an event id of this run, such as 1-0")],
            )
        return cls(int(match[1]), int(match[2]))


def events_after(place: Place, marks: Sequence[Mark], text: str) -> Iterator[ServerEvent]:
    """Everything of a run that lies behind `place`: no gap, no repeat, whatever pieces came before.

    Text between two marks comes as one `message.delta` `{text}`. Whoever is at the end already is told the end again:
    a server that was lost may have told more than it had stored, and a stream that never ends is asked for for ever.
    """
    at, offset = place.marks, place.offset
    if marks and marks[-1].type in TERMINAL:
        at = min(at, len(marks) - 1)
    for mark in marks[at:]:
        if mark.offset > offset:
            yield _delta(at, offset, mark.offset, text)
            offset = mark.offset
        if mark.type == RESUMED:
            offset = mark.offset
        at += 1
        # The whole answer is the run's text: marks do not hold it a second time.
        data = {**mark.data, "response": text} if mark.type == "message.completed" else mark.data
        yield ServerEvent(f"{at}-{offset}", mark.type, data)
    if len(text) > offset:
        yield _delta(at, offset, len(text), text)


def _delta(marks: int, start: int, end: int, text: str) -> ServerEvent:
    return ServerEvent(f"{marks}-{end}", "message.delta", {"text": text[start:end]})
