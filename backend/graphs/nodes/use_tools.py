"""The node that makes the tool calls which the model asked for."""

from __future__ import annotations

from langgraph.runtime import Runtime

from backend.graphs.nodes import tool_loop
from backend.graphs.nodes.respond import STEP
from backend.graphs.state import Turn, TurnState


async def use_tools(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    """Make them, and add what they gave to the exchange. Errors: `Paused`, when a person has to be asked first."""
    exchange, calls = state.get("exchange"), state.get("calls", ())
    if exchange is not None and calls:
        await tool_loop.use_tools(runtime.context, exchange, calls, step=STEP)
    return {"calls": ()}


def wants_tools(state: TurnState) -> str:
    """Where to go after an answer: to the tools, or to the end."""
    return "use_tools" if state.get("calls") else "end"
