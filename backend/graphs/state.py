"""What a graph works on: the turn it was started for, and what its nodes find out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from backend.models.agent import AgentContract
from backend.ports import LanguageModel, Memory, MemoryContext, ModelReply, PromptMessage, RecallRequest


class TurnState(TypedDict, total=False):
    """Filled by the nodes: `memory` by recall, `reply` by respond."""

    memory: MemoryContext
    reply: ModelReply


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn, as its graph needs it: what was said, what to use, and where to report. `prompt` is the contract's.

    `history` ends with the message to answer. `on_text` takes each piece of the answer while it is written; without it
    the answer is asked for in one piece. `on_event` takes the events of a run that are no text: type and data.
    """

    contract: AgentContract
    prompt: str
    model_name: str
    history: Sequence[PromptMessage]
    summary: str
    recall: RecallRequest
    model: LanguageModel
    memory: Memory
    on_event: Callable[[str, dict[str, Any]], None]
    on_text: Callable[[str], None] | None = None
