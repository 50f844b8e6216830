"""What a tool says about its arguments, made safe: a JSON Schema that comes from anywhere, tidied for model and check.

Only keywords of a shape that makes sense are kept, references only where they point into the schema itself. What is no
schema of an object, too large or too deep becomes `{"type": "object"}`: whoever offers the tool checks by itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, cast
from urllib.parse import unquote

from backend.models.fields import ESCAPED_NUL, UNSTORABLE

LONGEST_SCHEMA = 50_000
MOST_PLACES = 2_000
DEEPEST_SCHEMA = 24
ANY_OBJECT: Final[dict[str, Any]] = {"type": "object"}
_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_NOT_AT_THE_TOP = ("allOf", "anyOf", "enum", "not", "oneOf", "const", "if", "then", "else")
"""What model APIs refuse at the top of a tool's parameters, and with it the whole call."""


class _Hopeless(Exception):
    """Too large or too deep to be read."""


def tidy_schema(parameters: object) -> dict[str, Any]:
    """The schema of an object that says the same, as far as it makes sense. Not to be changed: it is shared."""
    try:
        text = json.dumps(parameters, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return ANY_OBJECT
    if len(text) > LONGEST_SCHEMA or UNSTORABLE.search(text) or ESCAPED_NUL.search(text):
        return ANY_OBJECT
    return _tidied(text)


@lru_cache(512)
def _tidied(text: str) -> dict[str, Any]:
    read: Any = json.loads(text)
    if not isinstance(read, dict) or not _may_be_object(cast("dict[str, Any]", read).get("type", "object")):
        return ANY_OBJECT
    try:
        tidying = _Tidying()
        root = tidying.schema(cast("object", read), 0)
    except _Hopeless:
        return ANY_OBJECT
    assert isinstance(root, dict)  # noqa: S101 — a mapping stays one
    tidying.drop_dangling(root)
    return {"type": "object", **{name: one for name, one in root.items() if name not in {"type", *_NOT_AT_THE_TOP}}}


def _may_be_object(kind: object) -> bool:
    return kind == "object" or (isinstance(kind, list) and "object" in cast("list[Any]", kind))


class _Tidying:
    def __init__(self) -> None:
        self._places: list[dict[str, Any]] = []

    def schema(self, value: object, depth: int) -> dict[str, Any] | bool:
        """A schema with the keywords that make sense; what is no schema allows everything."""
        if not isinstance(value, dict):
            return value is not False
        if depth > DEEPEST_SCHEMA or len(self._places) >= MOST_PLACES:
            raise _Hopeless
        tidy: dict[str, Any] = {}
        self._places.append(tidy)
        for keyword, given in cast("dict[str, Any]", value).items():
            if keyword == "items" and isinstance(given, list):  # as it was spelled before 2020
                if given:
                    tidy["prefixItems"] = self._list(cast("list[Any]", given), depth)
            elif keyword in _ONE:
                tidy[keyword] = self.schema(given, depth + 1)
            elif keyword in _LISTS and isinstance(given, list) and given:
                tidy[keyword] = self._list(cast("list[Any]", given), depth)
            elif keyword in _MAPS and isinstance(given, dict):
                tidy[keyword] = {
                    name: self.schema(one, depth + 1) for name, one in cast("dict[str, Any]", given).items()
                }
            elif keyword in _PLAIN and _PLAIN[keyword](cast("object", given)):
                tidy[keyword] = given
        return tidy

    def drop_dangling(self, root: dict[str, Any]) -> None:
        """Take out the references that do not lead to a place of this schema, or only to themselves."""
        places = {id(place) for place in self._places}
        leads = {id(place): _target(root, place["$ref"]) for place in self._places if "$ref" in place}
        for place in self._places:
            if "$ref" in place and (id(leads[id(place)]) not in places or _turns_in_circles(place, leads)):
                del place["$ref"]
                del leads[id(place)]

    def _list(self, given: Sequence[Any], depth: int) -> list[dict[str, Any] | bool]:
        return [self.schema(one, depth + 1) for one in given]


def _turns_in_circles(place: Mapping[str, Any], leads: Mapping[int, Any]) -> bool:
    seen: set[int] = set()
    at: Any = place
    while id(at) in leads:
        if id(at) in seen:
            return True
        seen.add(id(at))
        at = leads[id(at)]
    return False


def _target(root: dict[str, Any], reference: str) -> Any:
    """What a reference such as `#/$defs/Day` points at in the same schema; None where it points elsewhere."""
    if reference == "#":
        return root
    if not reference.startswith("#/"):
        return None
    at: Any = root
    for step in unquote(reference[2:]).split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(at, dict):
            at = cast("dict[str, Any]", at).get(name)
        elif isinstance(at, list) and name.isdecimal() and len(name) < 5:
            at = dict(enumerate(cast("list[Any]", at))).get(int(name))
        else:
            return None
    return at


def _text(value: object) -> bool:
    return isinstance(value, str)


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _anything(value: object) -> bool:  # noqa: ARG001 — the others look
    return True


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**63


def _above_zero(value: object) -> bool:
    return _number(value) and cast("float", value) > 0 and math.isfinite(1 / cast("float", value))


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _list(value: object) -> bool:
    return isinstance(value, list)


def _filled(value: object) -> bool:
    return isinstance(value, list) and bool(cast("list[Any]", value))


def _names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in cast("list[Any]", value))


def _type(value: object) -> bool:
    kinds = cast("list[Any]", value) if isinstance(value, list) else [value]
    return bool(kinds) and all(isinstance(one, str) and one in _TYPES for one in kinds)


def _map_of_names(value: object) -> bool:
    return isinstance(value, dict) and all(_names(one) for one in cast("dict[str, Any]", value).values())


_ONE = frozenset({"additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then"})
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAPS = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
_PLAIN: Mapping[str, Callable[[object], bool]] = {
    "$ref": _text,
    "const": _anything,
    "contentEncoding": _text,
    "contentMediaType": _text,
    "default": _anything,
    "dependentRequired": _map_of_names,
    "deprecated": _flag,
    "description": _text,
    "enum": _filled,
    "examples": _list,
    "exclusiveMaximum": _number,
    "exclusiveMinimum": _number,
    "format": _text,
    "maxContains": _count,
    "maxItems": _count,
    "maxLength": _count,
    "maxProperties": _count,
    "maximum": _number,
    "minContains": _count,
    "minItems": _count,
    "minLength": _count,
    "minProperties": _count,
    "minimum": _number,
    "multipleOf": _above_zero,
    "pattern": _text,
    "readOnly": _flag,
    "required": _names,
    "title": _text,
    "type": _type,
    "uniqueItems": _flag,
    "writeOnly": _flag,
}
