"""What a model wrote for a tool: read, checked, and refused in words that help it; whatever the schema is."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.graphs.tool_arguments import LONGEST_ARGUMENTS, ArgumentsRefused, check_arguments, read_arguments
from backend.graphs.tool_schemas import ANY_OBJECT, LONGEST_SCHEMA, tidy_schema
from backend.ports import ToolSpec

EVENTS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "day": {"type": "string", "description": "ISO date", "minLength": 10},
        "most": {"type": "integer", "minimum": 1, "maximum": 50},
        "kind": {"enum": ["work", "private"]},
        "place": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "people": {"type": "array", "items": {"$ref": "#/$defs/Person"}, "maxItems": 3},
    },
    "required": ["day"],
    "additionalProperties": False,
    "$defs": {"Person": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
}
NAME = "calendar__list_events"
LONG_ENOUGH = 1.0
"""Seconds within which even the worst schema is done with, on a machine that does much else."""


def spec(parameters: object) -> ToolSpec:
    return ToolSpec(NAME, "Lists events.", parameters)  # type: ignore[arg-type]


def read(text: str, parameters: object = EVENTS) -> dict[str, Any]:
    return read_arguments(spec(parameters), text)


def refusal(text: str, parameters: object = EVENTS) -> str:
    with pytest.raises(ArgumentsRefused) as refused:
        read(text, parameters)
    return str(refused.value)


def test_what_fits_comes_back() -> None:
    arguments = {"day": "2026-11-22", "most": 3, "kind": "work", "place": None, "people": [{"name": "Ä"}]}
    assert read(json.dumps(arguments)) == arguments


@pytest.mark.parametrize("text", ["", "  \n", "{}"])
def test_nothing_written_is_no_arguments(text: str) -> None:
    assert read(text, {"type": "object"}) == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{}", 'it needs "day"'),
        ('{"day": 5}', "/day: must be a string, not the number 5"),
        ('{"day": "now"}', '/day: "now" has fewer characters than 10'),
        ('{"day": "2026-11-22", "most": 0}', "/most: 0 is less than 1"),
        ('{"day": "2026-11-22", "most": 51}', "/most: 51 is more than 50"),
        ('{"day": "2026-11-22", "most": 1.5}', "/most: must be an integer, not the number 1.5"),
        ('{"day": "2026-11-22", "most": true}', "/most: must be an integer, not a boolean"),
        ('{"day": "2026-11-22", "kind": "fun"}', '/kind: must be one of ["work", "private"], not "fun"'),
        ('{"day": "2026-11-22", "place": []}', "must be a string, not an array; or must be null, not an array"),
        ('{"day": "2026-11-22", "people": [{"name": "a"}, {}]}', '/people/1: is incomplete: it needs "name"'),
        ('{"day": "2026-11-22", "people": [{"name": null}]}', "/people/0/name: must be a string, not null"),
        ('{"day": "2026-11-22", "color": 1}', "other members are not allowed ('color' was unexpected)"),
    ],
)
def test_a_refusal_says_what_is_wrong_where_and_what_is_expected(text: str, told: str) -> None:
    refused = refusal(text)
    assert refused.startswith("The arguments for calendar__list_events do not fit:\n- ")
    assert told in refused
    assert "day (needed): string, most: integer, kind, place, people: array" in refused


def test_several_faults_are_told_at_once_but_not_endlessly() -> None:
    assert refusal('{"day": 1, "most": "x", "kind": 2}').count("\n- ") == 3
    assert refusal(json.dumps({"day": "2026-11-22", "people": [{}] * 100})).count("\n- ") == 5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "must be one JSON object, not an array"),
        ("null", "must be one JSON object, not null"),
        ('"{}"', "must be one JSON object, not the string"),
        ("7", "must be one JSON object, not the number 7"),
        ('{"day": ', "are not valid JSON"),
        ("{'day': 1}", "are not valid JSON: Expecting property name enclosed in double quotes at character 2"),
        ("{} {}", "nothing before or after it"),
        ('{"most": NaN}', "NaN is not valid JSON"),
        ('{"most": -Infinity}', "-Infinity is not valid JSON"),
        ('{"most": 1e999}', "1e999 is too large"),
        ('{"most": 9223372036854775808}', "9223372036854775808 is too large"),
        ('{"most": ' + "9" * 5000 + "}", "is too large"),
        ('{"day": "\\u0000"}', "U+0000"),
        ('{"day": "\\ud800"}', "half of a surrogate pair"),
        ('{"day\\u0000": 1}', "U+0000"),
        ('{"a":' * 33 + "1" + "}" * 33, "nested deeper than 32 levels"),
        ('{"a":' * 20_000, "nested too deeply"),
        ("[" * 90_000, "nested too deeply"),
        ('{"day": "' + "x" * LONGEST_ARGUMENTS + '"}', f"at most {LONGEST_ARGUMENTS} characters"),
    ],
)
def test_what_is_no_usable_json_is_refused(text: str, told: str) -> None:
    refused = refusal(text)
    assert told in refused
    assert len(refused) < 400


def test_thirty_two_levels_are_fine() -> None:
    assert read('{"a":' * 32 + "1" + "}" * 32, {"type": "object"})


def test_arguments_that_are_no_text_any_more_are_checked_the_same() -> None:
    check_arguments(spec(EVENTS), {"day": "2026-11-22"})
    with pytest.raises(ArgumentsRefused, match="needs"):
        check_arguments(spec(EVENTS), {})


def test_long_values_are_told_short() -> None:
    refused = refusal(json.dumps({"day": ["x" * 5000] * 10, "kind": "y" * 5000, "z" * 5000: 1}))
    assert len(refused) < 2500


# --- schemas that come from anywhere ---


def laughs(keyword: str) -> dict[str, Any]:
    """A small schema that says the same a million million times."""
    more = {f"d{one}": {keyword: [{"$ref": f"#/$defs/d{one + 1}"}] * 2} for one in range(40)}
    return {"properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": more | {"d40": {"type": "string"}}}


HOSTILE: dict[str, tuple[object, dict[str, Any]]] = {
    "a pattern that backtracks": (
        {"properties": {"x": {"type": "string", "pattern": "^(a+)+$"}}},
        {"x": "a" * 5000 + "!"},
    ),
    "patterns of names that backtrack": (
        {"patternProperties": {"^(a+)+$": {"type": "integer"}}, "additionalProperties": False},
        {"a" * 5000 + "!": "x"},
    ),
    "all of all of all of": (laughs("allOf"), {"x": "y"}),
    "one of one of one of": (laughs("oneOf"), {"x": ["y" * 100] * 500}),
    "itself": ({"properties": {"x": {"$ref": "#/properties/x"}}}, {"x": 1}),
    "itself by way of another": (
        {"properties": {"x": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}},
        {"x": 1},
    ),
    "circles": (
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "properties": {"x": {"$ref": "#/$defs/a"}}},
        {"x": 1},
    ),
    "the whole inside": ({"properties": {"x": {"$ref": "#"}}}, {"x": {"x": {"x": {}}}}),
    "unique things": (
        {"properties": {"x": {"uniqueItems": True, "items": {"type": "object"}}}},
        {"x": [{"a": one} for one in range(5000)]},
    ),
    "very many ways": (
        {"properties": {"x": {"anyOf": [{"const": one} for one in range(1500)]}}},
        {"x": ["y" * 1000] * 90},
    ),
    "far away": ({"properties": {"x": {"$ref": "http://127.0.0.1:9/schema.json"}}}, {"x": 1}),
    "a file": ({"properties": {"x": {"$ref": "file:///etc/passwd"}}}, {"x": 1}),
    "nowhere": ({"properties": {"x": {"$ref": "#/$defs/none"}}}, {"x": 1}),
    "no schema": ({"properties": {"x": {"$ref": "#/properties/x/enum"}, "y": {"enum": [1]}}}, {"x": 1}),
    "another dialect": (
        {"properties": {"x": {"$schema": "http://json-schema.org/draft-07/schema#", "pattern": "^(a+)+$"}}},
        {"x": "a" * 5000 + "!"},
    ),
    "very deep": (json.loads('{"properties":{"x":' * 200 + "{}" + "}}" * 200), {"x": 1}),
    "very large": ({"properties": {f"p{one}": {"type": "string"} for one in range(5000)}}, {"p1": 1}),
    "very many places": ({"properties": {"x": {"anyOf": [{}] * 3000}}}, {"x": 1}),
    "a text": ("object", {}),
    "nothing": (None, {}),
    "a list": ([{"type": "object"}], {}),
    "of another type": ({"type": "string", "minLength": 5}, {}),
    "not JSON": ({"properties": {"x": {"const": object()}}}, {"x": 1}),
    "no numbers": ({"properties": {"x": {"minimum": float("nan"), "multipleOf": 0}}}, {"x": 1}),
    "zero steps": ({"properties": {"x": {"multipleOf": 0}}}, {"x": 1}),
    "U+0000": ({"properties": {"x\x00": {"type": "string"}}}, {"x": 1}),
    "half a pair": ({"description": "\ud800", "properties": {"x": {"type": "string"}}}, {"x": 1}),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_schema_neither_hangs_nor_fails_nor_leaves_the_machine(case: str) -> None:
    parameters, arguments = HOSTILE[case]
    started = time.process_time()
    assert read(json.dumps(arguments), parameters) == arguments
    assert time.process_time() - started < LONG_ENOUGH


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"properties": {"x": {"minimum": 3, "maximum": "many"}}}, "1 is less than 3"),
        ({"properties": {"x": {"type": ["string", "null"]}}}, "must be a string or null, not the number 1"),
        ({"properties": {"x": {"type": "text", "enum": [2, 3]}}}, "must be one of [2, 3], not 1"),
        ({"properties": {"x": {"exclusiveMinimum": True, "minimum": 2}}}, "1 is less than 2"),
        ({"properties": {"x": False}}, "- is not allowed here"),
        ({"properties": {"x": {"oneOf": [{"const": 2}, {"const": 3}]}}}, "must be 2, not 1; or must be 3, not 1"),
        ({"definitions": {"a": {"const": 2}}, "properties": {"x": {"$ref": "#/definitions/a"}}}, "must be 2, not 1"),
        ({"$defs": {"a/b c": {"const": 2}}, "properties": {"x": {"$ref": "#/$defs/a~1b%20c"}}}, "must be 2"),
        ({"$id": "https://a.example/", "properties": {"x": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"const": 2}}}, "/x"),
        ({"additionalProperties": {"type": "string"}}, "/x: must be a string"),
        ({"maxProperties": 0}, "has more members than 0"),
        ({"propertyNames": {"minLength": 2}}, '"x" has fewer characters than 2'),
        ({"dependentRequired": {"x": ["y"]}}, "what goes together"),
    ],
)
def test_what_makes_sense_of_a_schema_is_checked(parameters: dict[str, Any], told: str) -> None:
    assert told in refusal('{"x": 1}', parameters)


def test_lists_are_checked_place_by_place_in_the_old_spelling_too() -> None:
    for pair in ({"items": [{"type": "string"}, {"const": 2}]}, {"prefixItems": [{"type": "string"}, {"const": 2}]}):
        parameters = {"properties": {"x": {"type": "array", **pair}}}
        assert read('{"x": ["a", 2, 3]}', parameters)
        assert "/x/1: must be 2, not 3" in refusal('{"x": ["a", 3]}', parameters)


# --- schemas as a model is told them ---


def test_a_schema_keeps_what_a_model_reads() -> None:
    told = {
        "type": "object",
        "description": "Which events",
        "properties": {"day": {"type": "string", "pattern": r"\d+", "format": "date", "default": "x", "examples": [1]}},
        "required": ["day"],
        "additionalProperties": False,
    }
    assert tidy_schema(told) == told


def test_a_schema_loses_what_model_apis_refuse_or_do_not_know() -> None:
    given = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "https://example.com/s",
        "type": ["object", "null"],
        "x-order": 5,
        "oneOf": [{"required": ["a"]}],
        "not": {"required": ["b"]},
        "properties": {"a": {"$ref": "https://example.com/other", "title": "A"}, "$ref": {"type": "string"}},
    }
    assert tidy_schema(given) == {
        "type": "object",
        "properties": {"a": {"title": "A"}, "$ref": {"type": "string"}},
    }


@pytest.mark.parametrize("nonsense", [None, [], "object", {"type": "array"}, {"description": "x" * LONGEST_SCHEMA}])
def test_what_is_no_schema_of_an_object_takes_any_object(nonsense: object) -> None:
    assert tidy_schema(nonsense) == ANY_OBJECT


def test_a_schema_that_is_tidy_stays_as_it_is() -> None:
    for parameters, _ in HOSTILE.values():
        tidy = tidy_schema(parameters)
        assert tidy_schema(tidy) == tidy
        assert tidy["type"] == "object"


# --- anything at all ---

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
KEYWORDS = st.sampled_from([
    "type", "properties", "required", "items", "prefixItems", "additionalProperties", "patternProperties", "enum",
    "const", "$ref", "$defs", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "minimum", "maximum", "title",
    "multipleOf", "minLength", "maxLength", "pattern", "uniqueItems", "contains", "dependentRequired", "default",
    "dependentSchemas", "propertyNames", "minItems", "maxItems", "format", "$schema", "$id", "a", "x",
])  # fmt: skip
VALUES = JSON | st.sampled_from(["object", "string", "integer", "#", "#/properties/x", "#/$defs/a", "(a+)+$", 0, -1])
SCHEMAS = st.recursive(
    VALUES,
    lambda inner: st.dictionaries(KEYWORDS, inner, max_size=5) | st.lists(inner, max_size=3),
    max_leaves=25,
)
ARGUMENTS = st.dictionaries(st.sampled_from(["x", "a", "type", "y"]), JSON, max_size=4)


def outcome(text: str, parameters: object) -> dict[str, Any] | str:
    try:
        return read(text, parameters)
    except ArgumentsRefused as refused:
        return str(refused)


@given(SCHEMAS, ARGUMENTS)
def test_any_schema_meets_any_arguments(parameters: object, arguments: dict[str, Any]) -> None:
    text = json.dumps(arguments)
    given = outcome(text, parameters)
    assert 0 < len(given) < 3000 if isinstance(given, str) else given == json.loads(text)


@given(SCHEMAS)
def test_any_schema_can_be_written_for_a_model(parameters: object) -> None:
    tidy = tidy_schema(parameters)
    assert tidy["type"] == "object"
    json.dumps(tidy, ensure_ascii=False, allow_nan=False).encode()
    assert tidy_schema(tidy) == tidy


@given(st.text() | JSON.map(json.dumps))
def test_any_text_is_an_object_or_refused(text: str) -> None:
    given = outcome(text, ANY_OBJECT)
    assert isinstance(given, dict) or any(told in given for told in (NAME, "valid JSON", "too large"))


@given(st.dictionaries(st.text("abc", max_size=2), st.integers(-5, 5) | st.text("xy", max_size=3), max_size=4))
def test_what_the_model_wrote_is_what_is_called(arguments: dict[str, Any]) -> None:
    assert read(json.dumps(arguments), {"type": "object", "additionalProperties": True}) == arguments
