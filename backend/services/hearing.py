"""What a person hears of an answer while a voice speaks it: told by who plays it, waited for by who stores it."""

from __future__ import annotations

import asyncio


class Hearing:
    """Of one run. `offset` is how many characters of the run's text were heard so far, `played_ms` how long it took.

    `written` is set when the whole text of the answer is in the run; `cut` when the person has heard enough.
    `was_written` is what `written` was then.
    """

    def __init__(self) -> None:
        self.offset = 0
        self.played_ms = 0
        self.written = asyncio.Event()
        self.cut = asyncio.Event()
        self.was_written = False
        self._settled = asyncio.Event()

    @property
    def interrupted(self) -> bool:
        """Whether the answer ends where the person broke in."""
        return self.cut.is_set()

    @property
    def settled(self) -> bool:
        """Whether it is known how much was heard."""
        return self._settled.is_set()

    def heard(self, offset: int, played_ms: int) -> None:
        """So much was heard by now; what was heard stays heard."""
        if not self.settled:
            self.offset = max(self.offset, offset)
            self.played_ms = max(self.played_ms, played_ms)

    def interrupt(self) -> None:
        """The person broke in: nothing more is heard of it, and nothing more has to be written."""
        if not self.settled:
            self.was_written = self.written.is_set()
            self.cut.set()
            self._settled.set()

    def finish(self) -> None:
        """It was heard to its end; or it cannot be spoken, and is read instead."""
        self._settled.set()

    def part_of(self, text: str) -> str:
        """What of the answer was heard, as far as that is known; all of it when nobody broke in."""
        return text if self.settled and not self.interrupted else text[: self.offset].rstrip()

    async def wait(self) -> None:
        """Until it is known how much was heard."""
        await self._settled.wait()
