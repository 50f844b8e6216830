"""What a session sounds like: spoken once, kept while it is used, gone with its session."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from backend.errors import (
    Invalid,
    SessionNotFound,
    SessionState,
    ShuttingDown,
    SpeechFailed,
    SpeechUnavailable,
    Unavailable,
)
from backend.gateways.audio_files import DiskAudioFiles
from backend.models.agent_requests import AgentUpdateRequest
from backend.models.session import Session
from backend.models.tenant import Caller, Role
from backend.ports.speech import SAMPLE_RATE
from backend.services.session_audio import Recording
from backend.stores.database import Database
from backend.tests.factories import TenantFactory, make_user
from backend.tests.fake_speech import ALIASES, Studio, spoken
from backend.tests.fakes import says
from backend.tests.services.held_files import HeldFiles
from backend.tests.services.interviewing import REFLECTION, SCRIPT, TEXTS, consented, default_agents, ended
from backend.tests.services.one_server import OneServer, one_server

if TYPE_CHECKING:
    from asyncpg import Connection

WHOLE = spoken("Breathe in.") + bytes(4 * SAMPLE_RATE * 2) + b"".join(spoken(one) for one in ("And out.", *TEXTS[1:]))


@pytest.fixture
async def server(database: Database) -> AsyncGenerator[OneServer]:
    async with one_server(database) as opened:
        yield opened


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audio"


@pytest.fixture
async def studio(database: Database, folder: Path) -> AsyncGenerator[Studio]:
    opened = Studio(database, DiskAudioFiles(folder))
    yield opened
    await opened.recordings.close()


async def completed(server: OneServer, caller: Caller) -> Session:
    """A session whose script is written."""
    session = await consented(server, caller)
    server.model.then(*SCRIPT, says(REFLECTION))
    run = await server.sessions.write(caller, session.id)
    assert (await ended(server, caller, run.id)).status == "completed"
    return session


@pytest.fixture
async def session(server: OneServer, caller: Caller) -> Session:
    await default_agents(server, caller)
    return await completed(server, caller)


async def heard(studio: Studio, recording: Recording, begin: int = 0, end: int | None = None) -> bytes:
    async with aclosing(studio.recordings.pieces(recording, begin, end)) as pieces:
        return b"".join([piece async for piece in pieces])


def kept(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


async def until_said(studio: Studio, text: str) -> None:
    async with asyncio.timeout(30):
        while text not in studio.said:  # noqa: ASYNC110 — what a voice is asked, nobody else is told
            await asyncio.sleep(0.001)


# --- undisturbed ---


async def test_the_parts_are_heard_with_their_silences_in_the_voice_of_the_plan(
    studio: Studio, caller: Caller, session: Session, folder: Path
) -> None:
    recording = await studio.recordings.recording(caller, session.id)
    assert (recording.provider, recording.note, len(recording.parts)) == ("elevenlabs", "", 4)
    assert await studio.recordings.kept(recording) is None
    assert await heard(studio, recording) == WHOLE
    assert (await studio.recordings.make(recording)).length == len(WHOLE)
    assert {(one.voice_id, one.speed) for _, one in studio.eleven.said} == {(ALIASES["calm-female"], 0.9)}
    assert len(kept(folder)) == 4


async def test_it_is_spoken_once(studio: Studio, caller: Caller, session: Session) -> None:
    recording = await studio.recordings.recording(caller, session.id)
    assert await heard(studio, recording) == await heard(studio, recording) == WHOLE
    again = await studio.recordings.recording(caller, session.id)
    assert await studio.recordings.kept(again) == await studio.recordings.make(recording)
    assert await heard(studio, again) == WHOLE
    assert studio.said == ["Breathe in.", "And out.", *TEXTS[1:]]


@pytest.mark.parametrize(
    ("begin", "end"), [(0, 10), (5, None), (700, 900), (len(WHOLE) - 3, None), (0, len(WHOLE)), (130_000, 133_001)]
)
async def test_any_piece_of_it(studio: Studio, caller: Caller, session: Session, begin: int, end: int | None) -> None:
    recording = await studio.recordings.recording(caller, session.id)
    assert (await studio.recordings.make(recording)).length == len(WHOLE)
    assert await heard(studio, recording, begin, end) == WHOLE[begin:end]


async def test_two_who_listen_at_once_hear_one_voice(studio: Studio, caller: Caller, session: Session) -> None:
    recording = await studio.recordings.recording(caller, session.id)
    heard_by = await asyncio.gather(*(heard(studio, recording) for _ in range(5)))
    assert heard_by == [WHOLE] * 5
    assert studio.said == ["Breathe in.", "And out.", *TEXTS[1:]]


async def test_two_sessions_at_once(server: OneServer, studio: Studio, caller: Caller, session: Session) -> None:
    other = await completed(server, caller)
    recordings = [await studio.recordings.recording(caller, one.id) for one in (session, other)]
    assert await asyncio.gather(*(heard(studio, one) for one in recordings)) == [WHOLE, WHOLE]
    assert len(studio.said) == 10


async def test_the_first_words_are_heard_before_the_last_are_spoken(
    studio: Studio, caller: Caller, session: Session
) -> None:
    recording = await studio.recordings.recording(caller, session.id)
    studio.eleven.gate.clear()
    pieces = studio.recordings.pieces(recording)
    assert await anext(pieces) == spoken("Breathe")
    assert studio.said == ["Breathe in."]
    studio.eleven.gate.set()
    assert spoken("Breathe") + b"".join([one async for one in pieces]) == WHOLE


async def test_a_new_voice_is_another_recording(
    server: OneServer, studio: Studio, caller: Caller, session: Session
) -> None:
    before = await studio.recordings.recording(caller, session.id)
    assert await heard(studio, before) == WHOLE
    slower = AgentUpdateRequest.model_validate({"voice": {"speed": 0.8}})
    await server.agents.update(caller, session.therapy_agent_id, slower)
    after = await studio.recordings.recording(caller, session.id)
    assert await studio.recordings.kept(after) is None
    assert (await studio.recordings.make(after)).tag != (await studio.recordings.make(before)).tag


# --- who may, and when ---


async def test_nothing_is_heard_before_the_script_is_complete(
    server: OneServer, studio: Studio, caller: Caller
) -> None:
    await default_agents(server, caller)
    session = await consented(server, caller)
    with pytest.raises(SessionState, match="intake"):
        await studio.recordings.recording(caller, session.id)
    server.model.then(*SCRIPT[:2], says(""), says(""), says(""), says(""))
    run = await server.sessions.write(caller, session.id)
    await ended(server, caller, run.id)
    with pytest.raises(SessionState):
        await studio.recordings.recording(caller, session.id)
    assert studio.said == []


async def test_it_is_ones_own_but_for_admins(
    database: Database, studio: Studio, caller: Caller, session: Session, tenant: TenantFactory
) -> None:
    colleague = await make_user(database, caller.tenant_id, Role.MEMBER)
    for stranger in (await tenant(), colleague):
        with pytest.raises(SessionNotFound):
            await studio.recordings.recording(stranger, session.id)
    admin = await make_user(database, caller.tenant_id, Role.ADMIN)
    assert await heard(studio, await studio.recordings.recording(admin, session.id)) == WHOLE


async def test_an_agent_without_a_voice(server: OneServer, studio: Studio, caller: Caller, session: Session) -> None:
    silent = AgentUpdateRequest.model_validate(
        {"voice": None, "type": "conversational", "configuration": {"voice_enabled": False}}
    )
    await server.agents.update(caller, session.therapy_agent_id, silent)
    with pytest.raises(Invalid, match="no `voice`"):
        await studio.recordings.recording(caller, session.id)


async def test_without_a_key_the_variable_is_named(
    database: Database, folder: Path, caller: Caller, session: Session
) -> None:
    keyless = Studio(database, DiskAudioFiles(folder), keys=())
    with pytest.raises(SpeechUnavailable, match="ELEVENLABS_API_KEY"):
        await keyless.recordings.recording(caller, session.id)
    first_run = Studio(database, DiskAudioFiles(folder), keys=(), stands_in=True)
    recording = await first_run.recordings.recording(caller, session.id)
    assert (recording.provider, "ELEVENLABS_API_KEY" in recording.note) == ("local", True)
    assert await heard(first_run, recording) == WHOLE


# --- what goes wrong ---


async def test_what_fails_is_told_and_what_was_spoken_is_kept(
    studio: Studio, caller: Caller, session: Session, folder: Path
) -> None:
    recording = await studio.recordings.recording(caller, session.id)
    studio.eleven.fails_at["sleep."] = SpeechFailed("hoarse")
    with pytest.raises(SpeechFailed, match="hoarse"):
        await heard(studio, recording)
    assert len(kept(folder)) == 2
    studio.eleven.fails_at.clear()
    assert await heard(studio, recording) == WHOLE
    assert studio.said == ["Breathe in.", "And out.", "Down.", "You sleep.", "You sleep.", "Wake up."]


async def test_who_goes_away_leaves_a_whole_part_behind_and_no_more(
    studio: Studio, caller: Caller, session: Session, folder: Path
) -> None:
    recording = await studio.recordings.recording(caller, session.id)
    studio.eleven.gate.clear()
    pieces = studio.recordings.pieces(recording)
    await anext(pieces)
    await pieces.aclose()
    studio.eleven.gate.set()
    first = Recording(recording.parts[:1], "", "")
    async with asyncio.timeout(30):
        while await studio.recordings.kept(first) is None:  # noqa: ASYNC110 — a file
            await asyncio.sleep(0.001)
    assert studio.said == ["Breathe in.", "And out."]
    assert len(kept(folder)) == 1


async def test_killed_in_the_middle_another_server_goes_on(
    database: Database, studio: Studio, caller: Caller, session: Session, folder: Path
) -> None:
    recording = await studio.recordings.recording(caller, session.id)
    studio.eleven.fails_at["Wake"] = SpeechFailed("killed here")
    with pytest.raises(SpeechFailed):
        await heard(studio, recording)
    half_written = kept(folder)[0].with_name(f".{recording.parts[3].key.digest}.999999999.0.tmp")
    half_written.write_bytes(b"half")
    two_hours_ago = time.time() - 2 * 3600
    os.utime(half_written, (two_hours_ago, two_hours_ago))
    after = Studio(database, DiskAudioFiles(folder))
    again = await after.recordings.recording(caller, session.id)
    assert await heard(after, again) == WHOLE
    assert after.said == ["Wake up."]
    await after.recordings.sweep()
    assert len(kept(folder)) == 4


async def test_a_part_that_was_removed_is_spoken_again(
    studio: Studio, caller: Caller, session: Session, folder: Path
) -> None:
    recording = await studio.recordings.recording(caller, session.id)
    first = await studio.recordings.make(recording)
    next(path for path in kept(folder) if recording.parts[1].key.digest in path.name).unlink()
    again = await studio.recordings.make(recording)
    assert again.length == first.length == len(WHOLE)
    assert again.tag != first.tag  # a voice need not say a thing twice in the same way
    assert studio.said.count("Down.") == 2
    next(path for path in kept(folder) if recording.parts[0].key.digest in path.name).unlink()
    assert await heard(studio, recording, len(WHOLE) - 100) == WHOLE[-100:]


async def test_a_disk_that_refuses_is_told(
    database: Database, tmp_path: Path, caller: Caller, session: Session
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    studio = Studio(database, DiskAudioFiles(blocked))
    recording = await studio.recordings.recording(caller, session.id)
    with pytest.raises(Unavailable, match="cannot be reached"):
        await heard(studio, recording)


async def test_a_server_that_stops_lets_nobody_wait(studio: Studio, caller: Caller, session: Session) -> None:
    recording = await studio.recordings.recording(caller, session.id)
    studio.eleven.gate.clear()
    listening = asyncio.create_task(heard(studio, recording))
    await until_said(studio, "Breathe in.")
    async with asyncio.timeout(30):
        await studio.recordings.close()
        with pytest.raises(ShuttingDown):
            await listening
    with pytest.raises(ShuttingDown):
        await heard(studio, recording)


# --- what goes ---


async def gone(owner: Connection, session_id: UUID) -> None:
    await owner.execute("DELETE FROM sessions WHERE id = $1", session_id)


async def test_a_session_that_is_erased_while_it_is_spoken_leaves_nothing(
    studio: Studio, caller: Caller, session: Session, folder: Path, owner: Connection
) -> None:
    recording = await studio.recordings.recording(caller, session.id)
    studio.eleven.gate.clear()
    listening = asyncio.create_task(heard(studio, recording))
    await until_said(studio, "Breathe in.")
    await gone(owner, session.id)
    await studio.recordings.forget(caller.tenant_id, [session.id])
    assert await studio.recordings.count(caller.tenant_id, [session.id]) == 0
    studio.eleven.gate.set()
    with pytest.raises(SessionNotFound):
        await listening
    with pytest.raises(SessionNotFound):
        await heard(studio, recording)
    assert kept(folder) == []


@pytest.mark.parametrize("step", ["begin", "keep"])
async def test_erased_while_the_disk_is_slow_no_file_appears_afterwards(
    database: Database, caller: Caller, session: Session, folder: Path, owner: Connection, step: str
) -> None:
    files = HeldFiles(folder, step)
    studio = Studio(database, files)
    listening = asyncio.create_task(heard(studio, await studio.recordings.recording(caller, session.id)))
    assert await asyncio.to_thread(files.there.wait, 5)
    await gone(owner, session.id)
    forgetting = asyncio.create_task(studio.recordings.forget(caller.tenant_id, [session.id]))
    await asyncio.wait([forgetting], timeout=0.05)
    assert not forgetting.done()
    files.go.set()
    await forgetting
    with pytest.raises(SessionNotFound):
        await listening
    assert kept(folder) == []


async def test_another_server_that_speaks_it_takes_its_file_back(
    database: Database, studio: Studio, caller: Caller, session: Session, folder: Path, owner: Connection
) -> None:
    """Nobody tells it to stop; it sees for itself, when it is done, that the rows are gone."""
    recording = await studio.recordings.recording(caller, session.id)
    studio.eleven.gate.clear()
    listening = asyncio.create_task(heard(studio, recording))
    await until_said(studio, "Breathe in.")
    await gone(owner, session.id)
    eraser = Studio(database, DiskAudioFiles(folder))
    await eraser.recordings.forget(caller.tenant_id, [session.id])
    studio.eleven.gate.set()
    with pytest.raises((SessionNotFound, Unavailable)):
        await listening
    assert kept(folder) == []


async def test_the_sweep_takes_what_has_no_session(
    server: OneServer, studio: Studio, caller: Caller, session: Session, folder: Path, owner: Connection
) -> None:
    other = await completed(server, caller)
    for one in (session, other):
        await studio.recordings.make(await studio.recordings.recording(caller, one.id))
    await studio.recordings.sweep()
    assert len(kept(folder)) == 8
    await gone(owner, session.id)
    await studio.recordings.sweep()
    assert len(kept(folder)) == 8  # an erasure may be about to count and remove them
    await studio.recordings.sweep()
    assert {path.parent.name for path in kept(folder)} == {str(other.id)}
