"""The runs that live in this process."""

from __future__ import annotations

import asyncio
from uuid import UUID

from backend.errors import ShuttingDown
from backend.services.live_run import LiveRun


class RunRegistry:
    """Finds a live run by id, keeps its driving task alive, and ends them all in good order."""

    def __init__(self) -> None:
        self._live: dict[UUID, LiveRun] = {}
        self._drivers: set[asyncio.Task[None]] = set()
        self._closing = False

    def get(self, run_id: UUID) -> LiveRun | None:
        """The run, if it lives here."""
        return self._live.get(run_id)

    def of_person(self, tenant_id: UUID, user_id: UUID) -> list[LiveRun]:
        """The runs of this person that live here."""
        return [run for run in self._live.values() if (run.tenant_id, run.user_id) == (tenant_id, user_id)]

    def add(self, run: LiveRun) -> None:
        """A run begins; its message is stored, so when we are closing it is driven to its end at once."""
        self._live[run.run_id] = run
        if self._closing:
            run.stop("shutdown")

    def remove(self, run: LiveRun) -> None:
        """A run has ended and is stored, or was never begun."""
        self._live.pop(run.run_id, None)

    def keep(self, driver: asyncio.Task[None]) -> None:
        """Hold on to a task that drives a run, whoever goes away."""
        self._drivers.add(driver)
        driver.add_done_callback(self._drivers.discard)

    @property
    def closing(self) -> bool:
        """Whether no new run may begin."""
        return self._closing

    def refuse_when_closing(self) -> None:
        """Errors: `ShuttingDown` once no new run may begin."""
        if self._closing:
            raise ShuttingDown("The server is stopping; try again in a moment.", retry_after=2)

    async def close(self, seconds: float) -> None:
        """No new runs; wait for those that live, then stop the rest and wait until what they said is stored."""
        self._closing = True
        if self._drivers:
            await asyncio.wait(self._drivers, timeout=seconds / 2)
        for run in list(self._live.values()):
            run.stop("shutdown")
        if self._drivers:
            await asyncio.wait(self._drivers, timeout=seconds / 2)
        for driver in self._drivers:
            driver.cancel()
