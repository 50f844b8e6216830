"""The node that answers: the compiled prompt and the recent messages go to the model, then what its tools gave."""

from __future__ import annotations

from langgraph.runtime import Runtime

from backend.graphs.exchange import Exchange
from backend.graphs.nodes.tool_loop import ask
from backend.graphs.prompt import in_context
from backend.graphs.state import Turn, TurnState
from backend.ports import MemoryContext, PromptMessage

STEP = "answer"


async def respond(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    """One call of the model. Errors: those of `LanguageModel`."""
    turn = runtime.context
    exchange = state.get("exchange") or Exchange(_opening(turn, state.get("memory", MemoryContext())))
    reply = await ask(turn, exchange, step=STEP)
    return {"exchange": exchange, "reply": exchange.answer(reply), "calls": reply.tool_calls}


def _opening(turn: Turn, memory: MemoryContext) -> list[PromptMessage]:
    prompt = in_context(
        turn.prompt,
        summary=turn.summary,
        memories=memory.retrieved_memories,
        tools=[tool.spec for tool in turn.tools.tools.values()],
        tools_away=turn.tools.away,
        memory_is_away=memory.state == "degraded",
    )
    return [PromptMessage("system", prompt), *turn.history]
