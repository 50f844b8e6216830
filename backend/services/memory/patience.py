"""How long people wait for memory who look into it; turns wait less."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from backend.errors import IndexUnavailable

SEARCH_SECONDS = 5.0
_Answer = TypeVar("_Answer")


async def within(seconds: float, asked: Awaitable[_Answer]) -> _Answer:
    """The answer. Errors: `IndexUnavailable` when it does not come in time."""
    try:
        async with asyncio.timeout(seconds):
            return await asked
    except TimeoutError as error:
        raise IndexUnavailable("The search index of memories does not answer in time; try again.") from error
