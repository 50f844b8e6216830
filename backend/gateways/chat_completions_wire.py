"""The Chat Completions wire, which every OpenAI-compatible server speaks: requests, answers, streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from backend.gateways.answer import Answer, BadAnswer, called, checked, is_list, is_object, member, rows, tokens, words
from backend.gateways.model_parameters import Parameters
from backend.gateways.text_cleaner import TextCleaner, clean
from backend.ports import ModelRequest, PromptMessage, ToolCall, ToolSpec, Usage

PATH = "/chat/completions"
MOST_TOOL_CALLS = 128
_FINISHES = {"stop", "length", "tool_calls", "content_filter"}


def request_body(request: ModelRequest, parameters: Parameters, *, stream: bool) -> dict[str, Any]:
    """The JSON body of a call."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [_message(message) for message in request.messages],
    }
    if parameters.limit_name is not None:
        body[parameters.limit_name] = parameters.max_tokens
    if parameters.temperature is not None:
        body["temperature"] = parameters.temperature
    if parameters.effort is not None:
        body["reasoning_effort"] = parameters.effort
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if stream:
        body["stream"] = True
        if parameters.usage_in_stream:
            body["stream_options"] = {"include_usage": True}
    return body


def _message(message: PromptMessage) -> dict[str, Any]:
    written: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        written["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        written["tool_call_id"] = message.tool_call_id
    return written


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def read_answer(data: object) -> Answer:
    """The answer that came in one piece. Errors: `BadAnswer`."""
    if not is_object(data):
        raise BadAnswer("the answer is no JSON object")
    if data.get("error"):
        raise BadAnswer(f"it reports an error: {_error_text(data['error'])}")
    choices = rows(data.get("choices"))
    if not choices:
        raise BadAnswer("the answer has no choices")
    message = choices[0].get("message")
    if not is_object(message):
        raise BadAnswer("the answer has no message")
    calls = tuple(
        called(call.get("id"), member(call, "function").get("name"), member(call, "function").get("arguments"), place)
        for place, call in enumerate(rows(message.get("tool_calls"))[:MOST_TOOL_CALLS])
    )
    text = words(message.get("content")) or words(message.get("refusal"))
    return checked(clean(text), calls, _usage(data), _finish(choices[0].get("finish_reason")))


def _usage(data: dict[str, Any]) -> Usage:
    usage = data.get("usage")
    return Usage(tokens(usage, "prompt_tokens", "input_tokens"), tokens(usage, "completion_tokens", "output_tokens"))


def _finish(reason: object) -> str:
    return reason if isinstance(reason, str) and reason in _FINISHES else "stop"


def _error_text(error: object) -> str:
    said = error.get("message") if is_object(error) else error
    return clean(str(said))[:300]


@dataclass(slots=True)
class _CallInPieces:
    id: str = ""
    name: str = ""
    arguments: str = ""


class ChatCompletionsReader:
    """Reads the chunks of one stream."""

    def __init__(self) -> None:
        self.token_seen = False
        self.finished = False
        self._cleaner = TextCleaner()
        self._pieces: list[str] = []
        self._calls: list[_CallInPieces] = []
        self._by_index: dict[int, _CallInPieces] = {}
        self._usage = Usage()
        self._finish = "stop"

    def feed(self, event: object) -> str:
        """Take one chunk; the text it brings, cleaned, often empty. Errors: `BadAnswer`."""
        if not is_object(event):
            raise BadAnswer("a piece of the stream is no JSON object")
        if event.get("usage"):
            self._usage = _usage(event)
        choices = event.get("choices")
        if not choices:
            return ""
        if not is_list(choices) or not is_object(choices[0]):
            raise BadAnswer("a piece of the stream has choices of the wrong type")
        return self._choice(choices[0])

    def _choice(self, choice: dict[str, Any]) -> str:
        delta = member(choice, "delta")
        text = words(delta.get("content")) or words(delta.get("refusal"))
        if delta.get("tool_calls"):
            for call in rows(delta["tool_calls"]):
                self._call(call)
            self.token_seen = True
        if text or delta.get("reasoning_content") or delta.get("reasoning"):
            self.token_seen = True
        if choice.get("finish_reason"):
            self.finished = True
            self._finish = _finish(choice["finish_reason"])
        return self._keep(self._cleaner.push(text)) if text else ""

    def _keep(self, text: str) -> str:
        if text:
            self._pieces.append(text)
        return text

    def _call(self, piece: dict[str, Any]) -> None:
        call = self._slot(piece)
        function = member(piece, "function")
        name, arguments = function.get("name"), function.get("arguments")
        if isinstance(name, str) and not call.name:
            call.name = name
        if isinstance(arguments, str):
            call.arguments += arguments
        elif arguments is not None:
            raise BadAnswer("the arguments of a tool call are no text")

    def _slot(self, piece: dict[str, Any]) -> _CallInPieces:
        """The call a piece belongs to. Some servers give no index, or the same to all: a new id is a new call."""
        index = piece.get("index")
        place = index if type(index) is int else len(self._calls)
        own_id = piece.get("id")
        call = self._by_index.get(place)
        if call is None or (isinstance(own_id, str) and own_id and call.id not in {"", own_id}):
            if len(self._calls) >= MOST_TOOL_CALLS:
                raise BadAnswer(f"the answer calls more than {MOST_TOOL_CALLS} tools")
            call = self._by_index[place] = _CallInPieces()
            self._calls.append(call)
        if isinstance(own_id, str) and own_id:
            call.id = own_id
        return call

    def rest(self) -> str:
        """Text that was held back until the end."""
        return self._keep(self._cleaner.rest())

    def answer(self) -> Answer:
        """The whole answer. Errors: `BadAnswer` when the stream ended too early or said nothing."""
        if not self.finished:
            raise BadAnswer("the stream ended in the middle of the answer")
        calls: tuple[ToolCall, ...] = tuple(
            called(call.id, call.name, call.arguments, place) for place, call in enumerate(self._calls)
        )
        return checked("".join(self._pieces), calls, self._usage, self._finish)
