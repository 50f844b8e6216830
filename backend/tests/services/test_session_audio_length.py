"""A session spoken by the real voice of this machine: as long as its words and pauses, part by part, and resumed."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest

from backend.errors import ShuttingDown
from backend.gateways.audio_files import DiskAudioFiles
from backend.gateways.local_voice import LocalVoice
from backend.models.session import Session
from backend.models.tenant import Caller
from backend.models.voice import VoiceSettings
from backend.routers.audio_answer import wav_header
from backend.services.session_audio import Recording, SessionAudio
from backend.services.speakers import Speakers
from backend.services.speech_service import SpeechService
from backend.stores.database import Database
from backend.telemetry import Metrics
from backend.tests.factories import TenantFactory
from backend.tests.fake_speech import ALIASES
from backend.tests.fakes import FrozenClock, says
from backend.tests.services.interviewing import REFLECTION, consented, default_agents, ended
from backend.tests.services.one_server import OneServer, one_server

SCRIPT = (
    "Let your shoulders sink, and breathe in slowly. [pause 3] Breathe out, and let the day go.",
    "With every step you go down a little deeper. [pause 2] Ten, nine, eight. [pause 2] Seven, six, five.",
    "You sleep through the night, and you wake up rested. The sea is calm, and so are you.",
    "Now come back slowly. [pause 4] Open your eyes.",
)
WORDS = [line.split("[pause") for line in SCRIPT]
PAUSES = 3 + 2 + 2 + 4


@pytest.fixture
async def server(database: Database) -> AsyncGenerator[OneServer]:
    async with one_server(database) as opened:
        yield opened


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


class Machine:
    """A server that speaks with the voice of this machine, and keeps audio in this folder."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.local = LocalVoice()
        speakers = Speakers({"local": self.local}, {}, ALIASES, FrozenClock(), stands_in=False)
        self.recordings = SessionAudio(database, SpeechService(database, speakers, Metrics()), DiskAudioFiles(folder))

    async def close(self) -> None:
        await self.recordings.close()
        await self.local.close()


async def written(server: OneServer, caller: Caller, speed: float) -> Session:
    voice = VoiceSettings(provider="local", voice_id="en-us", speed=speed)
    await default_agents(server, caller, voice=voice)
    session = await consented(server, caller)
    server.model.then(*(says(line) for line in SCRIPT), says(REFLECTION))
    run = await server.sessions.write(caller, session.id)
    assert (await ended(server, caller, run.id)).status == "completed"
    return session


async def heard(machine: Machine, recording: Recording) -> bytes:
    async with aclosing(machine.recordings.pieces(recording)) as pieces:
        return b"".join([piece async for piece in pieces])


def seconds_of_file(pcm: bytes) -> float:
    """The length of the file that is made of it, decoded."""
    with wave.open(io.BytesIO(wav_header(len(pcm)) + pcm)) as read:
        assert (read.getnchannels(), read.getsampwidth()) == (1, 2)
        return read.getnframes() / read.getframerate()


async def spoken_seconds(local: LocalVoice) -> float:
    """How long the words take at the voice's own speed, without a session around them."""
    voice = VoiceSettings(provider="local", voice_id="en-us")
    total = 0
    for line in WORDS:
        for piece in line:
            async for audio in local.speak(piece.partition("]")[2] or piece, voice):
                total += len(audio)
    return total / 32_000


@pytest.mark.parametrize("speed", [1.0, 0.9])
async def test_the_file_is_as_long_as_its_words_and_pauses(
    server: OneServer, database: Database, caller: Caller, tmp_path: Path, speed: float
) -> None:
    session = await written(server, caller, speed)
    machine = Machine(database, tmp_path / "audio")
    recording = await machine.recordings.recording(caller, session.id)
    length = seconds_of_file(await heard(machine, recording))
    words = await spoken_seconds(machine.local)
    await machine.close()
    assert length == pytest.approx(words / speed + PAUSES, rel=0.1)
    if speed < 1:  # which the slower speed alone would not be
        assert length > 1.02 * (words + PAUSES)


async def test_what_a_stopped_server_has_spoken_is_kept_and_the_rest_is_spoken_by_the_next(
    server: OneServer, database: Database, caller: Caller, tmp_path: Path
) -> None:
    session = await written(server, caller, 0.9)
    first = Machine(database, tmp_path / "audio")
    recording = await first.recordings.recording(caller, session.id)
    begin = Recording(recording.parts[:1], "", "")
    before = await heard(first, begin)
    assert await first.recordings.kept(recording) is None  # a part is there, and no more
    speaking = asyncio.create_task(heard(first, recording))
    await asyncio.sleep(0)
    await first.close()
    (stopped,) = await asyncio.gather(speaking, return_exceptions=True)
    assert isinstance(stopped, ShuttingDown)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "audio").rglob("*.pcm")}
    assert 1 <= len(kept) < 4
    second = Machine(database, tmp_path / "audio")
    again = await second.recordings.recording(caller, session.id)
    whole = await heard(second, again)
    assert whole.startswith(before)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert seconds_of_file(whole) == pytest.approx(await spoken_seconds(second.local) / 0.9 + PAUSES, rel=0.1)
    await second.close()
