"""A run while it lives in this process: what has been written, who listens, and how it ended, or why it waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal
from uuid import UUID

from backend.errors import NumenError
from backend.models.events import RESUMED, TERMINAL, Mark, Place, ServerEvent, events_after
from backend.models.run import ChatReply
from backend.services.hearing import Hearing

StopReason = Literal["cancelled", "shutdown"]


class LiveRun:
    """One turn. Written by the task that drives it, read by any number of listeners, each at its own pace.

    Listeners hold a place, not a queue: a slow one gets larger pieces, and costs no memory. Of a `recorded` run, with
    which another server may go on, they are told only what is stored. With a `hearing` a voice speaks the answer, and
    what is stored of it is what was heard.
    """

    def __init__(
        self,
        run_id: UUID,
        tenant_id: UUID,
        user_id: UUID,
        *,
        recorded: bool = False,
        hearing: Hearing | None = None,
    ) -> None:
        self.run_id = run_id
        self.tenant_id = tenant_id
        self.user_id = user_id
        self.hearing = hearing
        self.text = ""
        self.marks: list[Mark] = []
        self.has_steps = False
        self.stop_reason: StopReason | None = None
        self.task: asyncio.Task[Any] | None = None
        self._stored: Place | None = Place() if recorded else None
        self._ended: asyncio.Future[ChatReply | None] = asyncio.get_running_loop().create_future()
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def kept_text(self) -> str:
        """What would be stored of the answer if it ended now."""
        return self.text if self.hearing is None else self.hearing.part_of(self.text)

    def write(self, text: str) -> None:
        """More of the answer."""
        self.text += text
        if self._stored is None:
            self._wake()

    def mark(self, event: str, data: dict[str, Any]) -> None:
        """An event that is no text."""
        self.marks.append(Mark(event, len(self.text), data))
        if self._stored is None:
            self._wake()

    def take_up(self, text: str, marks: Sequence[Mark]) -> None:
        """Go on where another server stopped: with what it stored, of which `text` still holds."""
        self.text = text
        self.marks = [*marks, Mark(RESUMED, len(text), {"offset": len(text)})]

    def stored(self, marks: int, offset: int) -> None:
        """So much of it is stored."""
        if self._stored is not None:
            self._stored = Place(marks, offset)
            self._wake()

    def succeed(self, reply: ChatReply) -> None:
        """The turn is stored: this is its answer."""
        self._end(reply)

    def pause(self) -> None:
        """The run waits for a person, and is stored: whoever goes on with it makes another live run of it."""
        self._end(None)

    def _end(self, reply: ChatReply | None) -> None:
        self._stored = None
        self._ended.set_result(reply)
        self._wake()

    def fail(self, error: NumenError) -> None:
        """The turn ended without a whole answer."""
        self._stored = None
        self._ended.set_exception(error)
        self._ended.exception()  # nobody has to wait for it
        self._wake()

    def stop(self, reason: StopReason) -> None:
        """Make the driving task stop where it is, or before it asks anybody; what was said is kept."""
        if self.stop_reason is None and not self.ended:
            self.stop_reason = reason
            if self.task is not None:
                self.task.cancel()

    def driven_by(self, task: asyncio.Task[Any]) -> None:
        """This task makes the answer."""
        self.task = task
        if self.stop_reason is not None:
            task.cancel()

    @property
    def ended(self) -> bool:
        """Whether the turn is stored, whatever became of it."""
        return self._ended.done()

    async def reply(self) -> ChatReply | None:
        """Wait for the end; going away does not stop the run. None when it waits for a person.

        Errors: what the run failed of.
        """
        return await asyncio.shield(self._ended)

    async def ending(self) -> None:
        """Wait for the end, however it comes."""
        await asyncio.wait({self._ended})

    async def events(self, place: Place) -> AsyncIterator[ServerEvent]:
        """Everything after `place`, as it happens, until the run has ended."""
        while True:
            ended = self.ended
            marks, text = self._told()
            for event in events_after(place, marks, text):
                yield event
                place = Place.parse(event.id)
                if event.type in TERMINAL:
                    return
            if ended:
                return
            # A place may also lie beyond what there is: then there is nothing to tell before the end.
            marks, text = self._told()
            if place.marks >= len(marks) and place.offset >= len(text) and not self.ended:
                await self._changed()

    def _told(self) -> tuple[Sequence[Mark], str]:
        if self._stored is None:
            return self.marks, self.text
        return self.marks[: self._stored.marks], self.text[: self._stored.offset]

    async def _changed(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
