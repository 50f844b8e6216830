"""Language models behind the OpenAI API, and behind every server that speaks it: one instance per provider and key.

The SDK's documented request methods (`client.post` with `cast_to=object`) are called directly: they bring its
connections, headers and errors, without building a typed tree out of each answer and each piece of a stream. Retries
and deadlines are ours, because the SDK counts neither the first token nor the whole answer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import openai

from backend.errors import ModelUnavailable
from backend.gateways import chat_completions_wire, responses_wire
from backend.gateways.answer import Answer, AnswerReader, is_object, rows
from backend.gateways.attempts import attempts
from backend.gateways.chat_completions_wire import ChatCompletionsReader
from backend.gateways.circuit_breaker import CircuitBreaker
from backend.gateways.guarded_bytes import GuardedBytes
from backend.gateways.model_fault import FOREIGN, FaultTranslator, ModelFault
from backend.gateways.model_parameters import ModelParameters, Parameters
from backend.gateways.openai_client import OFFICIAL_HOST, openai_client
from backend.gateways.responses_wire import ResponsesReader
from backend.ports import Clock, ModelReply, ModelRequest, TextDelta

LESSONS_A_CALL = 6
AFTER_THE_END_SECONDS = 2.0
MODEL_LIST_SECONDS = 5.0
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_JSON_STREAM = openai.AsyncStream[object]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds until a connection stands, the answer begins, and the answer is complete; each from the call on."""

    connect: float
    first_token: float
    total: float


@dataclass(slots=True)
class _OpenStream:
    """A stream whose answer has begun (or ended): what it said so far, and how to read on."""

    events: openai.AsyncStream[object]
    reader: AnswerReader
    said: str
    left_out: tuple[str, ...]
    ended: bool


class OpenAIModel:
    """A `LanguageModel` over one base URL and key.

    `key_setting` is the name of the setting that holds the key, for messages. Errors: as the port says; constructing
    raises `Misconfigured` for an unusable URL or key.
    """

    def __init__(
        self,
        *,
        provider: str,
        base_url: str,
        api_key: str,
        deadlines: Deadlines,
        clock: Clock,
        key_setting: str = "OPENAI_API_KEY",
    ) -> None:
        key = api_key.strip()
        self.provider = provider
        self.parameters = ModelParameters()
        self.breaker = CircuitBreaker(provider, clock)
        self._deadlines = deadlines
        self._key_setting = key_setting
        self._faults = FaultTranslator(
            provider, key_setting=key_setting, secret=key, connect_seconds=deadlines.connect, clock=clock
        )
        self._client = openai_client(
            f"the provider {provider}",
            base_url=base_url,
            key=key,
            key_setting=key_setting,
            connect_seconds=deadlines.connect,
        )
        self._needs_key = not key and self._client.base_url.host == OFFICIAL_HOST

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Answer in one piece, within the total deadline."""
        total = self._deadlines.total
        try:
            answer, left_out = await self._within("total", total, request, self._ask)
        except ModelFault as fault:
            raise fault.error from fault.__cause__
        return self._reply(request, answer, left_out)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[TextDelta | ModelReply]:
        """Yield the answer piece by piece, and at last the whole reply. Close it when you stop early."""
        until = asyncio.get_running_loop().time() + self._deadlines.total
        first = min(self._deadlines.first_token, self._deadlines.total)
        try:
            opened = await self._within("first_token", first, request, self._open)
            try:
                _give_up_at(opened, until)
                if opened.said:
                    yield TextDelta(opened.said)
                while not opened.ended:
                    text = await self._next(opened, request.model)
                    if text:
                        yield TextDelta(text)
                answer = self._answer(opened, request.model)
            finally:
                # A connection that breaks while it is given back is given back.
                with suppress(*FOREIGN):
                    await opened.events.close()
        except ModelFault as fault:
            raise fault.error from fault.__cause__
        yield self._reply(request, answer, opened.left_out)

    async def retirements(self) -> dict[str, str | None]:
        """Models listed now, each with its `shutdown_date` where it has one; `{}` when the provider does not say."""
        if self._needs_key:
            return {}
        try:
            async with asyncio.timeout(min(MODEL_LIST_SECONDS, self._deadlines.total)):
                data = await self._client.get("/models", cast_to=object)
        except FOREIGN:
            return {}
        listed = rows(data.get("data")) if is_object(data) else []
        return {row["id"]: _date(row.get("shutdown_date")) for row in listed if isinstance(row.get("id"), str)}

    async def close(self) -> None:
        """Give back connections."""
        await self._client.close()

    async def _within(
        self, deadline: str, seconds: float, request: ModelRequest, once: Callable[[ModelRequest], Awaitable[T]]
    ) -> T:
        """Attempts under the breaker and a deadline. Errors: `ModelFault`, `ModelUnavailable` without a key."""
        if self._needs_key:
            detail = f"no key for {OFFICIAL_HOST} is set: set {self._key_setting}"
            raise ModelUnavailable(detail, provider=self.provider, setting=self._key_setting)
        until = asyncio.get_running_loop().time() + seconds
        with self.breaker.call():
            try:
                async with asyncio.timeout_at(until):
                    return await attempts(until, partial(self._translated, request, once))
            except TimeoutError as exc:
                raise self._faults.too_slow(deadline, request.model, seconds, dead=True) from exc

    async def _translated(self, request: ModelRequest, once: Callable[[ModelRequest], Awaitable[T]]) -> T:
        try:
            return await once(request)
        except FOREIGN as exc:
            raise self._faults.fault(exc, request.model) from exc

    async def _ask(self, request: ModelRequest) -> tuple[Answer, tuple[str, ...]]:
        async def post(path: str, body: dict[str, Any]) -> object:
            return await self._client.post(path, cast_to=object, body=body)

        data, parameters = await self._sent(request, post, stream=False)
        read = chat_completions_wire.read_answer if parameters.wire == "chat" else responses_wire.read_answer
        return read(data), parameters.left_out

    async def _open(self, request: ModelRequest) -> _OpenStream:
        async def post(path: str, body: dict[str, Any]) -> openai.AsyncStream[object]:
            return await self._client.post(path, cast_to=object, body=body, stream=True, stream_cls=_JSON_STREAM)

        events, parameters = await self._sent(request, post, stream=True)
        async with AsyncExitStack() as on_failure:
            on_failure.push_async_callback(events.close)
            reader = ChatCompletionsReader() if parameters.wire == "chat" else ResponsesReader()
            opened = _OpenStream(events, reader, "", parameters.left_out, ended=False)
            while not (opened.ended or opened.said or reader.token_seen):
                opened.said = await _read(opened)
            on_failure.pop_all()
            return opened
        raise AssertionError("the block returns or raises")

    async def _sent(
        self, request: ModelRequest, post: Callable[[str, dict[str, Any]], Awaitable[T]], *, stream: bool
    ) -> tuple[T, Parameters]:
        """Send the request, as often as a refusal teaches something new about what the model takes."""
        for _ in range(LESSONS_A_CALL):
            parameters = self.parameters.of(request)
            wire = chat_completions_wire if parameters.wire == "chat" else responses_wire
            body = wire.request_body(request, parameters, stream=stream)
            try:
                return await post(wire.PATH, body), parameters
            except openai.APIStatusError as exc:
                learns = exc.status_code in {400, 404, 422}
                if not learns or not self.parameters.learn(request.model, body, exc.body):
                    raise
        detail = f"{self.provider} refuses one parameter after the other of {request.model}"
        raise ModelUnavailable(detail, provider=self.provider, model=request.model)

    async def _next(self, opened: _OpenStream, model: str) -> str:
        try:
            text = await _read(opened)
        except FOREIGN as exc:
            if opened.reader.finished:
                # The answer is complete; only the goodbye was lost.
                opened.ended = True
                return opened.reader.rest()
            raise self._faults.fault(exc, model, begun=True) from exc
        if opened.reader.finished:
            _give_up_at(opened, asyncio.get_running_loop().time() + AFTER_THE_END_SECONDS)
        return text

    def _answer(self, opened: _OpenStream, model: str) -> Answer:
        try:
            return opened.reader.answer()
        except FOREIGN as exc:
            raise self._faults.fault(exc, model, begun=True) from exc

    def _reply(self, request: ModelRequest, answer: Answer, left_out: tuple[str, ...]) -> ModelReply:
        return ModelReply(
            text=answer.text,
            provider=self.provider,
            model=request.model,
            usage=answer.usage,
            tool_calls=answer.tool_calls,
            finish_reason=answer.finish_reason,
            left_out=left_out,
        )


async def _read(opened: _OpenStream) -> str:
    """The text of the next event."""
    try:
        event = await anext(opened.events)
    except StopAsyncIteration:
        opened.ended = True
        return opened.reader.rest()
    return opened.reader.feed(event)


def _give_up_at(opened: _OpenStream, moment: float) -> None:
    stream = opened.events.response.stream
    if isinstance(stream, GuardedBytes):
        stream.until = moment if stream.until is None else min(stream.until, moment)


def _date(value: object) -> str | None:
    found = _DATE.match(value) if isinstance(value, str) else None
    return found.group() if found else None
