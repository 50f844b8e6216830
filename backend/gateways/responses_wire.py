"""The Responses wire, for the models that take tools (or anything) only there: requests, answers, streams."""

from __future__ import annotations

from typing import Any

from backend.gateways.answer import Answer, BadAnswer, called, checked, is_object, member, rows, tokens, words
from backend.gateways.model_parameters import Parameters
from backend.gateways.text_cleaner import TextCleaner, clean
from backend.ports import ModelRequest, PromptMessage, ToolCall, Usage

PATH = "/responses"
MOST_TOOL_CALLS = 128
# Tuples, not sets: a server may send a list where a word belongs, and a set could not be asked for it.
_TEXT_DELTAS = ("response.output_text.delta", "response.refusal.delta")
_ENDS = ("response.completed", "response.incomplete", "response.failed")
_FAILURES = ("failed", "cancelled")


def request_body(request: ModelRequest, parameters: Parameters, *, stream: bool) -> dict[str, Any]:
    """The JSON body of a call. `store` is false: the thread lives in our database, not at the provider."""
    body: dict[str, Any] = {
        "model": request.model,
        "input": [item for message in request.messages for item in _items(message)],
    }
    if parameters.store_field:
        body["store"] = False
    if parameters.limit_name is not None:
        body["max_output_tokens"] = parameters.max_tokens
    if parameters.temperature is not None:
        body["temperature"] = parameters.temperature
    if parameters.effort is not None:
        body["reasoning"] = {"effort": parameters.effort}
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
                "strict": False,
            }
            for tool in request.tools
        ]
    if stream:
        body["stream"] = True
    return body


def _items(message: PromptMessage) -> list[dict[str, Any]]:
    if message.role == "tool":
        return [{"type": "function_call_output", "call_id": message.tool_call_id or "", "output": message.content}]
    items: list[dict[str, Any]] = []
    if message.content or not message.tool_calls:
        items.append({"role": message.role, "content": message.content})
    items.extend(
        {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}
        for call in message.tool_calls
    )
    return items


def read_answer(data: object) -> Answer:
    """The answer that came in one piece. Errors: `BadAnswer`."""
    if not is_object(data):
        raise BadAnswer("the answer is no JSON object")
    _refuse_failure(data)
    if not isinstance(data.get("output"), list):
        raise BadAnswer("the answer has no output")
    output = rows(data["output"])
    return checked(clean(_text(output)), _calls(output), _usage(data), _finish(data))


def _refuse_failure(data: dict[str, Any]) -> None:
    error = data.get("error")
    if error or data.get("status") in _FAILURES:
        said = error.get("message") if is_object(error) else error
        raise BadAnswer(f"it reports an error: {clean(str(said or data.get('status')))[:300]}")


def _text(output: list[dict[str, Any]]) -> str:
    parts = [part for item in output if item.get("type") == "message" for part in rows(item.get("content"))]
    return "".join(words(part.get("text")) or words(part.get("refusal")) for part in parts)


def _calls(output: list[dict[str, Any]]) -> tuple[ToolCall, ...]:
    calls = [item for item in output if item.get("type") == "function_call"]
    if len(calls) > MOST_TOOL_CALLS:
        raise BadAnswer(f"the answer calls more than {MOST_TOOL_CALLS} tools")
    return tuple(
        called(item.get("call_id") or item.get("id"), item.get("name"), item.get("arguments"), place)
        for place, item in enumerate(calls)
    )


def _usage(data: dict[str, Any]) -> Usage:
    usage = data.get("usage")
    return Usage(tokens(usage, "input_tokens", "prompt_tokens"), tokens(usage, "output_tokens", "completion_tokens"))


def _finish(data: dict[str, Any]) -> str:
    if data.get("status") != "incomplete":
        return "stop"
    return "content_filter" if member(data, "incomplete_details").get("reason") == "content_filter" else "length"


class ResponsesReader:
    """Reads the events of one stream. The last event repeats the whole answer, which some servers leave empty."""

    def __init__(self) -> None:
        self.token_seen = False
        self.finished = False
        self._cleaner = TextCleaner()
        self._pieces: list[str] = []
        self._items: list[dict[str, Any]] = []
        self._last: dict[str, Any] = {}

    def feed(self, event: object) -> str:
        """Take one event; the text it brings, cleaned, often empty. Errors: `BadAnswer`."""
        if not is_object(event):
            raise BadAnswer("a piece of the stream is no JSON object")
        kind = event.get("type")
        if kind in _TEXT_DELTAS:
            return self._say(words(event.get("delta")))
        if kind == "error":
            raise BadAnswer(f"it reports an error: {clean(str(event.get('message')))[:300]}")
        if kind == "response.output_item.done":
            self._items.extend(rows([event.get("item")]))
        elif kind in _ENDS:
            return self._end(event)
        elif isinstance(kind, str) and kind.endswith(".delta"):
            self.token_seen = True
        return ""

    def _say(self, text: str) -> str:
        if not text:
            return ""
        self.token_seen = True
        text = self._cleaner.push(text)
        if text:
            self._pieces.append(text)
        return text

    def _end(self, event: dict[str, Any]) -> str:
        self._last = member(event, "response")
        if event.get("type") == "response.failed":
            self._last.setdefault("status", "failed")
        elif event.get("type") == "response.incomplete":
            self._last["status"] = "incomplete"
        _refuse_failure(self._last)
        self.finished = True
        return "" if self._pieces else self._say(_text(rows(self._last.get("output")) or self._items))

    def rest(self) -> str:
        """Text that was held back until the end."""
        text = self._cleaner.rest()
        if text:
            self._pieces.append(text)
        return text

    def answer(self) -> Answer:
        """The whole answer. Errors: `BadAnswer` when the stream ended too early or said nothing."""
        if not self.finished:
            raise BadAnswer("the stream ended in the middle of the answer")
        calls = _calls(rows(self._last.get("output"))) or _calls(self._items)
        return checked("".join(self._pieces), calls, _usage(self._last), _finish(self._last))
