"""Reading a verdict out of what a model wrote: an object of JSON, maybe in a fence or with words around it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from backend.models.explanation import explain
from backend.models.interview_progress import Verdict

_MOST_LOOKS = 100


class NoVerdict(ValueError):
    """There is none; the text says what is wrong, for the model that wrote it."""


def read_verdict(text: str) -> Verdict:
    """The last object in the text that says whether the goal is reached. Errors: `NoVerdict`."""
    found = [one for one in _objects(text) if "done" in one]
    if not found:
        raise NoVerdict('there is no JSON object with "done" in it')
    given = {name: value for name, value in found[-1].items() if name in Verdict.model_fields and value is not None}
    try:
        return Verdict.model_validate(given)
    except ValidationError as error:
        where, what = explain(error.errors())[0]
        raise NoVerdict(f"{where} {what}") from error


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The objects in a text, outermost only, in their order."""
    decoder = json.JSONDecoder()
    at = text.find("{")
    for _ in range(_MOST_LOOKS):
        if at < 0:
            return
        try:
            value, end = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError):
            end = at + 1
        else:
            yield value
        at = text.find("{", end)
