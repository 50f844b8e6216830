"""The routes of the API, from its own OpenAPI document, so that none can be forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from backend.scripts.standard.door import API, Body

_PARAMETER = re.compile(r"\{(\w+)\}")
_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Route:
    """One method at one address; `body` and `query` are the documented examples of what it needs."""

    method: str
    path: str
    body: Any
    query: Mapping[str, Any]

    @property
    def parameters(self) -> list[str]:
        """The names in the path."""
        return _PARAMETER.findall(self.path)

    def filled(self, values: Mapping[str, str]) -> str:
        """The path with its parameters."""
        return _PARAMETER.sub(lambda found: values[found[1]], self.path)

    def __str__(self) -> str:
        return f"{self.method} {self.path.removeprefix(API)}"


def routes(openapi: Body) -> Iterator[Route]:
    """Every route below `/api/v1`."""
    for path, operations in openapi["paths"].items():
        if path.startswith(API):
            for method in _METHODS:
                if method in operations:
                    operation = operations[method]
                    yield Route(method.upper(), path, _example(openapi, operation), _needed_query(operation))


def _example(openapi: Body, operation: Body) -> Any:
    media = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if media is None:
        return None
    references = re.findall(r"#/components/schemas/(\w+)", str(media["schema"]))
    if not references:
        return None
    return openapi["components"]["schemas"][references[0]]["examples"][0]


def _needed_query(operation: Body) -> Body:
    asked = operation.get("parameters", ())
    needed = (one for one in asked if one["in"] == "query" and one.get("required"))
    return {one["name"]: one["schema"]["examples"][0] for one in needed}
