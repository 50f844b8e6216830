"""Every error has one shape, the status of its kind, and says nothing it should not."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend import errors
from backend.errors import (
    AgentNotFound,
    FieldError,
    InvalidContract,
    ModelFailed,
    ModelTimeout,
    ModelUnavailable,
    NumenError,
    RequestInProgress,
    ThreadBusy,
    Unauthenticated,
    Unavailable,
)
from backend.routers.problem_types import router as problem_types
from backend.routers.problems import KINDS, kind_of, problem_body, problem_response, status_of
from backend.telemetry import start_log_context
from backend.tests.fixtures_logs import Logs
from backend.tests.routers.small_app import client_of, small_app

STATUSES = {
    errors.NotFound: 404, errors.RunNotFound: 404, errors.Invalid: 422, errors.InvalidContract: 422,
    errors.IdempotencyKeyReused: 422, errors.Conflict: 409, errors.ThreadBusy: 409, errors.AgentArchived: 409,
    errors.PreconditionFailed: 412, errors.Unauthenticated: 401, errors.Forbidden: 403, errors.Unavailable: 503,
    errors.DatabaseUnavailable: 503, errors.ShuttingDown: 503, errors.ModelError: 502, errors.ModelFailed: 502,
    errors.ModelTimeout: 504, errors.ModelUnavailable: 503, errors.BrokenWall: 500, errors.NumenError: 500,
}  # fmt: skip


@pytest.mark.parametrize(("kind", "status"), STATUSES.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_status_is_that_of_the_nearest_ancestor(kind: type[NumenError], status: int) -> None:
    assert status_of(kind("why")) == status


def test_an_error_nobody_listed_gets_its_ancestors_answer() -> None:
    class AgentAsleep(errors.Conflict):
        code, title = "agent-asleep", "The agent sleeps"

    assert AgentAsleep not in KINDS
    assert problem_body(AgentAsleep("It is night.")) | {"request_id": None} == {
        "type": "/problems/agent-asleep",
        "title": "The agent sleeps",
        "status": 409,
        "code": "agent-asleep",
        "detail": "It is night.",
        "request_id": None,
    }


def test_body_carries_fields_context_and_the_request_of_the_task() -> None:
    start_log_context(request_id="request-1")
    refused = InvalidContract("Two things.", [FieldError("/voice", "is required")], provider="elevenlabs")
    body = problem_body(refused, instance="/api/v1/agents")
    assert body["errors"] == [{"pointer": "/voice", "detail": "is required"}]
    assert (body["provider"], body["request_id"], body["instance"]) == ("elevenlabs", "request-1", "/api/v1/agents")


def test_context_cannot_replace_a_standard_member() -> None:
    body = problem_body(ThreadBusy("Wait.", status=200, code="fine", type="x"))
    assert (body["status"], body["code"], body["type"]) == (409, "thread-busy", "/problems/thread-busy")


def test_not_found_keeps_its_context_to_itself() -> None:
    assert "agent_id" not in problem_body(AgentNotFound("No such agent.", agent_id="somebody's"))


@pytest.mark.parametrize(
    ("error", "retry_after"),
    [
        (Unavailable("Away."), "1"),
        (ModelUnavailable("Away.", retry_after=2.2), "3"),
        (RequestInProgress("Wait.", retry_after=1), "1"),
        (ModelTimeout("Slow."), None),
        (ModelFailed("Rubbish."), None),
    ],
)
def test_retry_after(error: NumenError, retry_after: str | None) -> None:
    assert problem_response(error).headers.get("retry-after") == retry_after


def test_unauthenticated_says_how_to_authenticate() -> None:
    assert problem_response(Unauthenticated("Who?")).headers["www-authenticate"] == "Bearer"


async def test_unknown_address_and_wrong_method() -> None:
    async with client_of(small_app()) as client:
        lost = await client.get("/api/nowhere?secret=1")
        wrong = await client.delete("/api/notes")
    assert lost.status_code == 404
    assert lost.headers["content-type"] == "application/problem+json"
    assert lost.json()["code"] == "route-not-found"
    assert lost.json()["instance"] == "/api/nowhere"
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method-not-allowed")
    assert wrong.headers["allow"] == "GET, POST", "the methods of all routes with this address"


async def test_two_ids_that_do_not_exist_differ_in_nothing_else() -> None:
    first_id, second_id = str(uuid4()), str(uuid4())
    async with client_of(small_app()) as client:
        first = await client.get(f"/api/notes/{first_id}", headers={"x-request-id": "same"})
        second = await client.get(f"/api/notes/{second_id}", headers={"x-request-id": "same"})
    assert first.status_code == 404
    assert first.text.replace(first_id, "ID") == second.text.replace(second_id, "ID")
    assert first.text.count(first_id) == 1, "only instance names it"


async def test_what_nobody_expects_is_told_to_the_operator_only(logs: Logs) -> None:
    async with client_of(small_app()) as client:
        answer = await client.post(f"/api/notes/{uuid4()}/explode", headers={"x-request-id": "request-9"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "internal"
    assert answer.json()["request_id"] == "request-9"
    assert "secret" not in answer.text
    failed = [line for line in logs() if line["level"] == "error"]
    assert [line["request_id"] for line in failed] == ["request-9"], "logged, and once"
    assert "a secret detail of" in failed[0]["exception"][0]["message"]


async def test_each_kind_of_problem_is_described() -> None:
    async with client_of(small_app(problem_types)) as client:
        listed = (await client.get("/api/problems")).json()
        one = (await client.get("/api/problems/thread-busy")).json()
        none = await client.get("/api/problems/no-such-kind")
    assert {"agent-not-found", "malformed-json", "model-timeout", "internal"} <= {kind["code"] for kind in listed}
    assert not {"broken-wall", "misconfigured"} & {kind["code"] for kind in listed}, "those stop the start"
    assert one["status"] == 409
    assert one["family"] == ["conflict", "internal"]
    assert one["advice"] == kind_of(ThreadBusy).advice
    assert (none.status_code, none.json()["code"]) == (404, "problem-type-not-found")


async def test_the_openapi_document_describes_the_shape() -> None:
    async with client_of(small_app()) as client:
        document = (await client.get("/openapi.json")).json()
    answers = document["paths"]["/api/notes"]["get"]["responses"]
    assert {"400", "401", "403", "404", "413", "415", "422", "500", "503"} <= set(answers)
    content = answers["404"]["content"]
    assert list(content) == ["application/problem+json"]
    assert content["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}
    assert "agent-not-found" in content["application/problem+json"]["examples"]
    schemas = document["components"]["schemas"]
    assert {"type", "title", "status", "detail", "code"} <= set(schemas["Problem"]["required"])
    assert "HTTPValidationError" not in schemas, "no error in any other shape"


@given(
    st.text(st.characters(), max_size=40),
    st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8), max_size=3),
)
def test_every_problem_can_be_written(detail: str, context: dict[str, int | str]) -> None:
    error = NumenError(detail)
    error.context = context
    written = json.loads(bytes(problem_response(error).body))
    assert (written["status"], written["detail"]) == (500, detail)
