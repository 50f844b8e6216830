"""Everything a provider can do wrong: the right error, in time, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncGenerator, Generator

import pytest

from backend.errors import ModelError, ModelFailed, ModelTimeout, ModelUnavailable
from backend.gateways.openai_model import OpenAIModel
from backend.tests.fair_time import done_within
from backend.tests.gateways.model_requests import FAIR, LONGEST_WAIT, SECRET, SHORT, WEATHER, model, request, streamed
from backend.tests.protocol_servers.openai_faults import FaultKind
from backend.tests.protocol_servers.openai_server import OpenAIServer

BOTH: dict[FaultKind, type[ModelError]] = {
    "dead": ModelUnavailable,
    "reset": ModelUnavailable,
    "hang_up": ModelUnavailable,
    "slow_headers": ModelTimeout,
    "slow_total": ModelTimeout,
    "rate_limited": ModelUnavailable,
    "quota": ModelUnavailable,
    "unauthorized": ModelUnavailable,
    "forbidden": ModelUnavailable,
    "request_timeout": ModelUnavailable,
    "conflict": ModelUnavailable,
    "bad_gateway": ModelUnavailable,
    "unavailable": ModelUnavailable,
    "overloaded": ModelUnavailable,
    "not_found": ModelFailed,
    "bad_request": ModelFailed,
    "server_error": ModelFailed,
    "redirect": ModelFailed,
    "html": ModelFailed,
    "html_as_json": ModelFailed,
    "empty_body": ModelFailed,
    "truncated_json": ModelFailed,
    "json_list": ModelFailed,
    "json_null": ModelFailed,
    "deep_json": ModelFailed,
    "no_choices": ModelFailed,
    "empty_choices": ModelFailed,
    "wrong_choices": ModelFailed,
    "no_message": ModelFailed,
    "null_content": ModelFailed,
    "empty_content": ModelFailed,
    "wrong_content": ModelFailed,
    "nameless_tool": ModelFailed,
    "error_in_200": ModelFailed,
    "bad_http": ModelFailed,
    "gigantic": ModelFailed,
    "gigantic_error": ModelFailed,
    "compressed": ModelFailed,
}
ONLY_WHOLE: dict[FaultKind, type[ModelError]] = {"short_body": ModelUnavailable}
ONLY_STREAMED: dict[FaultKind, type[ModelError]] = {
    "silent_stream": ModelTimeout,
    "slow_first_token": ModelTimeout,
    "empty_chunks": ModelTimeout,
    "flood_without_tokens": ModelError,
    "no_events": ModelFailed,
    "cut_before_token": ModelUnavailable,
    "cut_stream": ModelFailed,
    "reset_stream": ModelFailed,
    "error_event": ModelFailed,
    "error_before_token": ModelFailed,
    "garbage_sse": ModelFailed,
    "garbage_bytes": ModelFailed,
    "wrong_pieces": ModelFailed,
    "bad_chunks": ModelFailed,
    "late_bad_chunks": ModelTimeout,
    "gigantic_line": ModelFailed,
}
MODELS = {"chat": "test-model", "responses": "gpt-6.1-sol"}


@pytest.fixture(scope="module", autouse=True)
def nothing_unclosed() -> Generator[None]:
    """Look once, after all faults, for sessions and sockets that nobody closed: their warnings are errors."""
    yield
    gc.collect()


@pytest.fixture
async def hurried(openai_server: OpenAIServer, expected: type[ModelError]) -> AsyncGenerator[OpenAIModel]:
    """A model with short deadlines, and the check that nothing of it stays."""
    before = asyncio.all_tasks()
    # Only what is slow waits for the deadline; the others must not meet it on a busy machine.
    hurried = model(openai_server.base_url, FAIR if expected in (ModelFailed, ModelUnavailable) else SHORT)
    yield hurried
    await hurried.close()
    for _ in range(20):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() - {asyncio.current_task()} <= before
    end = time.monotonic() + 10
    while openai_server.open_connections:
        assert time.monotonic() < end, "a connection stayed open"
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("wire", MODELS)
@pytest.mark.parametrize(("kind", "expected"), [*BOTH.items(), *ONLY_WHOLE.items()])
async def test_whole_answer(
    hurried: OpenAIModel, openai_server: OpenAIServer, kind: FaultKind, expected: type[ModelError], wire: str
) -> None:
    openai_server.fault(kind)
    async with done_within(LONGEST_WAIT):
        with pytest.raises(expected) as caught:
            await hurried.complete(request(model=MODELS[wire], tools=[WEATHER]))
    _fit_to_show(caught.value)


@pytest.mark.parametrize("wire", MODELS)
@pytest.mark.parametrize(("kind", "expected"), [*BOTH.items(), *ONLY_STREAMED.items()])
async def test_streamed_answer(
    hurried: OpenAIModel, openai_server: OpenAIServer, kind: FaultKind, expected: type[ModelError], wire: str
) -> None:
    openai_server.fault(kind)
    async with done_within(LONGEST_WAIT):
        with pytest.raises(expected) as caught:
            await streamed(hurried, request(model=MODELS[wire], tools=[WEATHER]))
    _fit_to_show(caught.value)


def _fit_to_show(error: ModelError) -> None:
    assert "test" in error.detail
    assert SECRET not in error.detail
    assert "sk-test-canary" not in error.detail
    assert len(error.detail) < 500
    assert error.context["provider"] == "test"
