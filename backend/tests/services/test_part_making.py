"""A part that is being made: whoever stops it, and however often, no file stays open and none stays behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from backend.errors import ShuttingDown
from backend.gateways.audio_files import DiskAudioFiles
from backend.ports.audio_files import AudioKey
from backend.services.part_making import PartMaking
from backend.tests.services.held_files import HeldFiles

STOPPING = ShuttingDown("The server is stopping.", retry_after=2)
MORE_THAN_THERE_ARE_THREADS = 64


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audio"


async def pieces() -> AsyncGenerator[bytes]:
    yield b"1234"
    yield b"5678"


async def there(_: AudioKey) -> bool:
    return True


def open_below(folder: Path) -> list[str]:
    """The files of this folder that this process holds open."""
    found: list[str] = []
    for one in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists them
            found.append(str(one.readlink()))
    return [path for path in found if path.startswith(str(folder))]


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("step", ["begin", "write", "keep", "discard"])
async def test_stopped_twice_while_the_disk_is_slow(folder: Path, step: str) -> None:
    """An erasure and the end of the server come together."""
    files, key = HeldFiles(folder, step), AudioKey(uuid4(), uuid4(), "a" * 64)
    making = PartMaking(files, key, pieces(), there)
    assert await asyncio.to_thread(files.there.wait, 30)
    stopping: list[asyncio.Task[None]] = []
    for _ in range(2):
        stopping.append(asyncio.create_task(making.stop(STOPPING)))
        await asyncio.wait(stopping, timeout=0.02)
    assert not making.done
    files.go.set()
    await asyncio.gather(*stopping)
    assert open_below(folder) == []
    assert names(folder) == ([f"{key.digest}.pcm"] if step in ("keep", "discard") else [])


async def test_stopped_while_the_file_of_a_session_that_is_gone_is_removed(folder: Path) -> None:
    """Whoever erased it believes that nothing of it is written any more."""
    files, asked = HeldFiles(folder, "drop"), 0

    async def there_until_it_is_kept(_: AudioKey) -> bool:
        nonlocal asked
        asked += 1
        return asked == 1

    making = PartMaking(files, AudioKey(uuid4(), uuid4(), "a" * 64), pieces(), there_until_it_is_kept)
    assert await asyncio.to_thread(files.there.wait, 30)
    stopping = asyncio.create_task(making.stop(STOPPING))
    await asyncio.wait([stopping], timeout=0.05)
    assert not making.done
    files.go.set()
    await stopping
    assert names(folder) == []


async def test_stopped_twice_while_the_voice_gives_back_what_it_holds(folder: Path) -> None:
    begun, go, given_back = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def from_a_slow_voice() -> AsyncGenerator[bytes]:
        try:
            yield b"1234"
            begun.set()
            await asyncio.Event().wait()
        finally:
            await go.wait()
            given_back.set()

    making = PartMaking(DiskAudioFiles(folder), AudioKey(uuid4(), uuid4(), "a" * 64), from_a_slow_voice(), there)
    await begun.wait()
    stopping: list[asyncio.Task[None]] = []
    for _ in range(2):
        stopping.append(asyncio.create_task(making.stop(STOPPING)))
        await asyncio.wait(stopping, timeout=0.02)
    go.set()
    await asyncio.gather(*stopping)
    assert given_back.is_set()
    assert names(folder) == []


async def test_stopped_while_every_thread_is_taken(folder: Path) -> None:
    """What has not begun could be called off; giving the file back must not be."""
    loop, go, asked = asyncio.get_running_loop(), threading.Event(), 0
    taken: list[asyncio.Future[bool]] = []

    async def there_and_the_threads_are_taken(_: AudioKey) -> bool:
        nonlocal asked
        asked += 1
        if asked == 2:  # it is kept
            taken.extend(loop.run_in_executor(None, go.wait) for _ in range(MORE_THAN_THERE_ARE_THREADS))
        return True

    making = PartMaking(
        DiskAudioFiles(folder), AudioKey(uuid4(), uuid4(), "a" * 64), pieces(), there_and_the_threads_are_taken
    )
    while not taken:  # noqa: ASYNC110 — it tells nobody
        await asyncio.sleep(0.001)
    stopping = asyncio.create_task(making.stop(STOPPING))
    await asyncio.wait([stopping], timeout=0.05)
    assert len(open_below(folder)) == 1
    go.set()
    await stopping
    await asyncio.gather(*taken)
    assert open_below(folder) == []
