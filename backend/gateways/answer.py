"""What both wires of a model provider come to: an answer, read with care from JSON that may hold anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

from backend.gateways.text_cleaner import clean
from backend.ports import ToolCall, Usage

LARGEST_TEXT = 200_000
LARGEST_COUNT = 2**31 - 1


class BadAnswer(Exception):
    """The provider answered with something that is no answer; the text is for people."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer of either wire."""

    text: str
    tool_calls: tuple[ToolCall, ...]
    usage: Usage
    finish_reason: str


class AnswerReader(Protocol):
    """Reads the events of one stream. Errors: `BadAnswer`."""

    token_seen: bool
    """Whether the model has begun to answer, be it with a thought or a tool."""
    finished: bool
    """Whether the provider has said that the answer is complete."""

    def feed(self, event: object) -> str:
        """Take one event; the text it brings, cleaned, often empty."""
        ...

    def rest(self) -> str:
        """Text that was held back until the end."""
        ...

    def answer(self) -> Answer:
        """The whole answer once the stream has ended."""
        ...


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether this is a JSON object."""
    return isinstance(value, dict)


def member(value: object, name: str) -> dict[str, Any]:
    """A member that must be an object; an absent or foreign one reads as empty."""
    found = value.get(name) if is_object(value) else None
    return found if is_object(found) else {}


def is_list(value: object) -> TypeGuard[list[object]]:
    """Whether this is a JSON list."""
    return isinstance(value, list)


def rows(value: object) -> list[dict[str, Any]]:
    """The objects of a list; anything else reads as empty."""
    return [item for item in value if is_object(item)] if is_list(value) else []


def words(value: object) -> str:
    """Text as the servers write it: a string, or a list of parts with a `text`. Errors: `BadAnswer`."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if is_list(value):
        return "".join(words(part.get("text")) for part in rows(value))
    raise BadAnswer(f"the text of the answer is a {type(value).__name__}")


def tokens(usage: object, *names: str) -> int:
    """The first of the named counts that is a sensible number; zero when there is none."""
    counts = usage if is_object(usage) else {}
    for name in names:
        count = counts.get(name)
        if type(count) is int and 0 <= count <= LARGEST_COUNT:
            return count
    return 0


def checked(text: str, tool_calls: tuple[ToolCall, ...], usage: Usage, finish_reason: str) -> Answer:
    """The answer, if it is one: it says something or calls a tool, and is not endless. Errors: `BadAnswer`."""
    if len(text) > LARGEST_TEXT:
        raise BadAnswer(f"the answer is longer than {LARGEST_TEXT} characters")
    if not text.strip() and not tool_calls:
        raise BadAnswer(_EMPTY.get(finish_reason, "the answer is empty"))
    return Answer(text, tool_calls, usage, "tool_calls" if tool_calls else finish_reason)


_EMPTY = {
    "length": "all its tokens were used up before it wrote a word: raise max_tokens or lower reasoning_effort",
    "content_filter": "the provider's content filter held the answer back",
}


def called(call_id: object, name: object, arguments: object, position: int) -> ToolCall:
    """One tool call from its parts. Errors: `BadAnswer` when it names no tool."""
    if not isinstance(name, str) or not name:
        raise BadAnswer("a tool call names no tool")
    if arguments is not None and not isinstance(arguments, str):
        raise BadAnswer("the arguments of a tool call are no text")
    own_id = call_id if isinstance(call_id, str) and call_id else f"call_{position}"
    return ToolCall(clean(own_id), clean(name), clean(arguments or "{}"))
