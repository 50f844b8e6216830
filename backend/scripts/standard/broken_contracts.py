"""Contracts that must be refused, made from the published JSON Schema: each bound, each missing field, each type."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.scripts.standard.door import Body

Node = Mapping[str, Any]
Step = str | int
SERVERS_OWN = ("id", "version", "created_at", "updated_at", "metadata")
_NO_FIELD = "no_such_field"
_STRANGE = ("", "!", "  ", "\n", "A", "9" * 70)
_FORMATS = {"uuid": "not-a-uuid", "bcp47": "no language", "cron": "every now and then"}
_OTHER_TYPE: Mapping[str, Any] = {
    "string": 7,
    "integer": 1.5,
    "number": "much",
    "boolean": "perhaps",
    "array": "one",
    "object": [],
}


@dataclass(frozen=True, slots=True)
class Broken:
    """A contract with one fault; `pointer` is where the fault is."""

    fault: str
    pointer: str
    contract: Body


class ContractBreaker:
    """Walks the schema along a contract that has everything, and breaks it in one place after the other.

    `passed_by` are the schema's properties which that contract does not have, so that nothing was tried on them.
    """

    def __init__(self, schema: Body, whole: Body) -> None:
        self._schema = schema
        self._whole = whole
        self.passed_by: list[str] = []

    def all(self) -> Iterator[Broken]:
        """Every broken contract."""
        properties = {name: node for name, node in self._schema["properties"].items() if name not in SERVERS_OWN}
        properties["tags"] = self._schema["$defs"]["Metadata"]["properties"]["tags"]
        required = [name for name in self._schema["required"] if name in properties]
        root = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
        yield from self._object((), root, self._whole)
        for name in SERVERS_OWN:
            yield self._with((name,), "x", "is the server's to write")

    def _break(self, path: Sequence[Step], node: Node, value: Any) -> Iterator[Broken]:
        node = self._resolved(node, value)
        kind: str = node.get("type", "")
        yield self._with(path, _OTHER_TYPE[kind], f"is no {kind}")
        match kind:
            case "object":
                yield from self._object(path, node, value)
            case "array":
                yield from self._array(path, node, value)
            case "string":
                yield from self._string(path, node)
            case "integer" | "number":
                yield from self._number(path, node)
            case _:
                pass

    def _resolved(self, node: Node, value: Any) -> Node:
        if "$ref" in node:
            name = node["$ref"].removeprefix("#/$defs/")
            return self._resolved(self._schema["$defs"][name], value)
        if "anyOf" in node:
            return self._resolved(next(one for one in node["anyOf"] if one.get("type") != "null"), value)
        if "oneOf" in node:
            chosen = node["discriminator"]["mapping"][value[node["discriminator"]["propertyName"]]]
            return self._resolved({"$ref": chosen}, value)
        return {"type": "string", **node} if "const" in node or "enum" in node else node

    def _object(self, path: Sequence[Step], node: Node, value: Body) -> Iterator[Broken]:
        for name in node.get("required", ()):
            yield self._without((*path, name))
        properties: Mapping[str, Node] = node.get("properties", {})
        if node.get("additionalProperties") is False:
            yield self._with((*path, _NO_FIELD), 1, "is unknown")
        for name, inner in properties.items():
            if name not in value:
                self.passed_by.append(pointer((*path, name)))
                continue
            if not any(one.get("type") == "null" for one in inner.get("anyOf", ())):
                yield self._with((*path, name), None, "is null")
            yield from self._break((*path, name), inner, value[name])

    def _array(self, path: Sequence[Step], node: Node, value: list[Any]) -> Iterator[Broken]:
        if node.get("minItems", 0) > 0:
            yield self._with(path, [], "has too few items")
        if "maxItems" in node:
            yield self._with(path, [value[0]] * (node["maxItems"] + 1), "has too many items")
        for at, item in enumerate(value):
            yield from self._break((*path, at), node["items"], item)

    def _string(self, path: Sequence[Step], node: Node) -> Iterator[Broken]:
        if "enum" in node or "const" in node:
            yield self._with(path, "no-such-choice", "is no choice")
            return
        if "format" in node:
            yield self._with(path, _FORMATS[node["format"]], f"is no {node['format']}")
        if "maxLength" in node:
            yield self._with(path, "x" * (node["maxLength"] + 1), "is too long")
        if node.get("minLength", 0) > 0:
            yield self._with(path, "", "is empty")
        if "pattern" in node and (strange := _mismatch(node["pattern"])) is not None:
            yield self._with(path, strange, "has the wrong form")

    def _number(self, path: Sequence[Step], node: Node) -> Iterator[Broken]:
        step = 1 if node["type"] == "integer" else 0.001
        if "minimum" in node:
            yield self._with(path, node["minimum"] - step, "is too small")
        if "maximum" in node:
            yield self._with(path, node["maximum"] + step, "is too large")

    def _with(self, path: Sequence[Step], value: Any, fault: str) -> Broken:
        broken = copy.deepcopy(self._whole)
        _inside(broken, path[:-1])[path[-1]] = value
        return Broken(f"{pointer(path)} {fault}", pointer(path), broken)

    def _without(self, path: Sequence[Step]) -> Broken:
        broken = copy.deepcopy(self._whole)
        del _inside(broken, path[:-1])[path[-1]]
        return Broken(f"{pointer(path)} is missing", pointer(path), broken)


def pointer(path: Sequence[Step]) -> str:
    """The JSON pointer of a path."""
    return "".join(f"/{step}" for step in path)


def _inside(document: Any, path: Sequence[Step]) -> Any:
    for step in path:
        document = document[step]
    return document


def _mismatch(pattern: str) -> str | None:
    """A text that the pattern does not allow, if one of ours is; U+0000 is refused before any schema."""
    found = re.compile(pattern)
    return next((text for text in _STRANGE if not found.search(text)), None)
