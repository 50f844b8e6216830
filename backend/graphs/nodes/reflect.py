"""The node that looks back on a script: what is to be remembered of it."""

from __future__ import annotations

from dataclasses import replace

from langgraph.runtime import Runtime

from backend.graphs.exchange import Exchange
from backend.graphs.nodes.tool_loop import ask
from backend.graphs.script_prompt import reflection_messages
from backend.graphs.state import Writing
from backend.graphs.written_script import WritingState
from backend.ports import MemoryContext, Reflect, ToolSet

STEP = "reflect"


async def reflect(state: WritingState, runtime: Runtime[Writing]) -> WritingState:
    """One call of the model, which nobody sees. Errors: those of `LanguageModel`."""
    bench = runtime.context
    messages = reflection_messages(bench, state.get("memory", MemoryContext()), state.get("parts", ()))
    silent = replace(bench, tools=ToolSet(), on_text=None)
    reply = await ask(silent, Exchange(messages), step=STEP, task=Reflect(bench.plan))
    return {"reflection": " ".join(reply.text.split())}
