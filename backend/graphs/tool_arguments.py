"""The arguments that a model wrote for a tool call: read, and checked against what the tool says it takes.

The check is lenient where a schema that comes from elsewhere could hurt: it runs no regular expression, fetches
nothing, and stops after a fixed amount of work. What it lets through, the tool refuses by itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache
from itertools import islice
from typing import Any, cast

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import create  # pyright: ignore[reportUnknownVariableType]
from referencing import Registry

from backend.graphs.tool_schemas import tidy_schema
from backend.models.fields import ESCAPED_NUL, UNSTORABLE
from backend.ports import ToolSpec

LONGEST_ARGUMENTS = 100_000
DEEPEST_ARGUMENTS = 32
_MOST_FAULTS = 5
_LONGEST_FAULT = 300
_MOST_WORK = 10_000
_CHARACTERS_AT_ONCE = 500

_CHECKED = (
    "$ref", "additionalProperties", "allOf", "anyOf", "const", "dependentRequired", "dependentSchemas", "enum",
    "exclusiveMaximum", "exclusiveMinimum", "items", "maxItems", "maxLength", "maxProperties", "maximum", "minItems",
    "minLength", "minProperties", "minimum", "multipleOf", "prefixItems", "properties", "propertyNames", "required",
    "type",
)  # fmt: skip
"""Keywords that only ever refuse more, so that leaving out the others never refuses what is right; of `oneOf` it is
asked whether any fits.
"""

_Keyword = Callable[[Any, Any, Any, Any], "Iterable[ValidationError] | None"]


class ArgumentsRefused(ValueError):
    """The arguments cannot be used; the text tells a model what is wrong, where, and what is expected."""


class _TooMuchWork(Exception):
    """The check is given up: the schema makes it more work than it is worth."""


def read_arguments(spec: ToolSpec, text: str) -> dict[str, Any]:
    """The arguments of a call as the model wrote them, checked against `spec.parameters`. Nothing written is `{}`.

    Errors: `ArgumentsRefused`.
    """
    arguments = _parsed(spec.name, text)
    check_arguments(spec, arguments)
    return arguments


def check_arguments(spec: ToolSpec, arguments: dict[str, Any]) -> None:
    """The same check for arguments that are no text any more. Errors: `ArgumentsRefused`."""
    schema = tidy_schema(spec.parameters)
    faults = _faults(schema, arguments)
    if faults:
        told = "\n".join(f"- {one}" for one in faults)
        raise ArgumentsRefused(f"The arguments for {spec.name} do not fit:\n{told}\n{_expected(schema)}".rstrip())


# --- reading ---


def _parsed(name: str, text: str) -> dict[str, Any]:
    if len(text) > LONGEST_ARGUMENTS:
        raise ArgumentsRefused(
            f"The arguments for {name} are too long: at most {LONGEST_ARGUMENTS} characters of JSON, not {len(text)}."
        )
    if not text.strip():
        return {}
    try:
        read: Any = json.loads(text, parse_constant=_no_constant, parse_float=_finite, parse_int=_short)
        if _too_deep(read):
            raise ArgumentsRefused(f"The arguments for {name} are nested deeper than {DEEPEST_ARGUMENTS} levels.")
        written = json.dumps(read, ensure_ascii=False)
    except json.JSONDecodeError as error:
        raise ArgumentsRefused(
            f"The arguments for {name} are not valid JSON: {error.msg} at character {error.pos + 1}. "
            "Write one JSON object, and nothing before or after it."
        ) from error
    except RecursionError as error:
        raise ArgumentsRefused(f"The arguments for {name} are nested too deeply.") from error
    if UNSTORABLE.search(written) or ESCAPED_NUL.search(written):
        raise ArgumentsRefused(f"The arguments for {name} contain U+0000 or half of a surrogate pair; leave it out.")
    if not isinstance(read, dict):
        raise ArgumentsRefused(f"The arguments for {name} must be one JSON object, not {_kind(read)}.")
    return cast("dict[str, Any]", read)


def _no_constant(sign: str) -> Any:
    raise ArgumentsRefused(f"{sign} is not valid JSON; write a number or null.")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ArgumentsRefused(f"The number {digits[:20]} is too large.")
    return number


def _short(digits: str) -> int:
    # 64 bits are what JSON is written and stored with here.
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise ArgumentsRefused(f"The number {digits[:20]}{'…' if len(digits) > 20 else ''} is too large.")
    return int(digits)


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST_ARGUMENTS + 1):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).values()
    return cast("list[Any]", value) if isinstance(value, list) else ()


# --- checking ---


def _faults(schema: dict[str, Any], arguments: dict[str, Any]) -> list[str]:
    """What does not fit, the first few of it."""
    work = _Work()
    token = _work.set(work)
    try:
        faults = _validator(json.dumps(schema)).iter_errors(arguments)
        return list(dict.fromkeys(_told(one) for one in islice(faults, _MOST_FAULTS)))
    except (_TooMuchWork, RecursionError):
        return []
    finally:
        _work.reset(token)


class _Work:
    """What may still be done in this check. Each look costs one, and more where texts may be written out for it."""

    def __init__(self) -> None:
        self.left = _MOST_WORK
        self._sizes: dict[int, int] = {}

    def spend(self, *values: Any) -> None:
        """Errors: `_TooMuchWork`."""
        self.left -= 1 + sum(self._size(one) for one in values) // _CHARACTERS_AT_ONCE
        if self.left < 0:
            raise _TooMuchWork

    def _size(self, value: Any) -> int:
        if isinstance(value, str):
            return len(value)
        if not isinstance(value, (dict, list)):
            return 8
        known = self._sizes.get(id(cast("object", value)))
        if known is None:
            names = sum(map(len, cast("dict[str, Any]", value))) if isinstance(value, dict) else 0
            known = 2 + names + sum(2 + self._size(one) for one in _inside(value))
            self._sizes[id(cast("object", value))] = known  # both trees live as long as the check
        return known


_work: ContextVar[_Work] = ContextVar("work of one check")


def _counted(keyword: _Keyword) -> _Keyword:
    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        _work.get().spend(value, instance)
        yield from keyword(validator, value, instance, schema) or ()

    return check


def _additional(validator: Any, value: Any, instance: Any, schema: Any) -> Iterable[ValidationError] | None:
    if "patternProperties" in schema:
        return None
    return _LIBRARY["additionalProperties"](validator, value, instance, schema)


_LIBRARY = cast("Mapping[str, _Keyword]", Draft202012Validator.VALIDATORS)
_KEYWORDS: Mapping[str, _Keyword] = {
    **{name: _counted(_LIBRARY[name]) for name in _CHECKED},
    "additionalProperties": _counted(_additional),
    "oneOf": _counted(_LIBRARY["anyOf"]),
}
_Validator: Any = create(
    meta_schema={},
    validators=cast("Any", _KEYWORDS),
    type_checker=Draft202012Validator.TYPE_CHECKER,
    id_of=lambda _: "",  # so that a reference only ever leads into the schema itself
)


@lru_cache(512)
def _validator(schema: str) -> Any:
    return _Validator(json.loads(schema), registry=Registry[Any]())  # a registry that fetches nothing


# --- telling ---


def _told(fault: ValidationError) -> str:
    where = "".join(f"/{step}" for step in fault.absolute_path)
    text = _sentence(fault)
    return f"{_cut(where, 100)}: {text}" if where else text


def _sentence(fault: ValidationError) -> str:
    keyword, expected, given = cast("str | None", fault.validator), cast("Any", fault.validator_value), fault.instance
    match keyword:
        case None:
            text = "is not allowed here"
        case "type":
            kinds: list[str] = [expected] if isinstance(expected, str) else expected
            text = f"must be {' or '.join(map(_with_article, kinds))}, not {_kind(given)}"
        case "enum":
            text = f"must be one of {_shown(expected)}, not {_shown(given, 100)}"
        case "const":
            text = f"must be {_shown(expected)}, not {_shown(given, 100)}"
        case "required":
            missing = [name for name in expected if name not in cast("dict[str, Any]", given)]
            text = f"is incomplete: it needs {_shown(missing)[1:-1]}"
        case "additionalProperties":
            text = fault.message.replace("Additional properties", "other members")
        case "anyOf" | "oneOf":
            ways = dict.fromkeys(_sentence(one) for one in islice(fault.context or (), 4))
            text = f"fits none of the ways to write it ({'; or '.join(ways)})"
        case _:
            text = f"{_shown(given, 100)} {_LIMITS.get(keyword, keyword)} {_shown(expected, 100)}"
    return _cut(text, _LONGEST_FAULT)


_LIMITS = {
    "maximum": "is more than",
    "minimum": "is less than",
    "exclusiveMaximum": "is not less than",
    "exclusiveMinimum": "is not more than",
    "multipleOf": "is not a multiple of",
    "maxLength": "has more characters than",
    "minLength": "has fewer characters than",
    "maxItems": "has more items than",
    "minItems": "has fewer items than",
    "maxProperties": "has more members than",
    "minProperties": "has fewer members than",
    "dependentRequired": "does not fit what goes together:",
    "items": "has items that are not among those allowed:",
}


def _expected(schema: Mapping[str, Any]) -> str:
    """The members that the tool takes, with those that it needs."""
    members = cast("dict[str, Any]", schema.get("properties", {}))
    if not members:
        return ""
    needed = cast("Sequence[str]", schema.get("required", ()))
    told = [f"{name}{' (needed)' if name in needed else ''}{_type_of(one)}" for name, one in members.items()]
    return _cut(f"Expected: an object with {', '.join(told)}.", 2 * _LONGEST_FAULT)


def _type_of(schema: Any) -> str:
    kind = cast("dict[str, Any]", schema).get("type") if isinstance(schema, dict) else None
    return f": {' or '.join([kind] if isinstance(kind, str) else kind)}" if kind else ""


def _with_article(kind: str) -> str:
    return "null" if kind == "null" else f"{'an' if kind[0] in 'aio' else 'a'} {kind}"


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the string {_shown(value, 60)}"
    return "an array" if isinstance(value, list) else "an object"


def _shown(value: Any, longest: int = _LONGEST_FAULT) -> str:
    return _cut(json.dumps(value, ensure_ascii=False), longest)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
