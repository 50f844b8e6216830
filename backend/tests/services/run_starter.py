"""Who starts runs, without running anything."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4, uuid5

from backend.errors import NumenError
from backend.models.run import Run
from backend.services.run_orders import RunOrder


class Starter:
    """A `StartRun`: one run for each operation. `fails_with` is raised first, `breaks_after` after it has started."""

    def __init__(self) -> None:
        self.orders: list[RunOrder] = []
        self.runs: dict[UUID, Run] = {}
        self.fails_with: NumenError | None = None
        self.breaks_after: NumenError | None = None

    async def __call__(self, order: RunOrder) -> Run:
        if self.fails_with is not None:
            raise self.fails_with
        self.orders.append(order)
        run = self.runs.setdefault(order.operation_id, run_of(order))
        if self.breaks_after is not None:
            raise self.breaks_after
        return run


def run_of(order: RunOrder) -> Run:
    """A run that has just begun."""
    return Run(
        id=uuid5(order.operation_id, "run"),
        agent_id=order.agent_id,
        thread_id=uuid4(),
        user_id=order.user_id,
        agent_version="1.0.0",
        kind="autonomous",
        status="running",
        user_message_id=uuid4(),
        assistant_message_id=uuid4(),
        text="",
        error=None,
        created_at=datetime.now(UTC),
        finished_at=None,
    )
