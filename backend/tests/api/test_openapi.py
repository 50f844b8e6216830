"""The OpenAPI document: complete enough for people, for Postman, and for code generators."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, cast, get_args

import jsonschema_rs
import pytest

from backend.models.voice_frames import ClientFrame, ServerFrame
from backend.scripts.export_openapi import DOCUMENT, openapi_text
from backend.tests.api.route_cases import Route, all_routes, make_world
from backend.tests.fixtures_api import Api

PROBLEM = {"$ref": "#/components/schemas/Problem"}
EVERYWHERE = {"400", "401", "403", "422", "500", "503"}

Schema = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> Schema:
    return json.loads(openapi_text())


def operations(document: Schema) -> Iterator[tuple[str, str, Schema]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_the_committed_document_is_what_the_code_says() -> None:
    assert DOCUMENT.read_text("utf-8") == openapi_text(), "run `make openapi` and commit docs/openapi.json"


def test_every_operation_is_named_and_told(document: Schema) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))
    for method, path, operation in operations(document):
        where = f"{method} {path}"
        assert re.fullmatch("[a-z]+([A-Z][a-z]*)*", operation["operationId"]), where
        assert len(operation["tags"]) == 1, where
        assert operation.get("summary"), where
        assert operation.get("description"), where
        for parameter in operation.get("parameters", ()):
            told = "description" in parameter or "examples" in parameter or parameter["in"] == "path"
            assert told or "enum" in json.dumps(parameter) or parameter["name"] == "tag", (
                f"{where}: {parameter['name']}"
            )


def test_every_operation_tells_its_problems(document: Schema) -> None:
    for method, path, operation in operations(document):
        where = f"{method} {path}"
        failures = {status: one for status, one in operation["responses"].items() if int(status) >= 400}
        for status, response in failures.items():
            content = response.get("content", {})
            assert list(content) == ["application/problem+json"], f"{where} {status}"
            assert content["application/problem+json"]["schema"] == PROBLEM, f"{where} {status}"
            assert content["application/problem+json"]["examples"], f"{where} {status}"
        if path.startswith("/api/"):
            assert set(failures) >= EVERYWHERE, f"{where} lacks {EVERYWHERE - set(failures)}"
            signed = operation["security"] == [{"webhookSignature": []}]
            assert signed == path.startswith("/api/v1/hooks/"), where
            assert signed or operation["security"] == [{"bearer": []}], where
            if "{" in path and not signed:
                assert "404" in failures, where
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_every_model_has_an_example_that_fits(document: Schema) -> None:
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        if schema.get("type") != "object":
            continue
        examples = schema.get("examples") or assembled(schema)
        assert examples, f"{name} has no example"
        whole = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
        validator = jsonschema_rs.validator_for(whole)
        for one in examples:
            assert not [error.message for error in validator.iter_errors(one)], name


def assembled(schema: Schema) -> list[Schema]:
    """An example made of the fields' own; none where a required field has none."""
    values: Schema = {}
    for name, field in cast("Schema", schema.get("properties", {})).items():
        if field.get("examples"):
            values[name] = field["examples"][0]
        elif name in schema.get("required", ()):
            return []
    return [values]


def test_references_lead_somewhere(document: Schema) -> None:
    text = json.dumps(document)
    found = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert found <= set(document["components"]["schemas"])
    assert found == set(document["components"]["schemas"]), "a schema that nothing uses"


async def test_the_documents_page_and_file_are_served(api: Api) -> None:
    http = api.client()
    assert (await http.get("/openapi.json")).json() == json.loads(openapi_text())
    assert "text/html" in (await http.get("/docs")).headers["content-type"]


async def test_answers_are_as_documented(api: Api) -> None:
    document = api.app.openapi()
    owner = await api.owner()
    world = await make_world(api, owner)
    for route in all_routes(api.app):
        answer = await owner.http.request(
            route.method, route.url(world.values()), json=route.body, headers=route.headers(world)
        )
        told = document["paths"][route.path][route.method.lower()]["responses"]
        assert str(answer.status_code) in told, f"{route} answered {answer.status_code}"
        response = told[str(answer.status_code)]
        if not answer.content:
            assert "content" not in response, route
            continue
        assert "content" in response, route
        kind = answer.headers["content-type"].partition(";")[0]
        assert kind in response["content"], f"{route} answered {kind}, documented: {list(response['content'])}"
        schema = response["content"][kind].get("schema")
        if kind.endswith("json") and schema:
            fit(document, schema, answer.json(), route)


def fit(document: Schema, schema: Schema, value: Any, route: Route) -> None:
    validator = jsonschema_rs.validator_for({**schema, "components": document["components"]})
    errors = [f"{list(error.instance_path)}: {error.message}" for error in validator.iter_errors(value)]
    assert not errors, (str(route), errors)


async def test_the_contracts_schema(api: Api) -> None:
    owner = await api.owner()
    answer = await owner.http.get("/api/v1/schemas/agent-contract")
    assert answer.headers["content-type"] == "application/schema+json"
    schema = answer.json()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema_rs.meta.validate(schema)
    validator = jsonschema_rs.validator_for(schema)
    for one in schema["examples"]:
        validator.validate(one)
    agent = await owner.make_agent()
    fields = set(schema["properties"])
    validator.validate({name: value for name, value in agent.items() if name in fields})
    assert not validator.is_valid({**schema["examples"][0], "surprise": 1})


async def test_the_schema_of_what_a_voice_s_socket_speaks(api: Api) -> None:
    owner = await api.owner()
    answer = await owner.http.get("/api/v1/schemas/voice-frames")
    assert answer.headers["content-type"] == "application/schema+json"
    schema = answer.json()
    jsonschema_rs.meta.validate(schema)
    validator = jsonschema_rs.validator_for(schema)
    frames = {name: one for name, one in schema["$defs"].items() if "type" in one.get("properties", ())}
    assert len(frames) == len(get_args(ServerFrame)) + len(get_args(get_args(ClientFrame)[0]))
    for name, one in frames.items():
        for shown in one["examples"]:
            validator.validate(shown)
            assert not validator.is_valid({**shown, "surprise": 1}), name
    from_client = jsonschema_rs.validator_for({**schema, "anyOf": [{"$ref": "#/$defs/ClientFrame"}]})
    assert from_client.is_valid({"type": "start"})
    assert not from_client.is_valid({"type": "audio.end", "turn": 1, "ms": 5}), "the sides are told apart"
