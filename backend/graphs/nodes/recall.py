"""The node that remembers: what memory knows that bears on this turn."""

from __future__ import annotations

from langgraph.runtime import Runtime

from backend.graphs.state import Turn, TurnState


async def recall(state: TurnState, runtime: Runtime[Turn]) -> TurnState:  # noqa: ARG001 — a node's signature
    """Ask memory, and report what it found; a turn without memories goes on.

    The event holds no texts: events are stored with the run, and what is forgotten must be forgotten there, too.
    """
    turn = runtime.context
    found = await turn.memory.recall(turn.recall)
    if found.state != "off":
        shown = [{"id": str(one.id), "score": one.parts.score, "scope": one.scope} for one in found.retrieved_memories]
        told = {"memory": found.state, "confidence": found.confidence_score, "memories": shown}
        turn.on_event("memory.recalled", told)
    return {"memory": found}
