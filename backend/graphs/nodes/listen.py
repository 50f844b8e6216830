"""The node that listens: what the person's message says about the interview, and what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from langgraph.runtime import Runtime

from backend.errors import ModelFailed
from backend.graphs.exchange import Exchange
from backend.graphs.interview import NothingHeard, heard, next_step, parse_heard
from backend.graphs.interview_prompt import reading_again_messages, reading_messages
from backend.graphs.nodes.tool_loop import ask
from backend.graphs.state import Turn, TurnState, interview_of
from backend.models.interview_progress import HeardAnswers, InterviewProgress
from backend.ports import ModelReply, PromptMessage, ReadAnswers, ToolSet, Usage

STEP = "listen"


async def listen(state: TurnState, runtime: Runtime[Turn]) -> TurnState:  # noqa: ARG001 — a node's signature
    """One or two calls of the model, which nobody sees; `exchange` carries what they cost.

    Errors: those of `LanguageModel`; `ModelFailed` when it was asked twice and wrote nothing that can be read.
    """
    turn = runtime.context
    interview, progress = interview_of(turn), turn.interview or InterviewProgress()
    message = turn.history[-1].content
    silent = replace(turn, tools=ToolSet(), on_text=None)
    task = ReadAnswers(interview, progress, message)
    answers, spent = await _read(silent, reading_messages(interview, progress, message), task)
    return {
        "interview": next_step(interview, heard(interview, progress, answers)),
        "exchange": Exchange([], usage=spent),
    }


async def _read(turn: Turn, messages: Sequence[PromptMessage], task: ReadAnswers) -> tuple[HeardAnswers, Usage]:
    first = await ask(turn, Exchange(list(messages)), step=STEP, task=task)
    try:
        return parse_heard(first.text), first.usage
    except NothingHeard as fault:
        again = reading_again_messages(messages, first.text, str(fault))
    second = await ask(turn, Exchange(again), step=STEP, task=task, attempt=2)
    try:
        return parse_heard(second.text), _together(first, second)
    except NothingHeard as fault:
        raise ModelFailed(
            f"The model was asked twice what the message says, and its answer cannot be read: {fault}.",
            provider=second.provider,
        ) from fault


def _together(first: ModelReply, second: ModelReply) -> Usage:
    return Usage(
        first.usage.input_tokens + second.usage.input_tokens, first.usage.output_tokens + second.usage.output_tokens
    )
