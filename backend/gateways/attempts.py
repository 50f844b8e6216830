"""Another attempt where one may help, never beyond a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import stamina

from backend.gateways.model_fault import ModelFault

ATTEMPTS = 3
FIRST_WAIT_SECONDS, WAIT_JITTER_SECONDS, LONGEST_WAIT_SECONDS = 0.1, 0.1, 0.5

T = TypeVar("T")


async def attempts(until: float, once: Callable[[], Awaitable[T]]) -> T:
    """What `once` returns, tried up to three times; `until` is in the event loop's seconds. Errors: `ModelFault`."""
    try:
        return await once()
    except ModelFault as fault:
        failed = fault
    retries = stamina.retry_context(
        on=partial(_again, until),
        attempts=ATTEMPTS,
        timeout=None,
        wait_initial=FIRST_WAIT_SECONDS,
        wait_jitter=WAIT_JITTER_SECONDS,
        wait_max=LONGEST_WAIT_SECONDS,
    )
    async for attempt in retries:
        with attempt:
            if attempt.num == 1:
                raise failed  # the first attempt, made without the bookkeeping that only repeats need
            return await once()
    raise AssertionError("the last attempt returns or raises")


def _again(until: float, exc: Exception) -> bool | float:
    """Whether, or after how many seconds, an attempt is repeated: never when the wait would outlast the deadline."""
    if not isinstance(exc, ModelFault) or not exc.retry:
        return False
    left = until - asyncio.get_running_loop().time()
    if exc.wait is not None:
        return exc.wait if exc.wait < left else False
    return left > LONGEST_WAIT_SECONDS
