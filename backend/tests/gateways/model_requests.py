"""Requests, clocks and models for the tests of the gateways."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from backend.gateways.openai_model import Deadlines, OpenAIModel
from backend.models.agent import EXAMPLE_CONTRACT, AgentContract
from backend.ports import LanguageModel, ModelReply, ModelRequest, PromptMessage, TextDelta, ToolSpec

SHORT = Deadlines(connect=0.3, first_token=0.25, total=0.3)
FAIR = Deadlines(connect=10.0, first_token=10.0, total=10.0)
LONGEST_WAIT = 2.5
"""Seconds that no test may wait for an error, whatever the deadline."""
SECRET = "sk-numen-canary-4711"

WEATHER = ToolSpec("weather", "The weather of a place", {"type": "object", "properties": {"place": {"type": "string"}}})


class SettableClock:
    """A clock that stands still until it is told to move."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 15, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def forward(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


def contract(**parts: Any) -> AgentContract:
    """The example contract with parts replaced; sections are merged one level deep."""
    merged: dict[str, Any] = dict(EXAMPLE_CONTRACT)
    for name, part in parts.items():
        old = merged.get(name)
        merged[name] = {**old, **part} if isinstance(old, dict) and isinstance(part, dict) else part  # pyright: ignore[reportUnknownVariableType]
    return AgentContract.model_validate(merged)


def request(
    *said: str, model: str = "test-model", tools: Sequence[ToolSpec] = (), system: str = "You are kind.", **parts: Any
) -> ModelRequest:
    """A request whose conversation is `said`: the person begins, and they take turns."""
    turns = [
        PromptMessage("user" if place % 2 == 0 else "assistant", text) for place, text in enumerate(said or ("Hi",))
    ]
    return ModelRequest(contract(**parts), "test", model, [PromptMessage("system", system), *turns], tools)


def model(base_url: str, deadlines: Deadlines = FAIR, clock: SettableClock | None = None, **rest: Any) -> OpenAIModel:
    """A model at a server; close it."""
    settings = {"provider": "test", "api_key": SECRET, "key_setting": "TEST_KEY", **rest}
    return OpenAIModel(base_url=base_url, deadlines=deadlines, clock=clock or SettableClock(), **settings)


async def streamed(language_model: LanguageModel, what: ModelRequest) -> tuple[list[str], ModelReply]:
    """The pieces and the reply of a whole stream."""
    items = [item async for item in language_model.stream(what)]
    pieces = [item.text for item in items if isinstance(item, TextDelta)]
    reply = items[-1]
    assert isinstance(reply, ModelReply)
    assert len(pieces) == len(items) - 1
    return pieces, reply
