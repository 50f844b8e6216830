"""What the agent runs on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StrictBool

from backend.models.base import FrozenModel, example
from backend.models.fields import Between, Slug, Text

ReasoningEffort = Literal["none", "low", "medium", "high"]


class Configuration(FrozenModel):
    """The language model and what a turn may use.

    `max_tokens` bounds one answer, `memory_k` the memories shown to a turn, `thread_window` the recent messages.
    With `voice_enabled` the agent's `voice` is used; an agent of type `voice` always uses it.
    `llm_provider` is `openai`, `offline`, or a name from the deployment's own list of servers.
    """

    model_config = example(
        llm_provider="openai",
        llm_model="gpt-6-luna",
        max_tokens=500,
        temperature=0.7,
        reasoning_effort="none",
        memory_enabled=True,
        voice_enabled=False,
        tools_enabled=False,
        memory_k=6,
        thread_window=20,
    )

    llm_provider: Slug = "openai"
    llm_model: Annotated[str, Text(200, visible=True, line=True)] = "gpt-4o-mini"
    max_tokens: Annotated[int, Between(50, 4000)] = 500
    temperature: Annotated[float, Between(0.0, 2.0)] = 0.7
    reasoning_effort: ReasoningEffort = "none"
    memory_enabled: StrictBool = True
    voice_enabled: StrictBool = False
    tools_enabled: StrictBool = False
    memory_k: Annotated[int, Between(1, 20)] = 6
    thread_window: Annotated[int, Between(5, 50)] = 20
