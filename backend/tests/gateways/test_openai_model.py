"""What the gateway sends, reads, learns, retries and gives up, against a real local server."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from backend.errors import Misconfigured, ModelFailed, ModelTimeout, ModelUnavailable
from backend.gateways.openai_model import Deadlines, OpenAIModel
from backend.ports import ModelReply, PromptMessage, TextDelta, ToolCall, Usage
from backend.tests.fair_time import fair_timeout
from backend.tests.gateways.model_requests import SECRET, WEATHER, model, request, streamed
from backend.tests.protocol_servers.openai_faults import FaultKind
from backend.tests.protocol_servers.openai_server import OpenAIServer

TWO_CALLS = (("call_a", "weather", '{"place": "Lima"}'), ("call_b", "weather", '{"place": "Bergen, Norway"}'))
HIGH, LOW = "\ud83d", "\ude00"
NO_HEADERS = {"reset", "hang_up", "html", "redirect"}
TOOL_MODELS = ["test-model", "gpt-6-luna", "gpt-6.1-astra"]


async def test_whole_reply(provider: OpenAIModel, openai_server: OpenAIServer) -> None:
    openai_server.answer("The sky is clear.", input_tokens=40, output_tokens=5)
    reply = await provider.complete(request("How is the sky?"))
    assert reply == ModelReply("The sky is clear.", "test", "test-model", Usage(40, 5))
    sent = openai_server.calls[0]
    assert sent.path == "/v1/chat/completions"
    assert sent.headers["authorization"] == f"Bearer {SECRET}"
    assert sent.body == {
        "model": "test-model",
        "messages": [{"role": "system", "content": "You are kind."}, {"role": "user", "content": "How is the sky?"}],
        "max_tokens": 500,
        "temperature": 0.7,
    }


@pytest.mark.parametrize("name", ["test-model", "gpt-6.1-sol"])
async def test_stream_gives_pieces_and_then_the_same_reply(
    provider: OpenAIModel, openai_server: OpenAIServer, name: str
) -> None:
    openai_server.answer("Three small words.", input_tokens=40, output_tokens=5)
    asked = request(model=name, tools=[WEATHER])
    pieces, reply = await streamed(provider, asked)
    assert pieces == ["Three ", "small ", "words."]
    assert reply == await provider.complete(asked)
    assert reply.usage == Usage(40, 5)


async def test_responses_body(provider: OpenAIModel, openai_server: OpenAIServer) -> None:
    asked = request("Weather?", model="gpt-6.1-sol", tools=[WEATHER])
    history = [
        *asked.messages,
        PromptMessage("assistant", "I look.", (ToolCall("call_a", "weather", "{}"),)),
        PromptMessage("tool", "rain", tool_call_id="call_a"),
    ]
    await provider.complete(replace(asked, messages=history))
    assert openai_server.calls[0].body == {
        "model": "gpt-6.1-sol",
        "input": [
            {"role": "system", "content": "You are kind."},
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": "I look."},
            {"type": "function_call", "call_id": "call_a", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_a", "output": "rain"},
        ],
        "store": False,
        "max_output_tokens": 500,
        "temperature": 0.7,
        "reasoning": {"effort": "none"},
        "tools": [
            {
                "type": "function",
                "name": "weather",
                "description": "The weather of a place",
                "parameters": WEATHER.parameters,
                "strict": False,
            }
        ],
    }


@pytest.mark.parametrize("name", TOOL_MODELS)
async def test_parallel_tool_calls(provider: OpenAIModel, openai_server: OpenAIServer, name: str) -> None:
    openai_server.answer(tool_calls=TWO_CALLS)
    asked = request(model=name, tools=[WEATHER])
    pieces, reply = await streamed(provider, asked)
    assert pieces == []
    assert reply.tool_calls == tuple(ToolCall(*call) for call in TWO_CALLS)
    assert reply.finish_reason == "tool_calls"
    assert await provider.complete(asked) == reply


@pytest.mark.parametrize("name", TOOL_MODELS)
@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["a\x00b"], "a\ufffdb"),
        ([f"a {HIGH} b"], "a \ufffd b"),
        ([f"a {LOW} b"], "a \ufffd b"),
        ([f"smile {HIGH}", f"{LOW}!"], "smile \U0001f600!"),
        ([HIGH, "x"], "\ufffdx"),
        (["x", HIGH], "x\ufffd"),
        ([HIGH, HIGH, LOW], "\ufffd\U0001f600"),
        (["\U0001f600"], "\U0001f600"),
    ],
)
async def test_unfit_characters(
    provider: OpenAIModel, openai_server: OpenAIServer, pieces: list[str], text: str, name: str
) -> None:
    openai_server.answer(pieces=pieces)
    got, reply = await streamed(provider, request(model=name, tools=[WEATHER]))
    assert "".join(got) == text
    assert all(got)
    assert reply.text == text
    assert (await provider.complete(request(model=name, tools=[WEATHER]))).text == text


async def test_unfit_characters_in_a_tool_call(provider: OpenAIModel, openai_server: OpenAIServer) -> None:
    openai_server.answer(tool_calls=[("call_\x00", "weather", '{"place": "\ud83d"}')])
    reply = await provider.complete(request(tools=[WEATHER]))
    assert reply.tool_calls == (ToolCall("call_\ufffd", "weather", '{"place": "\ufffd"}'),)


@pytest.mark.parametrize("name", TOOL_MODELS)
async def test_an_answer_cut_by_its_length_says_so(
    provider: OpenAIModel, openai_server: OpenAIServer, name: str
) -> None:
    openai_server.answer("And then", finish_reason="length")
    assert (await provider.complete(request(model=name, tools=[WEATHER]))).finish_reason == "length"
    _, reply = await streamed(provider, request(model=name, tools=[WEATHER]))
    assert reply.finish_reason == "length"


async def test_a_lost_goodbye_costs_nothing(provider: OpenAIModel, openai_server: OpenAIServer) -> None:
    openai_server.fault("lost_goodbye")
    pieces, reply = await streamed(provider, request())
    assert "".join(pieces) == reply.text == "All of it."


async def test_half_an_answer_is_shown_before_it_fails(provider: OpenAIModel, openai_server: OpenAIServer) -> None:
    openai_server.fault("reset_stream")
    said: list[str] = []

    async def listen() -> None:
        async for item in provider.stream(request()):
            assert isinstance(item, TextDelta)
            said.append(item.text)

    with pytest.raises(ModelFailed):
        await listen()
    assert said == ["Half an "]
    assert len(openai_server.calls) == 1


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        ("reset", 3),
        ("hang_up", 3),
        ("request_timeout", 3),
        ("conflict", 3),
        ("rate_limited", 3),
        ("server_error", 3),
        ("unavailable", 3),
        ("quota", 1),
        ("unauthorized", 1),
        ("bad_request", 1),
        ("html", 1),
        ("redirect", 1),
    ],
)
async def test_how_often_each_fault_is_tried(
    provider: OpenAIModel, openai_server: OpenAIServer, kind: FaultKind, calls: int, streaming: bool
) -> None:
    at_once: dict[str, Any] = {} if kind in NO_HEADERS else {"retry_after": "0"}
    openai_server.fault(kind, **at_once)
    with pytest.raises((ModelUnavailable, ModelFailed)):
        await (streamed(provider, request()) if streaming else provider.complete(request()))
    assert len(openai_server.calls) == calls


@pytest.mark.parametrize("streaming", [False, True])
async def test_the_third_attempt_may_succeed(
    provider: OpenAIModel, openai_server: OpenAIServer, streaming: bool
) -> None:
    openai_server.fault("reset", times=1)
    openai_server.fault("unavailable", times=1)
    if streaming:
        _, reply = await streamed(provider, request())
    else:
        reply = await provider.complete(request())
    assert reply.text == "Hello from the test model."
    assert len(openai_server.calls) == 3


async def test_retry_after_is_honoured(provider: OpenAIModel, openai_server: OpenAIServer) -> None:
    openai_server.fault("rate_limited", times=1, retry_after="0.4")
    started = time.monotonic()
    assert (await provider.complete(request())).text
    assert time.monotonic() - started >= 0.4


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("60", 60),
        ("59.2", 60),
        ("Sun, 15 Nov 2026 12:01:30 GMT", 90),
        ("9" * 400, None),
        ("nan", None),
        ("-5", None),
        ("soon", None),
        ("1e300", 86_400),
    ],
)
async def test_a_longer_retry_after_is_passed_on_at_once(
    provider: OpenAIModel, openai_server: OpenAIServer, header: str, seconds: int | None
) -> None:
    openai_server.fault("rate_limited", retry_after=header)
    async with fair_timeout(1.5):
        with pytest.raises(ModelUnavailable) as caught:
            await provider.complete(request())
    assert caught.value.context.get("retry_after") == seconds


async def test_a_stream_closed_early_gives_its_connection_back(
    provider: OpenAIModel, openai_server: OpenAIServer
) -> None:
    openai_server.fault("slow_total")
    async with aclosing(provider.stream(request())) as stream:
        async for item in stream:
            assert item == TextDelta("drip ")
            break
    end = time.monotonic() + 2
    while openai_server.open_connections:
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


async def test_a_refused_key_names_the_setting_and_not_the_key(
    provider: OpenAIModel, openai_server: OpenAIServer
) -> None:
    openai_server.fault("unauthorized")
    with pytest.raises(ModelUnavailable, match="TEST_KEY") as caught:
        await provider.complete(request())
    assert SECRET not in caught.value.detail


async def test_the_providers_words_are_shown_without_keys(provider: OpenAIModel, openai_server: OpenAIServer) -> None:
    openai_server.refuse("model", message=f"bad\r\nthing {SECRET} and sk-abcdefgh123 " + "x" * 2000)
    with pytest.raises(ModelFailed, match="bad thing … and … x") as caught:
        await provider.complete(request())
    assert len(caught.value.detail) < 400


@pytest.mark.parametrize(
    ("deadlines", "kind", "named"),
    [
        (Deadlines(1, 0.1, 5), "silent_stream", "first_token"),
        (Deadlines(1, 5, 0.2), "slow_total", "total"),
    ],
)
async def test_a_timeout_names_its_deadline(
    openai_server: OpenAIServer, deadlines: Deadlines, kind: FaultKind, named: str
) -> None:
    hurried = model(openai_server.base_url, deadlines)
    openai_server.fault(kind)
    with pytest.raises(ModelTimeout, match=f"NUMEN_LLM_{named.upper()}_SECONDS") as caught:
        await streamed(hurried, request())
    assert caught.value.context["deadline"] == named
    await hurried.close()


async def test_a_server_that_accepts_nobody_passes_the_connect_deadline() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        # Once the queue of a listener that never accepts is full, the kernel lets further connections hang.
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        hurried = model(f"http://127.0.0.1:{listener.getsockname()[1]}", Deadlines(0.1, 0.3, 0.3))
        with pytest.raises(ModelTimeout, match="NUMEN_LLM_CONNECT_SECONDS"):
            await hurried.complete(request())
        await hurried.close()
        for filler in fillers:
            filler.close()


async def test_retirements(provider: OpenAIModel, openai_server: OpenAIServer) -> None:
    openai_server.models = {"gpt-6-luna": None, "gpt-4o": "2027-01-14T00:00:00Z", "odd": "soon"}
    assert await provider.retirements() == {"gpt-6-luna": None, "gpt-4o": "2027-01-14", "odd": None}


@pytest.mark.parametrize(
    "kind", ["dead", "slow_headers", "html", "truncated_json", "json_list", "unauthorized", "gigantic"]
)
async def test_retirements_never_fail(openai_server: OpenAIServer, kind: FaultKind) -> None:
    hurried = model(openai_server.base_url, Deadlines(0.2, 0.2, 0.2))
    openai_server.fault(kind)
    assert await hurried.retirements() == {}
    await hurried.close()


async def test_without_a_key_the_official_server_is_not_asked() -> None:
    keyless = model("https://api.openai.com/v1", api_key="")
    with pytest.raises(ModelUnavailable, match="TEST_KEY"):
        await keyless.complete(request())
    with pytest.raises(ModelUnavailable, match="TEST_KEY"):
        await streamed(keyless, request())
    assert await keyless.retirements() == {}
    await keyless.close()


async def test_a_server_of_ones_own_needs_no_key(openai_server: OpenAIServer) -> None:
    keyless = model(openai_server.base_url, api_key="")
    assert (await keyless.complete(request())).text
    await keyless.close()


@pytest.mark.parametrize("url", ["", "ollama", "ftp://host/v1", "http://", "http://[::1"])
def test_a_base_url_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(Misconfigured, match="base URL"):
        model(url)


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel"])
def test_a_key_that_cannot_be_sent_is_refused_at_once(key: str) -> None:
    with pytest.raises(Misconfigured, match="TEST_KEY") as caught:
        model("http://127.0.0.1:9", api_key=key)
    assert key not in caught.value.detail
