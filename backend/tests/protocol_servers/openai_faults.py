"""What a provider can do wrong, each kind as a function that writes it to the wire."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

FaultKind = Literal[
    "dead", "reset", "hang_up", "slow_headers", "silent_stream", "slow_first_token", "empty_chunks",
    "flood_without_tokens", "slow_total",
    "rate_limited", "quota", "unauthorized", "forbidden", "not_found", "request_timeout", "conflict",
    "bad_request", "server_error", "bad_gateway", "unavailable", "overloaded", "redirect", "html", "html_as_json",
    "empty_body", "truncated_json", "short_body", "json_list", "json_null", "deep_json", "no_choices", "empty_choices",
    "wrong_choices", "no_message", "null_content", "empty_content", "wrong_content", "error_in_200", "nameless_tool",
    "no_events", "cut_before_token", "cut_stream", "reset_stream", "error_event", "error_before_token", "garbage_sse",
    "garbage_bytes", "wrong_pieces", "lost_goodbye", "bad_http", "bad_chunks",
    "late_bad_chunks", "gigantic", "gigantic_line", "gigantic_error", "compressed",
]  # fmt: skip


@dataclass(slots=True)
class Exchange:
    """One request being answered."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    path: str
    body: dict[str, Any]
    keep_alive: bool = True

    @property
    def streamed(self) -> bool:
        return self.body.get("stream") is True

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def whole(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Said", f"content-type: {kind}", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.raw("\r\n".join([*lines, "", ""]).encode() + body)

    async def json(self, status: int, body: object, **headers: str) -> None:
        await self.whole(status, json.dumps(body).encode(), **headers)

    async def problem(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        error = {"message": message, "type": "error", "param": None, "code": code}
        await self.json(status, {"error": error}, **headers)

    async def begin_stream(self, kind: str = "text/event-stream") -> None:
        await self.raw(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n".encode())

    async def part(self, data: bytes) -> None:
        await self.raw(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def event(self, data: object) -> None:
        await self.part(f"data: {json.dumps(data)}\n\n".encode())

    async def chunk(self, delta: dict[str, Any], finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        await self.event({"object": "chat.completion.chunk", "choices": [choice]})

    async def say(self, text: str) -> None:
        """One piece of text on whichever wire this is."""
        if self.path.endswith("/responses"):
            await self.event({"type": "response.output_text.delta", "delta": text})
        else:
            await self.chunk({"content": text})

    async def done(self) -> None:
        await self.part(b"data: [DONE]\n\n")
        await self.end()

    async def end(self) -> None:
        await self.raw(b"0\r\n\r\n")

    async def never(self) -> None:
        """Keep the connection and say nothing more, until the client goes."""
        await self.reader.read(1)
        self.keep_alive = False

    def abort(self) -> None:
        """Reset the connection."""
        plain: socket.socket = self.writer.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        self.keep_alive = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """A parameter that the model does not take; with `value`, only that value of it."""

    parameter: str
    code: str | None
    named: bool
    value: object = None
    message: str = ""
    shape: Literal["openai", "validation"] = "openai"

    def meets(self, body: dict[str, Any]) -> bool:
        if self.parameter not in body:
            return False
        return self.value is None or body[self.parameter] == self.value

    def body(self) -> dict[str, Any]:
        if self.shape == "validation":
            return {"detail": [{"type": "extra_forbidden", "loc": ["body", self.parameter], "msg": "Extra inputs"}]}
        message = self.message or f"Unsupported parameter: '{self.parameter}' is not supported with this model."
        param = self.parameter if self.named else None
        return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": self.code}}


Fault = Callable[..., Awaitable[None]]
FAULTS: dict[FaultKind, Fault] = {}


def _kind(name: FaultKind) -> Callable[[Fault], Fault]:
    def register(fault: Fault) -> Fault:
        FAULTS[name] = fault
        return fault

    return register


def _problem(name: FaultKind, status: int, message: str, code: str | None = None) -> None:
    async def answer(exchange: Exchange, **headers: str) -> None:
        await exchange.problem(status, message, code, **headers)

    FAULTS[name] = answer


_problem("rate_limited", 429, "Rate limit reached for requests", "rate_limit_exceeded")
_problem("quota", 429, "You exceeded your current quota", "insufficient_quota")
_problem("unauthorized", 401, "Incorrect API key provided: sk-test-canary-000.", "invalid_api_key")
_problem("forbidden", 403, "Country, region, or territory not supported")
_problem("not_found", 404, "The model `nobody` does not exist", "model_not_found")
_problem("request_timeout", 408, "Too slow")
_problem("conflict", 409, "Locked")
_problem("bad_request", 400, "This model's maximum context length is 8192 tokens", "context_length_exceeded")
_problem("server_error", 500, "The server had an error")
_problem("unavailable", 503, "Overloaded")
_problem("overloaded", 529, "Overloaded")


def _body(name: FaultKind, body: bytes, kind: str = "application/json", status: int = 200) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.whole(status, body, kind)

    FAULTS[name] = answer


def _message(message: object) -> bytes:
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()


_body("html", b"<html><body>Welcome to the hotel network</body></html>", "text/html")
_body("html_as_json", b"<html><body>Welcome</body></html>")
_body("bad_gateway", b"<html><body>502 Bad Gateway</body></html>", "text/html", 502)
_body("empty_body", b"")
_body("truncated_json", b'{"choices": [{"message": {"content": "Hel')
_body("json_list", b"[1, 2]")
_body("json_null", b"null")
_body("deep_json", b'{"choices":' + b"[" * 200_000 + b"]" * 200_000 + b"}")
_body("no_choices", b'{"object": "chat.completion"}')
_body("empty_choices", b'{"choices": []}')
_body("wrong_choices", b'{"choices": {"0": "x"}}')
_body("no_message", b'{"choices": [{"index": 0}]}')
_body("null_content", _message({"role": "assistant", "content": None}))
_body("empty_content", _message({"role": "assistant", "content": " "}))
_body("wrong_content", _message({"role": "assistant", "content": 42}))
_body("nameless_tool", _message({"content": None, "tool_calls": [{"id": "c", "function": {"arguments": "{}"}}]}))
_body("error_in_200", b'{"error": {"message": "out of memory"}}')


@_kind("redirect")
async def _redirect(exchange: Exchange) -> None:
    await exchange.whole(302, b"", location="http://127.0.0.1:9/elsewhere")


@_kind("reset")
async def _reset(exchange: Exchange) -> None:
    exchange.abort()


@_kind("hang_up")
async def _hang_up(exchange: Exchange) -> None:
    exchange.keep_alive = False


@_kind("slow_headers")
async def _slow_headers(exchange: Exchange) -> None:
    await exchange.never()


@_kind("silent_stream")
async def _silent_stream(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.never()


@_kind("slow_first_token")
async def _slow_first_token(exchange: Exchange) -> None:
    await exchange.begin_stream()
    while True:
        await exchange.part(b": keep-alive\n\n")
        await asyncio.sleep(0.02)


@_kind("empty_chunks")
async def _empty_chunks(exchange: Exchange) -> None:
    await exchange.begin_stream()
    while True:
        await exchange.chunk({"content": ""})
        await asyncio.sleep(0.01)


@_kind("flood_without_tokens")
async def _flood_without_tokens(exchange: Exchange) -> None:
    await exchange.begin_stream()
    while True:
        await exchange.part(b"data: {}\n\n" * 500)


@_kind("slow_total")
async def _slow_total(exchange: Exchange) -> None:
    await exchange.begin_stream("text/event-stream" if exchange.streamed else "application/json")
    while True:
        if exchange.streamed:
            await exchange.say("drip ")
        else:
            await exchange.part(b" ")
        await asyncio.sleep(0.03)


@_kind("short_body")
async def _short_body(exchange: Exchange) -> None:
    await exchange.raw(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{"choices": [')
    exchange.keep_alive = False


@_kind("no_events")
async def _no_events(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.end()


@_kind("cut_before_token")
async def _cut_before_token(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.part(b": here I am\n\n")
    exchange.keep_alive = False


@_kind("cut_stream")
async def _cut_stream(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.say("Half an ")
    await exchange.end()


@_kind("reset_stream")
async def _reset_stream(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.say("Half an ")
    await asyncio.sleep(0.05)  # let the piece arrive: a reset takes back what lies unread
    exchange.abort()


@_kind("error_event")
async def _error_event(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.say("Half an ")
    await exchange.event({"error": {"message": "The server had an error", "type": "server_error"}})
    await exchange.end()


@_kind("error_before_token")
async def _error_before_token(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.event({"type": "error", "message": "overloaded", "code": "server_error"})
    await exchange.end()


@_kind("garbage_sse")
async def _garbage_sse(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.say("Half an ")
    await exchange.part(b"data: {not json\n\n")
    await exchange.end()


@_kind("garbage_bytes")
async def _garbage_bytes(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.part(b"data: \xff\xfe\x80\n\n")
    await exchange.end()


@_kind("wrong_pieces")
async def _wrong_pieces(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.event({"choices": "many"} if exchange.path.endswith("completions") else [1])
    await exchange.end()


@_kind("lost_goodbye")
async def _lost_goodbye(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.say("All of it.")
    await exchange.chunk({}, "stop")
    await asyncio.sleep(0.05)
    exchange.abort()


@_kind("bad_http")
async def _bad_http(exchange: Exchange) -> None:
    await exchange.raw(b"SMTP ready\r\n\r\n")
    exchange.keep_alive = False


@_kind("bad_chunks")
async def _bad_chunks(exchange: Exchange) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    await exchange.raw(head + b"zz\r\nnot a chunk\r\n")
    exchange.keep_alive = False


@_kind("late_bad_chunks")
async def _late_bad_chunks(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await asyncio.sleep(0.05)
    await exchange.raw(b"zz\r\nnot a chunk\r\n")
    exchange.keep_alive = False


@_kind("gigantic")
async def _gigantic(exchange: Exchange) -> None:
    await exchange.begin_stream("text/event-stream" if exchange.streamed else "application/json")
    while True:
        if exchange.streamed:
            await exchange.say("x" * 60_000)
        else:
            await exchange.part(b" " * 60_000)


@_kind("gigantic_line")
async def _gigantic_line(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.part(b"data: ")
    while True:
        await exchange.part(b"x" * 60_000)


@_kind("gigantic_error")
async def _gigantic_error(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 500 No\r\ncontent-type: text/html\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        await exchange.part(b"x" * 60_000)


@_kind("compressed")
async def _compressed(exchange: Exchange) -> None:
    body = gzip.compress(b" " * 1_000_000)
    await exchange.whole(200, body, content_encoding="gzip")
