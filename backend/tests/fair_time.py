"""Time-outs of which nothing is counted while the machine gives its cores to others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

TICK_SECONDS = 0.01


@asynccontextmanager
async def fair_timeout(seconds: float) -> AsyncGenerator[None]:
    """As `asyncio.timeout`, for what waits. What holds the event loop up itself must be timed by the wall's clock."""
    async with asyncio.timeout(None) as limit:
        counting = asyncio.create_task(_counted(limit, seconds))
        try:
            yield
        finally:
            counting.cancel()
            await asyncio.wait([counting])


@asynccontextmanager
async def done_within(seconds: float) -> AsyncGenerator[None]:
    """As `fair_timeout`, for what also works in this thread: that may take no more than this of the processor."""
    began = time.thread_time()
    async with fair_timeout(seconds):
        yield
    worked = time.thread_time() - began
    assert worked < seconds, f"it took {worked:.2f} s of the processor"


async def _counted(limit: asyncio.Timeout, seconds: float) -> None:
    # It is this that ends the time, not a timer of the loop: after a pause that would be due before anybody counts.
    loop, left = asyncio.get_running_loop(), seconds
    before = loop.time()
    while left > 0:
        await asyncio.sleep(TICK_SECONDS)
        now = loop.time()
        left -= min(now - before, 2 * TICK_SECONDS)
        before = now
    limit.reschedule(before)
