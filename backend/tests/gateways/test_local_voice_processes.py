"""The processes of the voice of this machine: when they start, die, hang, are asked at once, and are left alone."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import psutil
import pytest

from backend.errors import SpeechError, SpeechFailed, SpeechTimeout, SpeechUnavailable
from backend.gateways.local_voice import LocalVoice
from backend.models.voice import VoiceSettings
from backend.ports.speech import OnSaid
from backend.tests.gateways.odd_espeak import SOUND
from backend.tests.gateways.sounds import alike, sound_of

ROOT = Path(__file__).parents[3]
SETTINGS = VoiceSettings(provider="local", voice_id="en-us")
SENTENCE = "Breathe in slowly, and feel how the air moves."
LONG = f"{SENTENCE} " * 400


class Alone:
    """A voice with one process, and which process that is."""

    def __init__(self) -> None:
        self._before = children()
        self.local = LocalVoice(processes=1)

    @property
    def pids(self) -> set[int]:
        return children() - self._before


@pytest.fixture
async def alone() -> AsyncGenerator[Alone]:
    alone = Alone()
    yield alone
    await alone.local.close()
    assert not alone.pids


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


async def said(local: LocalVoice, text: str = SENTENCE) -> bytes:
    return b"".join([piece async for piece in local.speak(text, SETTINGS)])


def telling(told: list[tuple[int, float]]) -> OnSaid:
    """Who writes down what is told."""

    def on_said(characters: int, seconds: float) -> None:
        told.append((characters, seconds))

    return on_said


def same(one: bytes, other: bytes) -> bool:
    return alike(sound_of(one), sound_of(other))


def odd(how: str, folder: Path, processes: int = 1, seconds: float = 20.0) -> LocalVoice:
    """A voice whose processes behave as `odd_espeak` says."""
    command = [sys.executable, "-m", "backend.tests.gateways.odd_espeak", how, str(folder)]
    return LocalVoice(processes=processes, seconds=seconds, command=command)


def started(folder: Path) -> list[int]:
    """The pids that there have been."""
    return [int(one.name) for one in folder.iterdir()]


async def gone(folder: Path, local: LocalVoice) -> int:
    """How many processes there have been, all of which have ended after the voice was closed."""
    await local.close()
    pids = started(folder)
    assert not [pid for pid in pids if pid in children()]
    return len(pids)


# --- start


async def test_nothing_is_started_before_it_is_needed(alone: Alone) -> None:
    assert await said(alone.local, " ") == b""
    assert not alone.pids
    assert await said(alone.local)
    assert len(alone.pids) == 1


async def test_a_second_process_is_started_for_a_second_caller_only(tmp_path: Path) -> None:
    local = odd("speak", tmp_path, processes=2)
    for _ in range(5):
        await said(local)
    assert len(started(tmp_path)) == 1
    assert set(await asyncio.gather(*(said(local) for _ in range(20)))) == {SOUND}
    assert await gone(tmp_path, local) == 2


async def test_a_program_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    local = LocalVoice(command=[str(tmp_path / "nothing")])
    with pytest.raises(SpeechUnavailable, match="cannot be started"):
        await local.voices()
    with pytest.raises(SpeechUnavailable):
        await said(local)
    await local.close()


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ("greet-badly", SpeechUnavailable, "cannot be loaded .no such file"),
        ("die-before-greeting", SpeechUnavailable, "ended while it was starting"),
        ("never-greet", SpeechTimeout, "not ready within 1 seconds"),
    ],
)
async def test_a_process_that_does_not_start_is_told_and_removed(
    tmp_path: Path, how: str, error: type[SpeechError], words: str
) -> None:
    local = odd(how, tmp_path, seconds=1.0)
    with pytest.raises(error, match=words) as failed:
        await said(local)
    assert failed.value.context == {"provider": "local"}
    with pytest.raises(error):  # the place in the pool was given back
        await said(local)
    assert await gone(tmp_path, local) == 2


async def test_it_inherits_none_of_our_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-made-up")
    local = odd("tell-surroundings", tmp_path)
    with pytest.raises(SpeechFailed) as told:
        await said(local)
    names, folder = json.loads(told.value.detail)
    assert "PATH" in names
    assert "OPENAI_API_KEY" not in names
    assert Path(folder) == ROOT
    await local.close()


# --- death


async def test_a_process_that_was_killed_while_nobody_spoke_is_replaced(alone: Alone) -> None:
    before = await said(alone.local)
    (pid,) = alone.pids
    psutil.Process(pid).kill()
    assert same(await said(alone.local), before)
    assert pid not in alone.pids


async def test_a_process_that_is_killed_while_it_speaks_is_replaced(alone: Alone) -> None:
    before = await said(alone.local)
    for _ in range(5):
        speaking = alone.local.speak(LONG, SETTINGS)
        await anext(speaking)
        (pid,) = alone.pids
        psutil.Process(pid).kill()
        try:
            rest = sum([len(piece) async for piece in speaking])
            assert rest > 300 * len(before)  # the sentence was complete, and the next ones came from another process
        except SpeechFailed as error:
            assert "in the middle of a sentence" in error.detail  # noqa: PT017 — either is right
        assert same(await said(alone.local), before)


async def test_a_death_before_the_first_sound_is_not_noticed(tmp_path: Path) -> None:
    local = odd("die-once", tmp_path)
    assert await said(local) == SOUND
    assert await gone(tmp_path, local) == 2


async def test_two_deaths_before_the_first_sound_are_told(tmp_path: Path) -> None:
    local = odd("die", tmp_path)
    with pytest.raises(SpeechFailed, match="in the middle of a sentence"):
        await said(local)
    assert await gone(tmp_path, local) == 2


async def test_a_death_after_the_first_sound_is_told_and_nothing_is_said_twice(tmp_path: Path) -> None:
    local = odd("die-halfway-once", tmp_path)
    speaking = local.speak(SENTENCE, SETTINGS)
    assert await anext(speaking) == SOUND
    with pytest.raises(SpeechFailed, match="in the middle of a sentence"):
        await anext(speaking)
    assert await said(local) == SOUND
    assert await gone(tmp_path, local) == 2


async def test_words_that_died_with_their_process_are_told_once(tmp_path: Path) -> None:
    local = odd("die-told-once", tmp_path)
    told: list[tuple[int, float]] = []
    audio = b"".join([piece async for piece in local.speak(SENTENCE, SETTINGS, on_said=telling(told))])
    assert audio == SOUND
    assert told == [(7, 0.1), (46, 0.2)]
    assert await gone(tmp_path, local) == 2


async def test_only_words_whose_audio_came_are_told(tmp_path: Path) -> None:
    local = odd("die-halfway", tmp_path)
    told: list[tuple[int, float]] = []
    with pytest.raises(SpeechFailed):
        [piece async for piece in local.speak(SENTENCE, SETTINGS, on_said=telling(told))]
    assert told == [(7, 0.1), (46, 0.2)]
    assert await gone(tmp_path, local) == 1


async def test_a_process_that_hangs_is_ended_at_the_deadline(tmp_path: Path) -> None:
    local = odd("hang-once", tmp_path, seconds=1.0)
    with pytest.raises(SpeechTimeout, match="did not finish a sentence in 1 seconds"):
        await said(local)
    assert await said(local) == SOUND
    assert await gone(tmp_path, local) == 2


async def test_a_refusal_is_told_and_its_process_kept(tmp_path: Path) -> None:
    local = odd("refuse", tmp_path)
    for _ in range(3):
        with pytest.raises(SpeechFailed, match="has no voice en-us"):
            await said(local)
    assert await gone(tmp_path, local) == 1


# --- listeners


async def test_who_listens_slowly_holds_up_nobody(alone: Alone) -> None:
    slow = alone.local.speak(LONG, SETTINGS)
    await anext(slow)
    async with asyncio.timeout(30):
        assert await said(alone.local)
    assert await anext(slow)
    await slow.aclose()


async def test_who_stops_early_leaves_the_process_fit_for_the_next(alone: Alone) -> None:
    whole = await said(alone.local)
    pids = alone.pids
    for _ in range(20):
        stopped = alone.local.speak(LONG, SETTINGS)
        await anext(stopped)
        await stopped.aclose()
    assert same(await said(alone.local), whole)
    assert alone.pids == pids


async def test_callers_may_be_cancelled_at_any_moment(alone: Alone) -> None:
    whole = await said(alone.local)
    for turns in range(60):
        callers = [asyncio.create_task(said(alone.local, LONG)) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for caller in callers:
            caller.cancel()
        await asyncio.wait(callers)
    async with asyncio.timeout(30):
        assert same(await said(alone.local), whole)
    assert len(alone.pids) == 1


async def test_callers_may_be_cancelled_while_the_process_starts() -> None:
    before = children()
    for turns in (0, 1, 2, 5, 20):
        local = LocalVoice(processes=1)
        caller = asyncio.create_task(said(local))
        for _ in range(turns):
            await asyncio.sleep(0)
        caller.cancel()
        await asyncio.wait([caller])
        assert await said(local)
        await local.close()
    assert children() == before


async def test_after_closing_nothing_is_said(alone: Alone) -> None:
    speaking = alone.local.speak(LONG, SETTINGS)
    await anext(speaking)
    hanging = asyncio.create_task(said(alone.local, LONG))
    await asyncio.sleep(0)
    await alone.local.close()
    with pytest.raises(SpeechUnavailable, match="closed"):
        _ = [piece async for piece in speaking]
    with pytest.raises(SpeechUnavailable, match="closed"):
        await hanging
    with pytest.raises(SpeechUnavailable, match="closed"):
        await said(alone.local)
    await alone.local.close()


# --- what is left behind


async def test_two_hundred_sentences_leave_nothing_behind(alone: Alone) -> None:
    us = psutil.Process()
    for _ in range(50):
        await said(alone.local)
    (pid,) = alone.pids
    child = psutil.Process(pid)
    files, theirs = us.num_fds(), (child.num_fds(), child.num_threads())
    ours, memory = us.memory_info().rss, child.memory_info().rss
    for number in range(200):
        await said(alone.local, f"{number}. {SENTENCE}")
    assert alone.pids == {pid}
    assert us.num_fds() < files + 10  # other tests' connections come and go
    assert (child.num_fds(), child.num_threads()) == theirs
    assert us.memory_info().rss - ours < 16_000_000
    assert child.memory_info().rss - memory < 8_000_000


def test_no_process_outlives_a_server_that_is_killed() -> None:
    command = [sys.executable, "-m", "backend.tests.gateways.speaking_server"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        orphans = [psutil.Process(int(pid)) for pid in server.stdout.readline().split()]
        server.kill()
    assert len(orphans) == 2
    _, alive = psutil.wait_procs(orphans, timeout=10)
    assert not alive
