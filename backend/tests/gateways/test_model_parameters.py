"""Which parameters each model is sent, and what a refusal teaches."""

from __future__ import annotations

import pytest

from backend.errors import ModelFailed
from backend.gateways.openai_model import OpenAIModel
from backend.ports import Usage
from backend.tests.gateways.model_requests import WEATHER, request, streamed
from backend.tests.protocol_servers.openai_server import OpenAIServer


@pytest.mark.parametrize(
    ("name", "sends", "left_out"),
    [
        ("llama-3", {"max_tokens": 500, "temperature": 0.7}, ()),
        ("gpt-4o-mini", {"max_tokens": 500, "temperature": 0.7}, ()),
        ("gpt-6-luna", {"max_completion_tokens": 500, "temperature": 0.7, "reasoning_effort": "none"}, ()),
        ("openai/gpt-6-luna", {"max_completion_tokens": 500, "temperature": 0.7, "reasoning_effort": "none"}, ()),
        ("gpt-5.1", {"max_completion_tokens": 500, "temperature": 0.7, "reasoning_effort": "none"}, ()),
        ("gpt-5-mini", {"max_completion_tokens": 500, "reasoning_effort": "minimal"}, ("temperature",)),
        ("o3", {"max_completion_tokens": 500}, ("reasoning_effort", "temperature")),
        ("o100-open", {"max_tokens": 500, "temperature": 0.7}, ()),
    ],
)
async def test_each_family_gets_what_it_takes(
    provider: OpenAIModel, openai_server: OpenAIServer, name: str, sends: dict[str, object], left_out: tuple[str, ...]
) -> None:
    reply = await provider.complete(request(model=name))
    body = openai_server.calls[0].body
    assert {key: body[key] for key in body if key not in {"model", "messages"}} == sends
    assert reply.left_out == left_out


async def test_reasoning_takes_the_place_of_temperature(provider: OpenAIModel, openai_server: OpenAIServer) -> None:
    reply = await provider.complete(request(model="gpt-6-luna", configuration={"reasoning_effort": "high"}))
    body = openai_server.calls[0].body
    assert body["reasoning_effort"] == "high"
    assert "temperature" not in body
    assert reply.left_out == ("temperature",)
    reply = await provider.complete(request(model="llama-3", configuration={"reasoning_effort": "high"}))
    assert "reasoning_effort" not in openai_server.calls[1].body
    assert reply.left_out == ("reasoning_effort",)


@pytest.mark.parametrize(
    ("name", "effort", "path"),
    [
        ("test-model", "none", "/v1/chat/completions"),
        ("gpt-6-luna", "none", "/v1/chat/completions"),
        ("gpt-6-sol", "low", "/v1/responses"),
        ("gpt-6.1-sol", "none", "/v1/responses"),
        ("gpt-6.1-astra", "high", "/v1/responses"),
    ],
)
async def test_tools_choose_the_wire(
    provider: OpenAIModel, openai_server: OpenAIServer, name: str, effort: str, path: str
) -> None:
    await provider.complete(request(model=name, tools=[WEATHER], configuration={"reasoning_effort": effort}))
    assert openai_server.calls[0].path == path
    await provider.complete(request(model=name, configuration={"reasoning_effort": effort}))
    assert openai_server.calls[1].path == "/v1/chat/completions"


async def test_a_refused_parameter_is_learned_once(provider: OpenAIModel, openai_server: OpenAIServer) -> None:
    openai_server.refuse("temperature", code="unsupported_value")
    first = await provider.complete(request())
    assert first.left_out == ("temperature",)
    assert len(openai_server.calls) == 2
    _, second = await streamed(provider, request())
    assert second.left_out == ("temperature",)
    assert len(openai_server.calls) == 3
    assert "temperature" not in openai_server.calls[2].body
    other = await provider.complete(request(model="other-model"))
    assert other.left_out == ("temperature",)
    assert len(openai_server.calls) == 5


@pytest.mark.parametrize(
    "how",
    [
        {"named": True},
        {"named": False},
        {"named": False, "code": None, "message": "Unrecognized request argument supplied: max_tokens"},
        {"shape": "validation"},
    ],
)
async def test_one_name_of_the_limit_is_changed_for_the_other(
    provider: OpenAIModel, openai_server: OpenAIServer, how: dict[str, object]
) -> None:
    openai_server.refuse("max_tokens", **{"code": "unsupported_parameter", **how})  # pyright: ignore[reportArgumentType]
    reply = await provider.complete(request())
    assert reply.left_out == ()
    body = openai_server.calls[1].body
    assert body["max_completion_tokens"] == 500
    assert "max_tokens" not in body


async def test_a_model_that_takes_no_limit_at_all(provider: OpenAIModel, openai_server: OpenAIServer) -> None:
    openai_server.refuse("max_tokens")
    openai_server.refuse("max_completion_tokens")
    openai_server.refuse("temperature")
    reply = await provider.complete(request())
    assert reply.left_out == ("max_tokens", "temperature")
    assert len(openai_server.calls) == 4


async def test_stream_options_are_learned_away_unsaid(provider: OpenAIModel, openai_server: OpenAIServer) -> None:
    openai_server.refuse("stream_options")
    _, reply = await streamed(provider, request())
    assert reply.left_out == ()
    assert reply.usage == Usage()


async def test_one_refused_effort_leaves_the_others(provider: OpenAIModel, openai_server: OpenAIServer) -> None:
    openai_server.refuse("reasoning_effort", code="unsupported_value", value="none")
    reply = await provider.complete(request(model="gpt-6-luna"))
    assert reply.left_out == ("reasoning_effort",)
    reply = await provider.complete(request(model="gpt-6-luna", configuration={"reasoning_effort": "low"}))
    assert openai_server.calls[-1].body["reasoning_effort"] == "low"
    assert reply.left_out == ("temperature",)


async def test_responses_wire_learns_too(provider: OpenAIModel, openai_server: OpenAIServer) -> None:
    openai_server.refuse("reasoning")
    openai_server.refuse("max_output_tokens")
    reply = await provider.complete(request(model="gpt-6.1-sol", tools=[WEATHER]))
    assert reply.left_out == ("max_tokens", "reasoning_effort")
    assert {"reasoning", "max_output_tokens"}.isdisjoint(openai_server.calls[-1].body)


async def test_a_model_that_asks_for_the_other_wire_gets_it(provider: OpenAIModel, openai_server: OpenAIServer) -> None:
    openai_server.refuse("messages", code=None, named=False, message="This model is only supported in /v1/responses.")
    assert (await provider.complete(request(model="gpt-9"))).text
    assert [call.path for call in openai_server.calls] == ["/v1/chat/completions", "/v1/responses"]
    await provider.complete(request(model="gpt-9"))
    assert openai_server.calls[-1].path == "/v1/responses"
    assert len(openai_server.calls) == 3


@pytest.mark.parametrize("parameter", ["messages", "model", "tools"])
async def test_the_prompt_and_the_tools_are_never_dropped(
    provider: OpenAIModel, openai_server: OpenAIServer, parameter: str
) -> None:
    openai_server.refuse(parameter)
    with pytest.raises(ModelFailed, match=parameter):
        await provider.complete(request(tools=[WEATHER]))
    assert len(openai_server.calls) == 1


async def test_a_prompt_that_is_too_long_teaches_nothing(provider: OpenAIModel, openai_server: OpenAIServer) -> None:
    said = "'max_tokens' is too large: 500. This model's maximum context length is 400 tokens."
    openai_server.refuse("max_tokens", code="context_length_exceeded", message=said)
    with pytest.raises(ModelFailed, match="too large"):
        await provider.complete(request())
    assert len(openai_server.calls) == 1
