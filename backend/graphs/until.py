"""Listening to a stream until enough was heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def until(enough: asyncio.Event | None, pieces: AsyncGenerator[T]) -> AsyncIterator[T]:
    """The pieces, until `enough` is set and nothing more is there at once. Who gave `pieces` closes it.

    Errors: those of the pieces.
    """
    if enough is None:
        async for piece in pieces:
            yield piece
        return
    stop = asyncio.ensure_future(enough.wait())
    try:
        while True:
            coming = asyncio.ensure_future(_next(pieces))
            try:
                await asyncio.sleep(0)  # what is there already is taken
                await asyncio.wait({coming, stop}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not coming.done():
                    coming.cancel()
                    with suppress(asyncio.CancelledError):
                        await coming
            if coming.cancelled():
                return
            for piece in (found := coming.result()):
                yield piece
            if not found:
                return
    finally:
        stop.cancel()


async def _next(pieces: AsyncGenerator[T]) -> tuple[T, ...]:
    """The next piece; nothing at the end. A task must not end with `StopAsyncIteration`."""
    async for piece in pieces:
        return (piece,)
    return ()
