"""The node that leads an interview on: it answers the person, and asks what is next."""

from __future__ import annotations

from dataclasses import replace

from langgraph.runtime import Runtime

from backend.graphs.exchange import Exchange
from backend.graphs.interview_prompt import asking_messages
from backend.graphs.nodes.tool_loop import ask, use_tools
from backend.graphs.state import Turn, TurnState, interview_of
from backend.models.interview_progress import InterviewProgress
from backend.ports import AskNext, MemoryContext

STEP = "ask_next"


async def ask_next(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    """Ask the model until it calls no more tools; the tokens of listening are counted in.

    Errors: those of `LanguageModel`, `Paused`.
    """
    turn = runtime.context
    interview, progress = interview_of(turn), state.get("interview", InterviewProgress())
    messages = asking_messages(turn, interview, progress, state.get("memory", MemoryContext()))
    exchange = replace(state.get("exchange") or Exchange([]), messages=messages)
    task = AskNext(interview, progress, turn.history[-1].content)
    reply = await ask(turn, exchange, step=STEP, task=task)
    while reply.tool_calls:
        await use_tools(turn, exchange, reply.tool_calls, step=STEP)
        reply = await ask(turn, exchange, step=STEP, task=task)
    return {"exchange": exchange, "reply": exchange.answer(reply)}
