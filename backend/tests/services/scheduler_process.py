"""A scheduler in a process of its own: `python -m backend.tests.services.scheduler_process <owner's url>`."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Self

from backend.services.scheduler import Scheduler
from backend.stores.database import Database
from backend.stores.pool import open_pool
from backend.stores.roles import Logins
from backend.telemetry import Metrics

ROOT = Path(__file__).parents[3]
PAUSE_SECONDS = 0.005


class SchedulerProcess:
    """The child: it looks at schedules without much of a pause from `started` on, until it is killed."""

    def __init__(self, url: str, zone: str = "UTC") -> None:
        command = [sys.executable, "-m", "backend.tests.services.scheduler_process", url]
        self._child = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "TZ": zone}, stdout=subprocess.PIPE)

    async def started(self) -> None:
        """Wait until it has looked for the first time."""
        assert self._child.stdout is not None
        assert await asyncio.to_thread(self._child.stdout.readline) == b"looking\n"

    def kill(self) -> None:
        """End it as a power cut would."""
        self._child.kill()
        self._child.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        assert self._child.stdout is not None
        self._child.stdout.close()


async def main(url: str) -> None:
    """Look until killed."""
    logins = Logins.derived(url)
    app = await open_pool(logins.app, size=1, name="scheduler process")
    worker = await open_pool(logins.worker, size=2, name="scheduler process")
    scheduler = Scheduler(Database(app, worker), lambda: None, Metrics(), pause_seconds=PAUSE_SECONDS)
    await scheduler.step()
    sys.stdout.write("looking\n")
    sys.stdout.flush()
    await scheduler.run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
