"""The node that remembers: what memory knows that bears on this turn."""

from __future__ import annotations

from langgraph.runtime import Runtime

from backend.graphs.state import Turn, TurnState


async def recall(state: TurnState, runtime: Runtime[Turn]) -> TurnState:  # noqa: ARG001 — a node's signature
    """Ask memory, and report what it found; a turn without memories goes on."""
    turn = runtime.context
    found = await turn.memory.recall(turn.recall)
    if found.state != "off":
        shown = [{"id": str(one.id), "text": one.text, "score": one.score} for one in found.memories]
        turn.on_event("memory.recalled", {"memory": found.state, "confidence": found.confidence, "memories": shown})
    return {"memory": found}
