"""Whatever JSON a server sends, both wires make an answer of it or refuse it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.gateways import chat_completions_wire, responses_wire
from backend.gateways.answer import Answer, AnswerReader, BadAnswer
from backend.gateways.chat_completions_wire import ChatCompletionsReader
from backend.gateways.responses_wire import ResponsesReader
from backend.ports import ToolCall

NAMES = [
    "choices", "message", "delta", "content", "tool_calls", "function", "name", "arguments", "id", "index", "usage",
    "prompt_tokens", "finish_reason", "refusal", "error", "output", "type", "text", "call_id", "status", "response",
    "item", "reasoning", "incomplete_details",
]  # fmt: skip
WORDS = [
    "message", "function_call", "output_text", "stop", "length", "completed", "incomplete", "failed", "error",
    "response.completed", "response.output_text.delta", "response.output_item.done", "response.incomplete",
    "response.failed", "\ud83d", "\ude00", "\x00",
]  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=5)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=25,
)
Reading = Callable[[object], Answer]


def _fit(answer: Answer) -> None:
    parts = [answer.text, *(part for call in answer.tool_calls for part in (call.id, call.name, call.arguments))]
    for part in parts:
        part.encode()
        assert "\x00" not in part
    assert answer.text.strip() or answer.tool_calls
    assert answer.usage.input_tokens >= 0
    assert answer.usage.output_tokens >= 0


@pytest.mark.parametrize("read", [chat_completions_wire.read_answer, responses_wire.read_answer])
@given(data=ANYTHING)
def test_any_json_is_an_answer_or_refused(read: Reading, data: object) -> None:
    try:
        _fit(read(data))
    except BadAnswer as refusal:
        str(refusal).encode()


@pytest.mark.parametrize("read", [chat_completions_wire.read_answer])
@given(message=ANYTHING, usage=ANYTHING, finish=LEAVES)
def test_any_message_is_an_answer_or_refused(read: Reading, message: object, usage: object, finish: object) -> None:
    try:
        _fit(read({"choices": [{"message": message, "finish_reason": finish}], "usage": usage}))
    except BadAnswer as refusal:
        str(refusal).encode()


@pytest.mark.parametrize("reader", [ChatCompletionsReader, ResponsesReader])
@given(events=st.lists(ANYTHING, max_size=6))
def test_any_events_are_an_answer_or_refused(reader: Callable[[], AnswerReader], events: list[object]) -> None:
    reading = reader()
    try:
        said = "".join([*map(reading.feed, events), reading.rest()])
        answer = reading.answer()
    except BadAnswer as refusal:
        str(refusal).encode()
    else:
        _fit(answer)
        assert said == answer.text


@given(deltas=st.lists(ANYTHING, max_size=5))
def test_any_deltas_are_an_answer_or_refused(deltas: list[object]) -> None:
    reading = ChatCompletionsReader()
    try:
        for delta in deltas:
            reading.feed({"choices": [{"delta": delta}]})
        reading.feed({"choices": [{"delta": {"content": "."}, "finish_reason": "stop"}]})
        reading.rest()
        _fit(reading.answer())
    except BadAnswer as refusal:
        str(refusal).encode()


def _stream_of_calls(*pieces: dict[str, Any]) -> tuple[ToolCall, ...]:
    reading = ChatCompletionsReader()
    for piece in pieces:
        reading.feed({"choices": [{"delta": {"tool_calls": [piece]}}]})
    reading.feed({"choices": [{"finish_reason": "stop"}]})
    return reading.answer().tool_calls


def test_parallel_calls_that_all_have_the_same_index() -> None:
    calls = _stream_of_calls(
        {"index": 0, "id": "a", "function": {"name": "look", "arguments": "{}"}},
        {"index": 0, "id": "b", "function": {"name": "ask", "arguments": '{"x": 1}'}},
    )
    assert calls == (ToolCall("a", "look", "{}"), ToolCall("b", "ask", '{"x": 1}'))


def test_calls_without_an_id_or_arguments() -> None:
    calls = _stream_of_calls({"function": {"name": "look"}}, {"function": {"name": "ask", "arguments": None}})
    assert calls == (ToolCall("call_0", "look", "{}"), ToolCall("call_1", "ask", "{}"))


def test_content_in_parts_is_joined() -> None:
    content = [{"type": "text", "text": "One "}, {"type": "text", "text": "two."}]
    assert chat_completions_wire.read_answer({"choices": [{"message": {"content": content}}]}).text == "One two."


def test_a_refusal_is_an_answer() -> None:
    message = {"content": None, "refusal": "I would rather not."}
    assert chat_completions_wire.read_answer({"choices": [{"message": message}]}).text == "I would rather not."


def test_thinking_is_a_sign_of_life_and_no_text() -> None:
    reading = ChatCompletionsReader()
    assert reading.feed({"choices": [{"delta": {"reasoning_content": "Hm."}}]}) == ""
    assert reading.token_seen


def test_an_allowance_that_was_used_up_says_what_to_do() -> None:
    data = {"choices": [{"message": {"content": ""}, "finish_reason": "length"}]}
    with pytest.raises(BadAnswer, match="raise max_tokens"):
        chat_completions_wire.read_answer(data)


def test_a_last_event_alone_is_a_whole_answer() -> None:
    output = [{"type": "message", "content": [{"type": "output_text", "text": "All at once."}]}]
    reading = ResponsesReader()
    said = reading.feed({"type": "response.completed", "response": {"status": "completed", "output": output}})
    assert said == reading.answer().text == "All at once."
