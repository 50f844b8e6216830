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
    async with asyncio.timeout(seconds) as limit:
        extending = asyncio.create_task(_extended(limit))
        try:
            yield
        finally:
            extending.cancel()
            await asyncio.wait([extending])


@asynccontextmanager
async def done_within(seconds: float) -> AsyncGenerator[None]:
    """As `fair_timeout`, for what also works in this thread: that may take no more than this of the processor."""
    began = time.thread_time()
    async with fair_timeout(seconds):
        yield
    worked = time.thread_time() - began
    assert worked < seconds, f"it took {worked:.2f} s of the processor"


async def _extended(limit: asyncio.Timeout) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + TICK_SECONDS
        await asyncio.sleep(TICK_SECONDS)
        late, until = loop.time() - due, limit.when()
        if late > TICK_SECONDS and until is not None and not limit.expired():
            limit.reschedule(until + late)
