"""Filling in what the texts of a workflow's steps refer to. Pure: the same texts, the same result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from pydantic import JsonValue

from backend.errors import StepFailed
from backend.graphs.prompt import quoted
from backend.models.workflow import INPUT, REFERENCE, references, texts_in

LONGEST_FILLED = 200_000
"""Characters of all texts of one step together: as many as a run's input may have. References can multiply texts."""


def texts_of(given: str, outputs: Mapping[str, str]) -> dict[str, str]:
    """What can be referred to: the run's input and what each step gave last."""
    return {**outputs, INPUT: given}


def given_to(prompt: str, texts: Mapping[str, str], last: str | None) -> list[tuple[str, str]]:
    """Name and text of what a prompt is given: what it refers to, or else the input and what the step `last` gave.

    What is referred to is there even when it is empty.
    """
    if names := references(prompt):
        return [(name, texts.get(name, "")) for name in names]
    names = [INPUT] if last is None else [INPUT, last]
    return [(name, texts[name]) for name in names if texts.get(name, "").strip()]


def filled_arguments(arguments: dict[str, JsonValue], texts: Mapping[str, str]) -> dict[str, JsonValue]:
    """Arguments with every text in them filled in, as it is. Errors: `StepFailed` when that grows too long."""
    _refuse_too_long(sum(len(piece) for _, text in texts_in(arguments) for piece in _pieces(text, texts, str)))
    return {name: _filled(value, texts) for name, value in arguments.items()}


def filled_message(message: str, texts: Mapping[str, str]) -> str:
    """A message that is one reference is that text; in other text it stands quoted, so that it cannot pass for it.

    Errors: `StepFailed` when that grows too long.
    """
    alone = REFERENCE.fullmatch(message.strip())
    pieces = list(_pieces(message.strip(), texts, str if alone else _whole_quoted))
    _refuse_too_long(sum(map(len, pieces)))
    return "".join(pieces)


def _whole_quoted(text: str) -> str:
    return quoted(text, LONGEST_FILLED)


def _filled(value: JsonValue, texts: Mapping[str, str]) -> JsonValue:
    if isinstance(value, str):
        return "".join(_pieces(value, texts, str))
    if isinstance(value, list):
        return [_filled(item, texts) for item in value]
    if isinstance(value, dict):
        return {name: _filled(item, texts) for name, item in value.items()}
    return value


def _pieces(text: str, texts: Mapping[str, str], written: Callable[[str], str]) -> Iterator[str]:
    """The text in pieces, so that its length is known before it is put together."""
    known = {name: written(texts.get(name, "")) for name in references(text)}
    for number, piece in enumerate(REFERENCE.split(text)):
        yield known[piece.strip()] if number % 2 else piece


def _refuse_too_long(length: int) -> None:
    if length > LONGEST_FILLED:
        raise StepFailed(
            f"With all references filled in, its texts have {length} characters; {LONGEST_FILLED} are allowed."
        )
