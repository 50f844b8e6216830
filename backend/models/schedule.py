"""When an agent runs by itself, and what became of it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from backend.models.base import FrozenModel, example


class AgentSchedule(FrozenModel):
    """The schedule that is in force, and its ticks so far.

    Of ticks that passed while no server was there only the latest is run; those before it are counted as missed.
    """

    model_config = example(
        agent_id="6f1c2f9e-8a53-4c53-9b1e-2f6d2c1a7b10",
        schedule="0 9 * * 1-5",
        next_at="2026-11-23T09:00:00Z",
        last_at="2026-11-20T09:00:00Z",
        ticks=41,
        missed=2,
        last_missed="2026-11-12T09:00:00Z",
    )

    agent_id: UUID
    schedule: str | None = Field(
        description="Five cron fields, UTC; null for an agent that is switched off, or that something else sets off."
    )
    next_at: datetime | None = Field(description="Null without a schedule, and for a moment after it was changed.")
    last_at: datetime | None = Field(description="The tick for which a run was started last.")
    ticks: int = Field(description="How many runs were started by schedules.")
    missed: int
    last_missed: datetime | None
