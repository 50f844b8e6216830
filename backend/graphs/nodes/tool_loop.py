"""Talking to the model with tools: it asks for calls, they are made, it is told what they gave, and goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Literal
from uuid import UUID

from backend.errors import ModelFailed, ToolError
from backend.graphs.exchange import Exchange
from backend.graphs.journal import StepCall, StepResult
from backend.graphs.prompt import quoted
from backend.graphs.state import Workbench
from backend.graphs.tool_arguments import ArgumentsRefused, read_arguments
from backend.graphs.until import until
from backend.models.run import ToolUse
from backend.ports import ModelReply, ModelRequest, PromptMessage, Task, TextDelta, ToolCall, Usage

MOST_ROUNDS = 8
MOST_CALLS = 16
LONGEST_RESULT = 20_000
INTERRUPTED = "interrupted"
"""The `finish_reason` of an answer of which the person has heard enough."""
_LONGEST_SHOWN = 2_000
_ENOUGH = "You have used all the tool calls of this turn. Answer now with what you have, and say what is missing."


async def converse(
    bench: Workbench,
    messages: Sequence[PromptMessage],
    *,
    step: str,
    task: Task | None = None,
    attempt: int = 1,
) -> ModelReply:
    """Ask until the model calls no more tools. Errors: `ModelError`s, `Paused`, `StepFailed`."""
    exchange = Exchange(list(messages))
    while True:
        reply = await ask(bench, exchange, step=step, task=task, attempt=attempt)
        if not reply.tool_calls:
            return exchange.answer(reply)
        await use_tools(bench, exchange, reply.tool_calls, step=step)


async def ask(
    bench: Workbench, exchange: Exchange, *, step: str, task: Task | None = None, attempt: int = 1
) -> ModelReply:
    """One call of the model, told what was said so far; after `MOST_ROUNDS` it is offered no more tools."""
    tools = [tool.spec for tool in bench.tools.tools.values()]
    if exchange.rounds >= MOST_ROUNDS and tools:
        exchange.messages.append(PromptMessage("system", _ENOUGH))
        tools = []
    exchange.rounds += 1
    request = ModelRequest(
        contract=bench.contract,
        provider=bench.contract.configuration.llm_provider,
        model=bench.model_name,
        messages=tuple(exchange.messages),
        tools=tools,
        task=task,
    )
    shown = {"model": bench.model_name, "message": exchange.messages[-1].content[:_LONGEST_SHOWN]}

    async def call(_: UUID) -> StepResult:
        return _recorded(await _call(bench, request, after=bool(exchange.texts)))

    reply = _revived(await bench.journal.once(StepCall(step, "model", shown, attempt), call))
    if not tools and reply.tool_calls:  # calls of tools that were not offered
        reply = _without_calls(reply)
    if reply.text:
        exchange.texts.append(reply.text)
    exchange.usage = Usage(
        exchange.usage.input_tokens + reply.usage.input_tokens, exchange.usage.output_tokens + reply.usage.output_tokens
    )
    return reply


async def _call(bench: Workbench, request: ModelRequest, *, after: bool) -> ModelReply:
    if bench.on_text is None:
        return await bench.model.complete(request)
    reply: ModelReply | None = None
    said: list[str] = []
    async with aclosing(bench.model.stream(request)) as pieces:
        async for piece in until(bench.enough, pieces):
            if not isinstance(piece, TextDelta):
                reply = piece
                continue
            if after and not said:  # what was said before the tools were called is a paragraph of its own
                bench.on_text("\n\n")
            said.append(piece.text)
            bench.on_text(piece.text)
    if reply is None and bench.enough is not None and bench.enough.is_set():
        return ModelReply("".join(said), request.provider, request.model, finish_reason=INTERRUPTED)
    if reply is None:
        raise ModelFailed("The model's answer stopped before it was finished.")
    return reply


async def use_tools(bench: Workbench, exchange: Exchange, calls: Sequence[ToolCall], *, step: str) -> None:
    """Make the calls, all at once, and add what they gave to the exchange. Errors: `Paused` when a person is asked."""
    exchange.messages.append(PromptMessage("assistant", exchange.texts[-1] if exchange.texts else "", tuple(calls)))
    made = [
        _answer_call(bench, call, step) if number < MOST_CALLS else _too_many(bench, call, step)
        for number, call in enumerate(calls)
    ]
    results = await asyncio.gather(*made, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    for call, result in zip(calls, results, strict=True):
        assert isinstance(result, StepResult)  # noqa: S101 — narrows the type
        exchange.messages.append(PromptMessage("tool", told(result), tool_call_id=call.id))
        exchange.used.append(ToolUse(call_id=UUID(result.data["call_id"]), tool=call.name, status=_status(result)))


def _answer_call(bench: Workbench, call: ToolCall, step: str) -> Awaitable[StepResult]:
    tool = bench.tools.tools.get(call.name)
    if tool is None:
        known = ", ".join(bench.tools.tools) or "none"
        return _refused(bench, call, step, f"There is no tool {call.name[:64]}; there are: {known}.")
    try:
        arguments = read_arguments(tool.spec, call.arguments)
    except ArgumentsRefused as error:
        return _refused(bench, call, step, str(error))
    return call_tool(bench, call.name, arguments, step=step)


def _too_many(bench: Workbench, call: ToolCall, step: str) -> Awaitable[StepResult]:
    return _refused(bench, call, step, f"Too many calls at once: the first {MOST_CALLS} were made.")


def _refused(bench: Workbench, call: ToolCall, step: str, reason: str) -> Awaitable[StepResult]:
    async def refuse(key: UUID) -> StepResult:
        return _told_of(bench, call.name, key, StepResult(reason, failed=True))

    shown = {"tool": call.name[:_LONGEST_SHOWN], "arguments": call.arguments[:_LONGEST_SHOWN]}
    return bench.journal.once(StepCall(step, "tool", shown), refuse)


def call_tool(
    bench: Workbench, name: str, arguments: Mapping[str, Any], *, step: str, attempt: int = 1
) -> Awaitable[StepResult]:
    """One journaled call of a granted tool; a tool that cannot be reached is a failed result with its `code`.

    Errors: `KeyError` for a name that is not granted; `Paused` when a person has to be asked first.
    """
    tool = bench.tools.tools[name]

    async def doing(key: UUID) -> StepResult:
        bench.on_event("tool.call", {"call_id": str(key), "tool": name})
        try:
            outcome = await tool.call(arguments, key)
        except ToolError as error:
            result = StepResult(error.detail, {"code": error.code}, failed=True)
        else:
            result = StepResult(outcome.text, failed=outcome.failed)
        return _told_of(bench, name, key, result)

    call = StepCall(
        step,
        "tool",
        {"tool": name, "arguments": dict(arguments)},
        attempt,
        repeatable=tool.repeatable,
        needs_approval=tool.approval == "always",
    )
    return _made(bench, name, bench.journal.once(call, doing))


async def _made(bench: Workbench, name: str, pending: Awaitable[StepResult]) -> StepResult:
    """The result; that a person refused the call is told here, since nothing was called."""
    result = await pending
    if result.denied:
        bench.on_event("tool.result", {"call_id": result.data["call_id"], "tool": name[:64], "status": "denied"})
    return result


def _told_of(bench: Workbench, name: str, key: UUID, result: StepResult) -> StepResult:
    told_result = StepResult(result.text, {**result.data, "call_id": str(key)}, failed=result.failed)
    bench.on_event("tool.result", {"call_id": str(key), "tool": name[:64], "status": _status(told_result)})
    return told_result


def _status(result: StepResult) -> Literal["completed", "failed", "denied"]:
    if result.denied:
        return "denied"
    return "failed" if result.failed else "completed"


def told(result: StepResult) -> str:
    """A result as the model reads it: one quoted line of JSON, whatever it holds, under what it is."""
    if result.denied:
        what, text = "refused", f"A person refused this call. {result.text}".strip()
    else:
        what, text = ("error" if result.failed else "result"), result.text
    return f'{{"{what}": {quoted(text, LONGEST_RESULT)}}}'


def _recorded(reply: ModelReply) -> StepResult:
    return StepResult(
        reply.text,
        {
            "provider": reply.provider,
            "model": reply.model,
            "finish_reason": reply.finish_reason,
            "offline": reply.offline,
            "left_out": list(reply.left_out),
            "tool_calls": [[one.id, one.name, one.arguments] for one in reply.tool_calls],
        },
        reply.usage,
    )


def _revived(result: StepResult) -> ModelReply:
    data = result.data
    return ModelReply(
        text=result.text,
        provider=data["provider"],
        model=data["model"],
        usage=result.usage,
        tool_calls=tuple(ToolCall(*one) for one in data["tool_calls"]),
        finish_reason=data["finish_reason"],
        left_out=tuple(data["left_out"]),
        offline=data["offline"],
    )


def _without_calls(reply: ModelReply) -> ModelReply:
    if not reply.text:
        raise ModelFailed("The model went on calling tools instead of answering.", provider=reply.provider)
    return ModelReply(
        text=reply.text, provider=reply.provider, model=reply.model, usage=reply.usage, left_out=reply.left_out,
        finish_reason="stop", offline=reply.offline,
    )  # fmt: skip
