"""The node that answers: the compiled prompt and the recent messages go to the model."""

from __future__ import annotations

from contextlib import aclosing

from langgraph.runtime import Runtime

from backend.errors import ModelFailed
from backend.graphs.prompt import in_context
from backend.graphs.state import Turn, TurnState
from backend.ports import MemoryContext, ModelReply, ModelRequest, PromptMessage, TextDelta


async def respond(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    """One answer. Errors: those of `LanguageModel`."""
    turn = runtime.context
    memory = state.get("memory", MemoryContext())
    prompt = in_context(
        turn.prompt,
        summary=turn.summary,
        memories=memory.retrieved_memories,
        memory_is_away=memory.state == "degraded",
    )
    request = ModelRequest(
        contract=turn.contract,
        provider=turn.contract.configuration.llm_provider,
        model=turn.model_name,
        messages=[PromptMessage("system", prompt), *turn.history],
    )
    if turn.on_text is None:
        return {"reply": await turn.model.complete(request)}
    reply: ModelReply | None = None
    async with aclosing(turn.model.stream(request)) as pieces:
        async for piece in pieces:
            if isinstance(piece, TextDelta):
                turn.on_text(piece.text)
            else:
                reply = piece
    if reply is None:
        raise ModelFailed("The model's answer stopped before it was finished.")
    return {"reply": reply}
