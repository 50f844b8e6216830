"""PartMaking: one part of a session while it is spoken into its file, and everybody who listens to it meanwhile."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing, contextmanager

from backend.errors import NumenError, SessionNotFound, Unavailable
from backend.ports.audio_files import AudioFiles, AudioKey, AudioWriter
from backend.services.uncancelled import done_in_thread
from backend.telemetry import get_logger

PIECE_BYTES = 65_536
_FULL = (errno.ENOSPC, errno.EDQUOT)
_log = get_logger(__name__)


class PartMaking:
    """Bytes go in at the end; any number of listeners read at their own pace, from any place.

    It goes on to its end when nobody listens any more. `is_there` says whether the session still is: the file of one
    that is gone is taken away again.
    """

    def __init__(
        self,
        files: AudioFiles,
        key: AudioKey,
        pieces: AsyncGenerator[bytes],
        is_there: Callable[[AudioKey], Awaitable[bool]],
    ) -> None:
        self.key = key
        self._files = files
        self._is_there = is_there
        self._writer: AudioWriter | None = None
        self._written = 0
        self._news = asyncio.Event()
        self._stopped: NumenError | None = None
        self._task = asyncio.create_task(self._make(pieces))
        self._task.add_done_callback(self._ended)

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._task.done()

    async def whole(self) -> None:
        """Wait until the part is kept. Errors: those of `listen`."""
        await asyncio.wait([self._task])
        self._tell_failure()

    async def listen(self, offset: int) -> AsyncGenerator[bytes]:
        """What comes from this place on, until the part is kept; what is left then stands in its file.

        Errors: `SpeechError`s, `Unavailable` when the disk refuses, `SessionNotFound`.
        """
        while not self.done:
            news = self._news
            piece = await self._read(offset) if offset < self._written else b""
            if piece:
                offset += len(piece)
                yield piece
            elif not self.done:
                await news.wait()
        self._tell_failure()

    async def stop(self, reason: NumenError) -> None:
        """Do not go on, for this reason; back when what it had written is gone."""
        self._stopped = reason
        if not self._task.cancelling():  # a second time would call off what the first one has it give back
            self._task.cancel()
        await asyncio.wait([self._task])

    async def _make(self, pieces: AsyncGenerator[bytes]) -> None:
        try:
            async with aclosing(pieces):
                await self._refuse_gone()
                writer = await self._begun()
                async for piece in pieces:
                    await self._write(writer, piece)
            with told_by_the_disk():
                await done_in_thread(writer.keep)
            await self._refuse_gone()
        finally:
            await self._discard()

    async def _begun(self) -> AudioWriter:
        def begin() -> AudioWriter:
            self._writer = self._files.begin(self.key)  # known at once: who is cancelled meanwhile must discard it
            return self._writer

        with told_by_the_disk():
            return await done_in_thread(begin)

    async def _refuse_gone(self) -> None:
        # Also when it is kept: who erases removes the rows first, and then the files that there are.
        if not await self._is_there(self.key):
            with told_by_the_disk():
                await done_in_thread(self._files.drop, self.key)
            raise SessionNotFound("There is no session with this id.")

    async def _write(self, writer: AudioWriter, piece: bytes) -> None:
        with told_by_the_disk():
            await done_in_thread(writer.write, piece)
        self._written += len(piece)
        self._tell()

    async def _read(self, offset: int) -> bytes:
        if self._writer is None:
            return b""
        with told_by_the_disk():
            return await asyncio.to_thread(self._writer.read, offset, PIECE_BYTES)

    async def _discard(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            await done_in_thread(writer.discard)

    def _tell(self) -> None:
        # Each listener waits for the event that was there when it last looked, so none misses a piece.
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _tell_failure(self) -> None:
        if self._task.cancelled():
            raise self._stopped or SessionNotFound("There is no session with this id.")
        self._task.result()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tell()
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.warning("a part was not spoken", error=type(error).__name__)


@contextmanager
def told_by_the_disk() -> Generator[None]:
    """The seam where a disk that refuses becomes `Unavailable`."""
    try:
        yield
    except OSError as error:
        why = "the disk is full" if error.errno in _FULL else error.strerror or type(error).__name__
        raise Unavailable(f"The files of spoken audio cannot be reached right now: {why}.") from error
