"""What sets a run off besides a person: a schedule or an event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol
from uuid import UUID

from backend.models.run import Run


@dataclass(frozen=True, slots=True)
class RunOrder:
    """A run to start in the name of `user_id`. `operation_id` is the same for each repeat of the same order."""

    tenant_id: UUID
    user_id: UUID
    agent_id: UUID
    input: str
    metadata: dict[str, Any]
    operation_id: UUID
    trigger: Literal["schedule", "event"]


class StartRun(Protocol):
    """Starts runs that nobody waits for."""

    async def __call__(self, order: RunOrder) -> Run:
        """The run, once it is stored and on its way; the one of before when the order was given before.

        Errors: `AgentNotFound`, `AgentInactive`, `AgentArchived`, `AgentHasNoRuns`, `Forbidden`, `Unavailable`.
        """
        ...
