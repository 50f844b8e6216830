"""The process in which espeak-ng speaks, as the server sees it; the frames are described in `espeak_process`."""

from __future__ import annotations

import asyncio
import json
import os
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self, cast

from backend.errors import SpeechUnavailable
from backend.gateways.espeak_voices import PROVIDER, EspeakVoice

COMMAND = (sys.executable, "-m", "backend.embedded.espeak_process")
_ROOT = Path(__file__).parents[2]
_LENGTH = struct.Struct("!I")
_HEAD = struct.Struct("!cI")
# It needs no key of ours, and has none: what it reads aloud is written by anybody.
_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "TMPDIR")


class ChildGone(Exception):
    """The process has ended."""


class EspeakChild:
    """One process. It answers one request at a time; whoever leaves an answer unread must `end` it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._in = cast(asyncio.StreamWriter, process.stdin)
        self._out = cast(asyncio.StreamReader, process.stdout)
        self.voices: tuple[EspeakVoice, ...] = ()

    @classmethod
    async def start(cls, command: Sequence[str] = COMMAND) -> Self:
        """A process that is ready. Errors: `SpeechUnavailable`."""
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=PIPE,
                stdout=PIPE,
                cwd=_ROOT,
                env=environment | {"OPENBLAS_NUM_THREADS": "1"},
                start_new_session=True,  # a Ctrl-C is for the server, which then ends it in its time
            )
        except OSError as error:
            raise SpeechUnavailable(f"The local voice cannot be started: {error}", provider=PROVIDER) from error
        child = cls(process)
        try:
            await child._greet()
        except BaseException:
            await child.end()
            raise
        return child

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it was not seen ending yet."""
        return self._process.returncode is None

    async def ask(self, text: str, voice: str, *, speed: float, pitch: float, rate: int) -> None:
        """Send a sentence. Errors: `ChildGone`."""
        request = {"text": text, "voice": voice, "speed": speed, "pitch": pitch, "rate": rate}
        body = json.dumps(request).encode()
        try:
            self._in.write(_LENGTH.pack(len(body)) + body)
            await self._in.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ChildGone from error

    async def frame(self) -> tuple[bytes, bytes]:
        """The next frame of its answer: the letter and the body. Errors: `ChildGone`."""
        try:
            kind, length = _HEAD.unpack(await self._out.readexactly(_HEAD.size))
            return kind, await self._out.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionResetError) as error:
            raise ChildGone from error

    def kill(self) -> None:
        """End it at once, whatever it does; who reads its answer gets `ChildGone`, and must still `end` it."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> None:
        """End it at once and wait until it is gone. Harmless when it is."""
        self.kill()
        self._in.close()
        with suppress(ConnectionResetError):
            await self._out.read()  # a pipe is closed only once it is read to its end
        await self._process.wait()

    async def _greet(self) -> None:
        try:
            kind, body = await self.frame()
        except ChildGone as error:
            raise SpeechUnavailable("The local voice ended while it was starting", provider=PROVIDER) from error
        if kind != b"H":
            raise SpeechUnavailable(f"The local voice does not start: {body.decode()}", provider=PROVIDER)
        self.voices = tuple(
            EspeakVoice(one["voice_id"], one["name"], tuple((tag, rank) for tag, rank in one["languages"]))
            for one in json.loads(body)
        )
