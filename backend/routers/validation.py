"""From pydantic's errors to sentences for people: where by JSON pointer, what in plain words, never the input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast, get_args

from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from pydantic_core.core_schema import ErrorType

from backend.errors import FieldError, Invalid
from backend.routers.http_errors import ParameterError

_MOST_ERRORS = 50
_LONGEST_STEP = 80
_LONGEST_DETAIL = 500

Context = Mapping[str, Any]


def refused_values(error: RequestValidationError | WebSocketRequestValidationError) -> Invalid:
    """The domain's error for a request that FastAPI found invalid."""
    found = cast("Sequence[Mapping[str, Any]]", error.errors())
    body = error.body if isinstance(error, RequestValidationError) else None
    errors = [_refused(one, body) for one in found[:_MOST_ERRORS]]
    if len(found) == 1:
        return Invalid(f"{_place(errors[0])} {errors[0].detail}.", errors)
    beyond = f" (the first {_MOST_ERRORS} are listed)" if len(found) > _MOST_ERRORS else ""
    return Invalid(f"{len(found)} values were refused; errors says which and why{beyond}.", errors)


def pointer_to(steps: Sequence[str | int]) -> str:
    """The RFC 6901 pointer along these names and indexes; a very long name is cut."""
    names = (str(step)[:_LONGEST_STEP].replace("~", "~0").replace("/", "~1") for step in steps)
    return "".join(f"/{name}" for name in names)


def _refused(error: Mapping[str, Any], body: Any) -> FieldError:
    place, *steps = cast("Sequence[str | int]", error["loc"])
    detail = _words(error)
    if place == "body":
        return FieldError(pointer_to(_real_steps(steps, body, missing=error["type"] == "missing")), detail)
    return ParameterError("", detail, location=str(place), name=str(steps[0]) if steps else "")


def _place(error: FieldError) -> str:
    if isinstance(error, ParameterError):
        return f"The {error.location} parameter {error.name}"
    return error.pointer or "The body"


def _real_steps(steps: Sequence[str | int], body: Any, *, missing: bool) -> list[str | int]:
    """Without the names of union members and key markers that pydantic puts between the steps."""
    real: list[str | int] = []
    value = body
    for number, step in enumerate(steps, 1):
        is_step = isinstance(value, dict) and step in value
        is_index = isinstance(value, list) and isinstance(step, int) and step < len(cast("list[Any]", value))
        if is_step or is_index:
            value = cast("Any", value)[step]
            real.append(step)
        elif missing and number == len(steps):
            real.append(step)
    return real


def _words(error: Mapping[str, Any]) -> str:
    kind: str = error["type"]
    context = cast("Context", error.get("ctx") or {})
    if kind not in _PYDANTIC_KINDS:  # a rule of our own models, already in words
        return str(error["msg"])[:_LONGEST_DETAIL]
    words = WORDS.get(kind)
    if words is None:
        words = next((family for prefix, family in FAMILIES.items() if kind.startswith(prefix)), "is not valid")
    return words if isinstance(words, str) else words(context)


def _own_rule(context: Context) -> str:
    return str(context.get("error") or "is not valid")[:_LONGEST_DETAIL]


def _at_least(unit: str) -> Callable[[Context], str]:
    return lambda context: f"must have at least {_counted(context['min_length'], unit)}"


def _at_most(unit: str) -> Callable[[Context], str]:
    return lambda context: f"must have at most {_counted(context['max_length'], unit)}"


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


_PYDANTIC_KINDS = frozenset(get_args(ErrorType))

WORDS: dict[str, str | Callable[[Context], str]] = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "value_error": _own_rule,
    "assertion_error": _own_rule,
    "greater_than": lambda context: f"must be more than {context['gt']}",
    "greater_than_equal": lambda context: f"must be at least {context['ge']}",
    "less_than": lambda context: f"must be less than {context['lt']}",
    "less_than_equal": lambda context: f"must be at most {context['le']}",
    "multiple_of": lambda context: f"must be a multiple of {context['multiple_of']}",
    "finite_number": "must be a finite number",
    "literal_error": lambda context: f"must be {context['expected']}",
    "enum": lambda context: f"must be {context['expected']}",
    "union_tag_invalid": lambda context: f"{context['discriminator']} must be one of {context['expected_tags']}",
    "union_tag_not_found": lambda context: f"{context['discriminator']} is required",
    "none_required": "must be null",
    "string_type": "must be text",
    "string_unicode": "must be text in UTF-8",
    "string_too_short": _at_least("character"),
    "string_too_long": _at_most("character"),
    "string_pattern_mismatch": lambda context: f"must match {context['pattern']}",
    "bytes_too_short": _at_least("byte"),
    "bytes_too_long": _at_most("byte"),
    "too_short": _at_least("item"),
    "too_long": _at_most("item"),
    "timezone_naive": "must be without a time zone",
    "timezone_aware": "must have a time zone",
    "invalid_key": "must have text for its keys",
}

FAMILIES = {
    "int_": "must be a whole number",
    "float_": "must be a number",
    "decimal_": "must be a number",
    "bool_": "must be true or false",
    "string_": "must be text",
    "list_": "must be a list",
    "tuple_": "must be a list",
    "set_": "must be a list without repeats",
    "frozen_set_": "must be a list without repeats",
    "dict_": "must be an object",
    "mapping_": "must be an object",
    "model_": "must be an object",
    "dataclass_": "must be an object",
    "uuid_": "must be a UUID",
    "datetime_": "must be a date and time in ISO 8601",
    "date_": "must be a date in ISO 8601",
    "time_": "must be a time in ISO 8601",
    "url_": "must be a URL",
    "json_": "must be JSON",
}
