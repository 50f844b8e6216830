"""SpeechPlaces: how much is spoken, or written down, at once in this process, so that nobody takes all of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID
from weakref import WeakValueDictionary

from backend.errors import SpeechUnavailable

MOST = 8
MOST_OF_ONE_TENANT = 4
PATIENCE_SECONDS = 10.0
_RETRY_SECONDS = 5
TOO_MUCH_SPEECH = "Too much is being spoken at once here; try again in a moment."
TOO_MANY_RECORDINGS = "Too many recordings are being written down at once here; try again in a moment."


class SpeechPlaces:
    """`most` places, of which one tenant has at most `most_of_one`. They are taken while audio is made, not while it is
    listened to. Who finds none in time is told `refusal`."""

    def __init__(
        self,
        most: int = MOST,
        most_of_one: int = MOST_OF_ONE_TENANT,
        patience_seconds: float = PATIENCE_SECONDS,
        refusal: str = TOO_MUCH_SPEECH,
    ) -> None:
        self._all = asyncio.Semaphore(most)
        self._most_of_one = most_of_one
        self._patience = patience_seconds
        self._refusal = refusal
        self._of: WeakValueDictionary[UUID, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def one(self, tenant_id: UUID) -> AsyncGenerator[None]:
        """A place for as long as it is held. Errors: `SpeechUnavailable` when none is free in time."""
        own = self._of.get(tenant_id)
        if own is None:
            own = self._of[tenant_id] = asyncio.Semaphore(self._most_of_one)
        try:
            async with asyncio.timeout(self._patience):
                await own.acquire()
                try:
                    await self._all.acquire()
                except BaseException:
                    own.release()
                    raise
        except TimeoutError as error:
            raise SpeechUnavailable(self._refusal, retry_after=_RETRY_SECONDS) from error
        try:
            yield
        finally:
            self._all.release()
            own.release()
