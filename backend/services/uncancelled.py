"""Blocking work that is done to its end, whoever is cancelled meanwhile: what takes a resource, or gives one back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def done_in_thread(do: Callable[P, T], *values: P.args, **named: P.kwargs) -> T:
    """Do it in a thread, to its end: nobody can stop one, so who is cancelled waits, and hears of that after it.

    What has not begun, because every thread is taken, is not called off either. Errors: those of `do`.
    """
    doing = asyncio.get_running_loop().run_in_executor(None, partial(do, *values, **named))
    cancelled: asyncio.CancelledError | None = None
    while not doing.done():
        try:
            await asyncio.wait([doing])
        except asyncio.CancelledError as error:  # as often as it comes
            cancelled = error
    if cancelled is None:
        return doing.result()
    doing.exception()  # nobody hears of it any more
    raise cancelled
