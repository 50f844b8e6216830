"""What is asked of ElevenLabs, what comes of its audio, and the list of its voices."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from backend.errors import Misconfigured, SpeechFailed, SpeechUnavailable, UnknownVoice
from backend.gateways.elevenlabs_voice import LONGEST_CONTEXT, VOICES_PER_PAGE, ElevenLabsVoice
from backend.tests.fixtures_logs import Logs
from backend.tests.gateways.speech_meetings import (
    KEY,
    SENTENCE,
    SHORT,
    VOICE_ID,
    elevenlabs,
    fit_to_show,
    nothing_left,
    pieces,
    said,
    settings,
)
from backend.tests.protocol_servers.elevenlabs_server import SARAH, ElevenLabsServer
from backend.tests.protocol_servers.speech_audio import hummed


@pytest.fixture
async def voice(elevenlabs_server: ElevenLabsServer) -> AsyncGenerator[ElevenLabsVoice]:
    """A voice at the local server, and the check that nothing of it stays."""
    before = asyncio.all_tasks()
    voice = elevenlabs(elevenlabs_server.base_url)
    yield voice
    await voice.close()
    await nothing_left(before, elevenlabs_server)


async def test_all_of_the_audio_comes(voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer) -> None:
    elevenlabs_server.key = KEY
    assert await said(voice) == hummed(SENTENCE)


async def test_what_is_asked(voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer) -> None:
    heard = await said(
        voice, before="Sit down.", after="Good.", language="de-AT", speed=0.8, stability=0.4, similarity_boost=0.3
    )
    assert heard == hummed(SENTENCE, 0.8)
    (asked,) = elevenlabs_server.requests
    assert (asked.method, asked.path) == ("POST", f"/v1/text-to-speech/{VOICE_ID}/stream")
    assert asked.query == {"output_format": "pcm_16000"}
    assert asked.body == {
        "text": SENTENCE,
        "model_id": "eleven_flash_v2_5",
        "language_code": "de",
        "voice_settings": {"stability": 0.4, "similarity_boost": 0.3, "speed": 0.8},
        "previous_text": "Sit down.",
        "next_text": "Good.",
    }


async def test_the_melody_needs_the_neighbourhood_only(
    voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer
) -> None:
    await said(voice, before="a" * 5000 + "b", after="c" + "d" * 5000)
    body = elevenlabs_server.requests[0].body
    assert body["previous_text"] == "a" * (LONGEST_CONTEXT - 1) + "b"
    assert body["next_text"] == "c" + "d" * (LONGEST_CONTEXT - 1)


@pytest.mark.parametrize(("tag", "code"), [("nb-NO", "no"), ("pt-BR", "pt"), ("fil", "fil")])
async def test_languages(voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer, tag: str, code: str) -> None:
    await said(voice, language=tag)
    assert elevenlabs_server.requests[0].body["language_code"] == code


async def test_a_base_url_with_a_path(elevenlabs_server: ElevenLabsServer) -> None:
    voice = elevenlabs(f"{elevenlabs_server.base_url}/through/a/gateway/")
    with pytest.raises(SpeechFailed, match="404: Not Found"):
        await said(voice)
    assert elevenlabs_server.requests[0].path.startswith("/through/a/gateway/v1/text-to-speech/")
    await voice.close()


@pytest.mark.parametrize("sizes", [[1, 1, 1], [3, 5, 7, 1001], [1023, 1025], [4097, 4095]])
async def test_pieces_are_whole_samples(
    voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer, sizes: list[int]
) -> None:
    elevenlabs_server.piece_sizes = sizes
    came = await pieces(voice)
    assert b"".join(came) == hummed(SENTENCE)
    assert all(piece and len(piece) % 2 == 0 for piece in came)


async def test_silence_is_not_sent(voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer) -> None:
    assert await pieces(voice, " \n ") == []
    assert not elevenlabs_server.requests


@pytest.mark.parametrize("voice_id", ["../v1/user", "a/b", "a?b=c", "", "x" * 65, "é", "a\n", f"{VOICE_ID}/"])
async def test_a_voice_id_cannot_leave_its_place(
    voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer, voice_id: str
) -> None:
    smuggled = settings().model_copy(update={"voice_id": voice_id})
    with pytest.raises(UnknownVoice, match="GET /api/v1/voices") as caught:
        await anext(voice.speak(SENTENCE, smuggled))
    fit_to_show(caught.value, "elevenlabs")
    assert not elevenlabs_server.requests


async def test_without_a_key_nobody_is_asked(elevenlabs_server: ElevenLabsServer) -> None:
    voice = elevenlabs(elevenlabs_server.base_url, key="")
    for ask in (said(voice), voice.voices()):
        with pytest.raises(SpeechUnavailable, match="set ELEVENLABS_API_KEY") as caught:
            await ask
        fit_to_show(caught.value, "elevenlabs")
    assert not elevenlabs_server.requests
    await voice.close()


@pytest.mark.parametrize("base_url", ["api.elevenlabs.io", "ftp://x", "http://", "http://[::1"])
def test_an_unusable_address(base_url: str) -> None:
    with pytest.raises(Misconfigured, match="base URL of ElevenLabs"):
        elevenlabs(base_url)


@pytest.mark.parametrize("key", ["sk canary", "canary\u00e9", "canary\nx"])
def test_an_unusable_key(key: str) -> None:
    with pytest.raises(Misconfigured, match="ELEVENLABS_API_KEY holds") as caught:
        elevenlabs("http://127.0.0.1:1", key=key)
    assert "canary" not in caught.value.detail


async def test_fifty_sentences_at_once(elevenlabs_server: ElevenLabsServer) -> None:
    voice = elevenlabs(elevenlabs_server.base_url)
    texts = [f"Sentence number {place}, {'and on ' * place}." for place in range(50)]
    heard = await asyncio.gather(*(said(voice, text) for text in texts))
    assert [hummed(text) for text in texts] == heard
    assert len(elevenlabs_server.requests) == 50
    await voice.close()


async def test_the_listener_may_take_its_time(voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer) -> None:
    """The deadline counts what is waited for the provider, not the time in which the audio is played."""
    await said(voice)  # what is slow the first time only is behind us
    hurried = elevenlabs(elevenlabs_server.base_url, SHORT)
    elevenlabs_server.piece_sizes = [1000] * 8
    heard: list[bytes] = []
    async with aclosing(hurried.speak(SENTENCE, settings())) as spoken:
        async for piece in spoken:
            heard.append(piece)
            if len(heard) < 4:
                await asyncio.sleep(SHORT["total_seconds"] / 2)
    assert len(heard) >= 4
    assert b"".join(heard) == hummed(SENTENCE)
    await hurried.close()


@pytest.mark.parametrize("taken", [0, 1, 5])
async def test_who_stops_early_leaves_nothing(
    voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer, taken: int
) -> None:
    elevenlabs_server.fault("endless")
    before = asyncio.all_tasks()
    spoken = voice.speak(SENTENCE, settings())
    for _ in range(taken):
        await anext(spoken)
    await spoken.aclose()
    await nothing_left(before, elevenlabs_server)


async def test_cancelled_while_its_connection_is_given_back(
    voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer
) -> None:
    whole = hummed(SENTENCE)
    for moment in range(12):
        heard, all_of_it = bytearray(), asyncio.Event()

        async def listen(heard: bytearray = heard, all_of_it: asyncio.Event = all_of_it) -> None:
            async with aclosing(voice.speak(SENTENCE, settings())) as spoken:
                async for piece in spoken:
                    heard += piece
                    if len(heard) == len(whole):
                        all_of_it.set()

        listening = asyncio.create_task(listen())
        await all_of_it.wait()
        for _ in range(moment):
            await asyncio.sleep(0)
        listening.cancel()
        await asyncio.wait([listening])
    assert await said(voice) == whole
    async with asyncio.timeout(30):
        while elevenlabs_server.open_connections > 1:  # noqa: ASYNC110 — the server sees it a moment later
            await asyncio.sleep(0.01)


async def test_called_off_again_and_again_it_loses_no_connection(
    voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer
) -> None:
    dice = random.Random(1)  # noqa: S311 — repeatable moments

    async def broken_off() -> None:
        speaking = asyncio.create_task(said(voice))
        for _ in range(dice.randint(0, 20)):
            await asyncio.sleep(0)
        await asyncio.sleep(dice.choice([0, dice.random() * 0.01]))
        speaking.cancel()
        await asyncio.wait([speaking])

    for _ in range(160):
        await asyncio.gather(*(broken_off() for _ in range(5)))
    assert await said(voice) == hummed(SENTENCE)
    async with asyncio.timeout(30):
        while elevenlabs_server.open_connections > 5:  # noqa: ASYNC110 — the server sees it a moment later
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", ["slow_headers", "slow_first_byte", "stalled", "endless", "dripping"])
async def test_cancelled_at_any_time_it_leaves_nothing(
    voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer, kind: str
) -> None:
    elevenlabs_server.fault(kind)
    before = asyncio.all_tasks()
    speaking = [asyncio.create_task(said(voice)) for _ in range(8)]
    await asyncio.to_thread(elevenlabs_server.wait_for_requests, 8, 15.0)
    for task in speaking:
        task.cancel()
    assert {type(end) for end in await asyncio.gather(*speaking, return_exceptions=True)} == {asyncio.CancelledError}
    await nothing_left(before, elevenlabs_server)


async def test_connections_are_used_again(voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer) -> None:
    for _ in range(5):
        await said(voice)
        assert elevenlabs_server.open_connections == 1


async def test_the_sdk_is_imported_when_it_is_needed() -> None:
    code = (
        "import sys; import backend.gateways.elevenlabs_voice, backend.gateways.deepgram_speech; "
        "print([name for name in ('elevenlabs', 'deepgram', 'websockets') if name in sys.modules])"
    )
    fresh = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    told, _ = await fresh.communicate()
    assert told.decode().strip() == "[]"


async def test_the_list_of_voices(voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer) -> None:
    elevenlabs_server.voices = [SARAH, {"voice_id": "x1"}]
    sarah, bare = await voice.voices()
    assert (sarah.provider, sarah.voice_id, sarah.name, sarah.language) == (
        "elevenlabs", SARAH["voice_id"], "Sarah", "en",
    )  # fmt: skip
    assert (sarah.description, sarah.preview_url) == ("A calm voice.", "https://voices.example/sarah.mp3")
    assert (bare.voice_id, bare.name, bare.language, bare.description, bare.preview_url) == ("x1", "x1", "", "", "")
    asked = elevenlabs_server.requests[0]
    assert (asked.method, asked.path) == ("GET", "/v2/voices")


async def test_all_pages_of_the_list(voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer) -> None:
    ids = [f"voice-{place}" for place in range(2 * VOICES_PER_PAGE + 1)]
    elevenlabs_server.voices = [{**SARAH, "voice_id": voice_id} for voice_id in ids]
    assert [one.voice_id for one in await voice.voices()] == ids
    assert len(elevenlabs_server.requests) == 3


ODD: dict[str, tuple[dict[str, Any], str, Any]] = {
    "language of what it was verified for": (
        {"labels": {"accent": "nordic"}, "verified_languages": [{"language": "sv", "model_id": "m", "accent": "x"}]},
        "language",
        "sv",
    ),
    "labels instead of a description": (
        {"description": None, "labels": {"gender": "male", "age": "old"}},
        "description",
        "male, old",
    ),
    "a preview that is no address": ({"preview_url": "javascript:alert(1)"}, "preview_url", ""),
    "a preview that is a number": ({"preview_url": 5}, "preview_url", ""),
    "labels that are a list": ({"labels": [1]}, "language", ""),
    "a name with NUL": ({"name": "Sa\x00rah"}, "name", "Sa\ufffdrah"),
    "a name that is a list": ({"name": ["x"]}, "name", SARAH["voice_id"]),
}


@pytest.mark.parametrize("case", ODD)
async def test_voices_may_hold_anything(voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer, case: str) -> None:
    parts, field, value = ODD[case]
    elevenlabs_server.voices = [{**SARAH, **parts}]
    (found,) = await voice.voices()
    assert getattr(found, field) == value


async def test_voices_that_nobody_can_ask_for_are_left_out(
    voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer
) -> None:
    elevenlabs_server.voices = [{**SARAH, "voice_id": "a/b"}, {**SARAH, "voice_id": None}, {"name": "x"}, SARAH, SARAH]
    assert [one.voice_id for one in await voice.voices()] == [SARAH["voice_id"]]


async def test_the_key_is_in_no_log(
    voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer, logs: Logs, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await said(voice)
        elevenlabs_server.fault("unauthorized", times=1, message=f"The key {KEY} is wrong")
        with pytest.raises(SpeechUnavailable):
            await said(voice)
        elevenlabs_server.fault("reset", times=1)
        await said(voice)
    assert caplog.records, "nothing was logged, so nothing was shown"
    told = "".join(f"{record.getMessage()} {record.args} {record.exc_info}" for record in caplog.records)
    assert "canary" not in told + str(logs())
