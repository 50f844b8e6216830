"""A real HTTP server that speaks the OpenAI API: Chat Completions, Responses, embeddings, models; whole and streamed.

It lives in a thread of its own, so that it also answers tests which block their event loop, and other processes. What
it should do wrong is said with `fault` (see `openai_faults.py` for the kinds).
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Self

from backend.tests.protocol_servers.openai_embeddings import embeddings
from backend.tests.protocol_servers.openai_faults import FAULTS, Exchange, FaultKind, Refusal

DEFAULT_ANSWER = "Hello from the test model."


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request as it came: header names in lower case, the JSON body parsed."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ScriptedAnswer:
    """What the model says: `pieces` are the stream's deltas, `tool_calls` are (id, name, arguments)."""

    pieces: tuple[str, ...]
    tool_calls: tuple[tuple[str, str, str], ...] = ()
    input_tokens: int = 11
    output_tokens: int = 7
    finish_reason: str = "stop"

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass(slots=True)
class _Fault:
    kind: FaultKind
    times: int | None
    options: dict[str, Any] = field(default_factory=dict[str, Any])


class OpenAIServer:
    """Use as `with OpenAIServer() as server`, or by the fixture `openai_server`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="openai-server", daemon=True)
        self._listener: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._port = 0
        self._set_defaults()

    def _set_defaults(self) -> None:
        self.requests: list[RecordedRequest] = []
        self.models: dict[str, str | None] = {"gpt-6-luna": None, "gpt-4o-mini": "2027-01-14"}
        # From a request's body to the answer, or to its status and the answer; tests set another.
        self.embeddings: Callable[[dict[str, Any]], tuple[int, object] | dict[str, Any]] = embeddings
        self._standing = ScriptedAnswer(_words(DEFAULT_ANSWER))
        self._queued: list[ScriptedAnswer] = []
        self._faults: list[_Fault] = []
        self._refusals: list[Refusal] = []

    @property
    def base_url(self) -> str:
        """The address to give a client, with `/v1`."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def calls(self) -> list[RecordedRequest]:
        """The requests that asked for an answer."""
        return [request for request in self.requests if request.method == "POST"]

    def answer(self, text: str = "", *, pieces: Sequence[str] = (), **rest: Any) -> None:
        """From now on say this; `pieces` sets the stream's deltas, `rest` the fields of `ScriptedAnswer`."""
        self._standing = ScriptedAnswer(tuple(pieces) or _words(text), **rest)

    def answer_once(self, text: str = "", *, pieces: Sequence[str] = (), **rest: Any) -> None:
        """Say this to the next request that has no other answer waiting, and then what was said before."""
        self._queued.append(ScriptedAnswer(tuple(pieces) or _words(text), **rest))

    def fault(self, kind: FaultKind, *, times: int | None = None, **options: Any) -> None:
        """Do this wrong for the next `times` requests, or until `reset()`."""
        if kind == "dead":
            self._run(self._stop_listening())
        else:
            self._faults.append(_Fault(kind, times, options))

    def refuse(
        self, parameter: str, *, code: str | None = "unsupported_parameter", named: bool = True, **rest: Any
    ) -> None:
        """Answer 400 to every request that has this parameter. `named`: say it in `param`, else in words only."""
        self._refusals.append(Refusal(parameter, code, named, **rest))

    def reset(self) -> None:
        """Forget requests and scripts, let go of hanging connections, and be alive again."""
        self._run(self._hang_up())
        self._set_defaults()
        if self._listener is None:
            self._run(self._listen())

    def wait_for_calls(self, count: int, seconds: float = 5.0) -> None:
        """Block until this many calls have come. Errors: `TimeoutError`."""
        end = time.monotonic() + seconds
        while len(self.calls) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{len(self.calls)} of {count} calls came")
            time.sleep(0.005)

    @property
    def open_connections(self) -> int:
        """How many clients are connected now."""
        return len(self._connections)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._stop_listening())
        self._run(self._hang_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Any) -> None:
        future: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.result(timeout=10)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", self._port, limit=2**20)
        self._port = self._listener.sockets[0].getsockname()[1]

    async def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        await self._hang_up()

    async def _hang_up(self) -> None:
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._one_request(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            writer.close()
            self._connections.discard(task)

    async def _one_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        request = RecordedRequest(method, path, headers, json.loads(raw) if raw else {})
        self.requests.append(request)
        exchange = Exchange(reader, writer, request.path, request.body)
        await self._respond(request, exchange)
        return exchange.keep_alive

    async def _respond(self, request: RecordedRequest, exchange: Exchange) -> None:
        refusal = next((refusal for refusal in self._refusals if refusal.meets(request.body)), None)
        fault = self._next_fault()
        if fault is not None:
            await FAULTS[fault.kind](exchange, **fault.options)
        elif refusal is not None:
            await exchange.json(400, refusal.body())
        elif request.method == "GET" and request.path == "/v1/models":
            await exchange.json(200, {"object": "list", "data": [_model(*row) for row in self.models.items()]})
        elif request.path == "/v1/embeddings":
            told = self.embeddings(request.body)
            await exchange.json(*(told if isinstance(told, tuple) else (200, told)))
        elif request.path in _SPEAKERS:
            said = self._queued.pop(0) if self._queued else self._standing
            await _SPEAKERS[request.path](exchange, said)
        else:
            await exchange.json(404, {"error": {"message": f"no such path: {request.path}", "code": None}})

    def _next_fault(self) -> _Fault | None:
        while self._faults:
            fault = self._faults[0]
            if fault.times is None:
                return fault
            if fault.times > 0:
                fault.times -= 1
                return fault
            self._faults.pop(0)
        return None


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\S+\s*|\s+", text))


def _model(name: str, shutdown: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {"id": name, "object": "model"}
    return row if shutdown is None else {**row, "shutdown_date": shutdown}


async def _chat(exchange: Exchange, said: ScriptedAnswer) -> None:
    calls = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for call_id, name, arguments in said.tool_calls
    ]
    usage = {"prompt_tokens": said.input_tokens, "completion_tokens": said.output_tokens}
    finish = "tool_calls" if calls else said.finish_reason
    if not exchange.streamed:
        message: dict[str, Any] = {"role": "assistant", "content": said.text or None}
        if calls:
            message["tool_calls"] = calls
        choice = {"index": 0, "message": message, "finish_reason": finish}
        await exchange.json(200, {"object": "chat.completion", "choices": [choice], "usage": usage})
        return
    await exchange.begin_stream()
    await exchange.chunk({"role": "assistant", "content": ""})
    for piece in said.pieces:
        await exchange.chunk({"content": piece})
    for part in _calls_in_pieces(calls):
        await exchange.chunk({"tool_calls": [part]})
    await exchange.chunk({}, finish)
    if exchange.body.get("stream_options", {}).get("include_usage"):
        await exchange.event({"object": "chat.completion.chunk", "choices": [], "usage": usage})
    await exchange.done()


def _calls_in_pieces(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Parallel calls as a stream mixes them: first every head, then the arguments by turns."""
    heads = [
        {"index": place, "id": call["id"], "type": "function", "function": {"name": call["function"]["name"]}}
        for place, call in enumerate(calls)
    ]
    texts = [call["function"]["arguments"] for call in calls]
    longest = max((len(text) for text in texts), default=0)
    arguments = [
        {"index": place, "function": {"arguments": text[start : start + 4]}}
        for start in range(0, longest, 4)
        for place, text in enumerate(texts)
        if text[start : start + 4]
    ]
    return [*heads, *arguments]


async def _responses(exchange: Exchange, said: ScriptedAnswer) -> None:
    output: list[dict[str, Any]] = [{"type": "reasoning", "id": "rs_1", "summary": []}]
    if said.text:
        content = [{"type": "output_text", "text": said.text}]
        output.append({"type": "message", "id": "msg_1", "role": "assistant", "content": content})
    output.extend(
        {"type": "function_call", "id": f"fc_{place}", "call_id": call_id, "name": name, "arguments": arguments}
        for place, (call_id, name, arguments) in enumerate(said.tool_calls)
    )
    whole: dict[str, Any] = {"object": "response", "status": "completed", "error": None, "output": output}
    whole["usage"] = {"input_tokens": said.input_tokens, "output_tokens": said.output_tokens}
    if said.finish_reason != "stop":
        reason = "max_output_tokens" if said.finish_reason == "length" else said.finish_reason
        whole |= {"status": "incomplete", "incomplete_details": {"reason": reason}}
    if not exchange.streamed:
        await exchange.json(200, whole)
        return
    await exchange.begin_stream()
    await exchange.event({"type": "response.created", "response": {"status": "in_progress", "error": None}})
    for piece in said.pieces:
        await exchange.event({"type": "response.output_text.delta", "delta": piece})
    for place, item in enumerate(output):
        if item["type"] == "function_call":
            await exchange.event({"type": "response.function_call_arguments.delta", "delta": item["arguments"]})
        await exchange.event({"type": "response.output_item.done", "output_index": place, "item": item})
    await exchange.event({"type": f"response.{whole['status']}", "response": whole})
    await exchange.end()


_SPEAKERS: dict[str, Callable[[Exchange, ScriptedAnswer], Any]] = {
    "/v1/chat/completions": _chat,
    "/v1/responses": _responses,
}
