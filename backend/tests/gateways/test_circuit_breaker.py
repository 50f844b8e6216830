"""A provider that keeps failing is left alone for a moment, and then tried with one call."""

from __future__ import annotations

import asyncio

import pytest

from backend.errors import ModelFailed, ModelUnavailable
from backend.gateways.circuit_breaker import COOL_DOWN_SECONDS, FAILURES_TO_OPEN
from backend.gateways.openai_model import OpenAIModel
from backend.tests.gateways.model_requests import SettableClock, request
from backend.tests.protocol_servers.openai_server import OpenAIServer


async def test_the_breaker_opens_and_lets_one_call_try(
    provider: OpenAIModel, openai_server: OpenAIServer, clock: SettableClock
) -> None:
    openai_server.fault("quota", retry_after="300")
    for _ in range(FAILURES_TO_OPEN):
        with pytest.raises(ModelUnavailable):
            await provider.complete(request())
    asked = len(openai_server.calls)
    with pytest.raises(ModelUnavailable) as caught:
        await provider.complete(request())
    assert len(openai_server.calls) == asked
    assert caught.value.context["retry_after"] == 60
    assert provider.breaker.is_open
    clock.forward(61)
    openai_server.reset()
    assert (await provider.complete(request())).text
    assert not provider.breaker.is_open


async def test_a_failed_try_keeps_the_breaker_open(
    provider: OpenAIModel, openai_server: OpenAIServer, clock: SettableClock
) -> None:
    openai_server.fault("quota")
    for _ in range(FAILURES_TO_OPEN):
        with pytest.raises(ModelUnavailable):
            await provider.complete(request())
    clock.forward(COOL_DOWN_SECONDS)
    asked = len(openai_server.calls)
    results = await asyncio.gather(*(provider.complete(request()) for _ in range(4)), return_exceptions=True)
    assert all(isinstance(result, ModelUnavailable) for result in results)
    assert len(openai_server.calls) == asked + 1
    with pytest.raises(ModelUnavailable):
        await provider.complete(request())
    assert len(openai_server.calls) == asked + 1


async def test_an_abandoned_try_lets_the_next_one_try(
    provider: OpenAIModel, openai_server: OpenAIServer, clock: SettableClock
) -> None:
    openai_server.fault("quota", times=FAILURES_TO_OPEN)
    for _ in range(FAILURES_TO_OPEN):
        with pytest.raises(ModelUnavailable):
            await provider.complete(request())
    clock.forward(COOL_DOWN_SECONDS)
    openai_server.fault("slow_headers", times=1)
    asked = len(openai_server.calls)
    task = asyncio.create_task(provider.complete(request()))
    await asyncio.to_thread(openai_server.wait_for_calls, asked + 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await provider.complete(request())).text


async def test_refusals_and_rubbish_do_not_open_the_breaker(provider: OpenAIModel, openai_server: OpenAIServer) -> None:
    for kind in ("bad_request", "unauthorized", "html", "null_content"):
        openai_server.fault(kind, times=FAILURES_TO_OPEN)
        for _ in range(FAILURES_TO_OPEN):
            with pytest.raises((ModelUnavailable, ModelFailed)):
                await provider.complete(request())
    assert (await provider.complete(request())).text
