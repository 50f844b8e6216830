"""The node that remembers: what memory knows that bears on this run."""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime

from backend.graphs.state import Turn, TurnState, Work, Workbench, Writing
from backend.graphs.written_script import WritingState
from backend.ports import MemoryContext


async def recall(state: TurnState, runtime: Runtime[Turn]) -> TurnState:  # noqa: ARG001 — a node's signature
    """What is known before a turn."""
    return {"memory": await recalled(runtime.context)}


async def recall_for_work(state: Any, runtime: Runtime[Work]) -> dict[str, MemoryContext]:  # noqa: ARG001 — as above
    """What is known before a piece of work."""
    return {"memory": await recalled(runtime.context)}


async def recall_for_script(state: WritingState, runtime: Runtime[Writing]) -> WritingState:  # noqa: ARG001 — as above
    """What is known before a script is written."""
    return {"memory": await recalled(runtime.context)}


async def recalled(bench: Workbench) -> MemoryContext:
    """Ask memory, and report what it found; a run without memories goes on.

    The event holds no texts: events are stored with the run, and what is forgotten must be forgotten there, too.
    """
    found = await bench.memory.recall(bench.recall)
    if found.state != "off":
        shown = [{"id": str(one.id), "score": one.parts.score, "scope": one.scope} for one in found.retrieved_memories]
        told = {"memory": found.state, "confidence": found.confidence_score, "memories": shown}
        bench.on_event("memory.recalled", told)
    return found
