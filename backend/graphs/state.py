"""What a graph works on: the run it was started for, and what its nodes find out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict
from uuid import UUID

from backend.errors import SessionState
from backend.graphs.exchange import Exchange
from backend.graphs.journal import Journal, StepResult, UnrecordedJournal
from backend.models.agent import AgentContract
from backend.models.interview import Interview
from backend.models.interview_progress import Answer, InterviewProgress
from backend.ports import (
    LanguageModel,
    Memory,
    MemoryContext,
    ModelReply,
    PromptMessage,
    RecallRequest,
    ToolCall,
    ToolSet,
)

Purpose = Literal["chat", "interview", "script", "work"]
"""What a run is for: an answer, one in a session's interview, a script, or a workflow's or autonomous agent's work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """What every run has at hand. `prompt` is the contract's part of the system prompt.

    `on_text` takes each piece of the answer while it is written; without it the answer is asked for in one piece.
    `on_event` takes the events of a run that are no text: type and data. Once `enough` is set, nobody wants to hear
    more of the answer.
    """

    contract: AgentContract
    prompt: str
    model_name: str
    recall: RecallRequest
    model: LanguageModel
    memory: Memory
    on_event: Callable[[str, dict[str, Any]], None]
    on_text: Callable[[str], None] | None = None
    tools: ToolSet = field(default_factory=ToolSet)
    journal: Journal = field(default_factory=UnrecordedJournal)
    enough: asyncio.Event | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn(Workbench):
    """One turn of a conversation. `history` ends with the message to answer. `interview`: how far it has come, where
    the turn belongs to a session.
    """

    history: Sequence[PromptMessage]
    summary: str
    interview: InterviewProgress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work(Workbench):
    """A run of a workflow's steps, or of an autonomous agent: `input` is what to work on, or the goal.

    `ask_agent` lets another agent answer: its id, the message and the step's key. Before a failed step is tried again
    `sleep` waits `retry_seconds`, and longer each time.
    """

    input: str
    ask_agent: Callable[[UUID, str, UUID], Awaitable[StepResult]]
    retry_seconds: float = 1.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing(Workbench):
    """A script to write from a plan."""

    plan: Mapping[str, Answer]


def interview_of(turn: Turn) -> Interview:
    """What the agent must find out. Errors: `SessionState` when that was taken out of its contract."""
    if turn.contract.interview is None:
        raise SessionState("The agent's contract has no interview any more, so the session cannot go on.")
    return turn.contract.interview


class TurnState(TypedDict, total=False):
    """Filled by the nodes: `memory` by recall, `interview` by listen, `exchange` and `reply` by respond.

    `calls` are the tool calls that are to be made before the model goes on.
    """

    memory: MemoryContext
    interview: InterviewProgress
    exchange: Exchange
    calls: Sequence[ToolCall]
    reply: ModelReply


class WorkState(TypedDict, total=False):
    """Where a workflow stands: what each step gave last, and how often it was done.

    `last` is the step that gave text last, of those that are no conditions; its text is the run's `answer`.
    """

    memory: MemoryContext
    outputs: dict[str, str]
    last: str
    visits: dict[str, int]
    answer: str


class PursuitState(TypedDict, total=False):
    """How far an autonomous agent has come: its plan, the result of each round, and what is `missing` after the last.

    `answer` is there when the goal is reached, and only then.
    """

    memory: MemoryContext
    plan: str
    done: list[str]
    missing: str
    answer: str
