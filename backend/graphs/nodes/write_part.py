"""The node that writes a script, part after part, each told while it is written and recorded when it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import aclosing
from uuid import UUID

from langgraph.runtime import Runtime

from backend.errors import ModelFailed, SessionState
from backend.graphs.journal import StepCall, StepResult
from backend.graphs.pauses import SpeechFilter
from backend.graphs.script_prompt import part_messages
from backend.graphs.state import Writing
from backend.graphs.written_script import WritingState, recorded_part
from backend.models.script import Script, ScriptPart
from backend.models.session import Pause, SpokenPart
from backend.ports import MemoryContext, ModelReply, ModelRequest, TextDelta, WritePart

_LONGEST_REFUSAL = 400
_REFUSAL = re.compile(
    r"(?:(?:i['’]?m|i am)? ?(?:very |so )?sorry\b|i apologi[sz]e\b|unfortunately\b|as an ai\b)?[^.!?]{0,80}?"
    r"\bi(?:['’]m| am)? ?(?:can(?:no|['’])t|won['’]t|will not|not able to|unable to) "
    r"(?:help|assist|write|create|provide|comply|continue|do|fulfil|produce|generate)\b",
    re.IGNORECASE,
)


async def write(state: WritingState, runtime: Runtime[Writing]) -> WritingState:
    """All parts. Errors: those of `LanguageModel`; `ModelFailed` when it writes nothing, or refuses to."""
    bench = runtime.context
    script = script_of(bench)
    memory = state.get("memory", MemoryContext())
    parts: list[SpokenPart] = []
    for part in script.parts:
        parts.append(await _written(bench, memory, script, part, tuple(parts)))
    return {"parts": tuple(parts)}


def script_of(bench: Writing) -> Script:
    """What the agent writes. Errors: `SessionState` when that was taken out of its contract."""
    if bench.contract.script is None:
        raise SessionState("The agent's contract has no script any more, so there is nothing to write.")
    return bench.contract.script


async def _written(
    bench: Writing, memory: MemoryContext, script: Script, part: ScriptPart, before: Sequence[SpokenPart]
) -> SpokenPart:
    request = ModelRequest(
        contract=bench.contract,
        provider=bench.contract.configuration.llm_provider,
        model=bench.model_name,
        messages=part_messages(bench, memory, script, part, before),
        task=WritePart(part, bench.plan, tuple(one.text for one in before)),
    )

    async def doing(_: UUID) -> StepResult:
        place = {"name": part.name, "ordinal": len(before) + 1, "of": len(script.parts)}
        bench.on_event("part.started", place)
        text, pauses, reply = await _told(bench, request, before="\n\n" if before else "")
        _refuse_nothing(part, text, reply)
        told = {"name": part.name, "words": len(text.split()), "pauses": len(pauses)}
        bench.on_event("part.completed", told)
        return _recorded(part, text, pauses, reply)

    result = await bench.journal.once(StepCall(part.name, "model", {"part": part.name}), doing)
    written = recorded_part({**result.data, "text": result.text})
    assert written is not None  # noqa: S101 — it was recorded as one
    return written


async def _told(bench: Writing, request: ModelRequest, *, before: str) -> tuple[str, Sequence[Pause], ModelReply]:
    """The words and the pauses, told while they come; `before` is told before the first word."""
    speech = SpeechFilter()
    pieces: list[str] = []

    def tell(words: str) -> None:
        if words and bench.on_text is not None:
            bench.on_text(words if pieces else before + words)
        if words:
            pieces.append(words)

    if bench.on_text is None:
        reply = await bench.model.complete(request)
        tell(speech.push(reply.text))
    else:
        reply = await _streamed(bench, request, lambda piece: tell(speech.push(piece)))
    tell(speech.rest())
    return "".join(pieces), speech.pauses, reply


async def _streamed(bench: Writing, request: ModelRequest, on_piece: Callable[[str], None]) -> ModelReply:
    reply: ModelReply | None = None
    async with aclosing(bench.model.stream(request)) as pieces:
        async for piece in pieces:
            if isinstance(piece, TextDelta):
                on_piece(piece.text)
            else:
                reply = piece
    if reply is None:
        raise ModelFailed("The model's answer stopped before it was finished.")
    return reply


def _refuse_nothing(part: ScriptPart, text: str, reply: ModelReply) -> None:
    refuses = reply.finish_reason == "content_filter" or (len(text) <= _LONGEST_REFUSAL and _REFUSAL.match(text))
    if refuses:
        raise ModelFailed(f"The model refuses to write the part {part.name}.", provider=reply.provider)
    if not text:
        raise ModelFailed(f"The model wrote no words for the part {part.name}.", provider=reply.provider)


def _recorded(part: ScriptPart, text: str, pauses: Sequence[Pause], reply: ModelReply) -> StepResult:
    data = {
        "name": part.name,
        "pauses": [pause.model_dump() for pause in pauses],
        "provider": reply.provider,
        "model": reply.model,
        "finish_reason": reply.finish_reason,
        "offline": reply.offline,
        "left_out": list(reply.left_out),
    }
    return StepResult(text, data, reply.usage)
