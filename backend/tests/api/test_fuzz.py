"""Requests made up from the OpenAPI document, valid and not: every answer is one that the document announces.

`make test` makes up a few for each operation, `make test-fuzz` hundreds, and other ones each time.
"""

# Schemathesis leaves the type parameters of its own classes open:
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
from __future__ import annotations

import asyncio
import copy
import os
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.errors import InvalidSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.transport.requests import REQUESTS_TRANSPORT, binary_serializer

from backend.tests.api.route_cases import VERSIONS, Route, World, all_routes, make_world, nowhere
from backend.tests.fixtures_api import Api

# What a recording is made of, it knows of other binary bodies; only not that audio is one.
REQUESTS_TRANSPORT.serializer("audio/wav", "audio/mpeg", "audio/ogg", "audio/webm")(binary_serializer)

THOROUGH = bool(os.environ.get("NUMEN_TEST_THOROUGH"))
EXAMPLES = int(os.environ.get("NUMEN_TEST_EXAMPLES", "300" if THOROUGH else "3"))
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=not THOROUGH,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


def fuzzed(
    url: str, document: dict[str, Any], route: Route, mode: GenerationMode, key: str, ids: dict[str, str]
) -> int:
    """Make up requests for one operation and judge every answer; how many there were."""
    operation = schemathesis.openapi.from_dict(document)[route.path][route.method]
    known = route.known({**ids, **VERSIONS})
    count = 0
    with requests.Session() as session:
        session.trust_env = False

        @FUZZ
        @given(case=operation.as_strategy(generation_mode=mode, path_parameters=known or None))
        def one(case: schemathesis.Case[Any]) -> None:
            nonlocal count
            count += 1
            case.headers["authorization"] = f"Bearer {key}"
            answer = case.call(base_url=url, session=session, timeout=30)
            refused = [] if answer.status_code == 413 else [negative_data_rejection]  # it does not know 413
            checks = [*CHECKS, *refused]
            if route.operation == "transcribe" and answer.status_code == 503:  # there is no key for it here
                checks.remove(not_a_server_error)
            case.validate_response(answer, checks=checks)

        try:
            one()
        except InvalidSchema:  # its generator gives up on some lists of the contract
            assert mode is GenerationMode.NEGATIVE, route
        except Unsatisfiable:  # nothing can be wrong about a request that says nothing
            assert mode is GenerationMode.NEGATIVE, route
            assert not known, route
            assert not route.takes_body, route
    return count


def unlocked(document: dict[str, Any]) -> dict[str, Any]:
    """The document without its security: all requests bring the same key, which is not to be made up."""
    unlocked = copy.deepcopy(document)
    for methods in unlocked["paths"].values():
        for operation in methods.values():
            operation.pop("security", None)
    del unlocked["components"]["securitySchemes"]
    return unlocked


# The server works in another thread of this process, and takes of the same `random` while a request is made up.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
@pytest.mark.parametrize("mode", list(GenerationMode))
async def test_made_up_requests(api: Api, mode: GenerationMode) -> None:
    person = await api.owner()
    world: World = await make_world(api, person)
    document = unlocked(api.app.openapi())
    count = 0
    for route in all_routes(api.app):
        ids = nowhere() if route.method == "DELETE" else world.values()
        work = asyncio.to_thread(fuzzed, api.url, copy.deepcopy(document), route, mode, person.key, ids)
        count += await work
    assert count > EXAMPLES
