"""Pydantic's errors in words for people, each with a JSON pointer to the field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from backend.models.fields import shown

SENTENCES: Mapping[str, str] = {
    "missing": "is required",
    "extra_forbidden": "is no field here; take it away or check its spelling",
    "bool_type": "must be true or false, not {given}",
    "string_type": "must be text, not {given}",
    "dict_type": "must be an object, not {given}",
    "model_type": "must be an object, not {given}",
    "model_attributes_type": "must be an object, not {given}",
    "tuple_type": "must be a list, not {given}",
    "list_type": "must be a list, not {given}",
    "literal_error": "must be {expected}, not {given}",
    "too_long": "has {actual_length} items; at most {max_length} are allowed",
    "too_short": "has {actual_length} items; at least {min_length} needed",
    "uuid_parsing": "must be a UUID, not {given}",
    "uuid_type": "must be a UUID, not {given}",
    "timezone_aware": "needs a time zone, such as 2026-11-01T09:00:00Z",
}
"""Pydantic's type of error to what to say. Others keep pydantic's own words."""


def explain(errors: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """JSON pointer and sentence for each of `ValidationError.errors()`, in their order.

    The pointer of the whole value is the empty string.
    """
    return [(pointer(error["loc"]), _sentence(error)) for error in errors]


def pointer(path: Sequence[str | int]) -> str:
    """The RFC 6901 JSON pointer of a location."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


def _sentence(error: Mapping[str, Any]) -> str:
    sentence = SENTENCES.get(error["type"])
    if sentence is None:
        return str(error["msg"])
    return sentence.format_map({**error.get("ctx", {}), "given": shown(error.get("input"))})
