"""Everything ElevenLabs can do wrong: the right error, in time, in the provider's words, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing
from typing import Any

import pytest

from backend.errors import SpeechError, SpeechFailed, SpeechTimeout, SpeechUnavailable, UnknownVoice
from backend.gateways.elevenlabs_voice import MOST_PAGES, ElevenLabsVoice
from backend.tests.fair_time import done_within
from backend.tests.gateways.speech_meetings import (
    FAIR,
    KEY,
    LONGEST_WAIT,
    SENTENCE,
    SHORT,
    elevenlabs,
    fit_to_show,
    nothing_left,
    said,
    settings,
)
from backend.tests.protocol_servers.elevenlabs_server import SARAH, ElevenLabsServer
from backend.tests.protocol_servers.speech_audio import hummed

Case = tuple[type[SpeechError], str, int]

SPEAKING: dict[str, Case] = {
    "dead": (SpeechUnavailable, "nobody accepts connections", 0),
    "reset": (SpeechUnavailable, "the connection was lost before", 2),
    "hang_up": (SpeechUnavailable, "the connection was lost before", 2),
    "cut_before_audio": (SpeechUnavailable, "the connection was lost before", 2),
    "slow_headers": (SpeechTimeout, "did not begin to speak within", 1),
    "slow_first_byte": (SpeechTimeout, "did not begin to speak within", 1),
    "stalled": (SpeechTimeout, "did not finish its answer within", 1),
    "endless": (SpeechTimeout, "did not finish its answer within", 1),
    "dripping": (SpeechTimeout, "did not finish its answer within", 1),
    "unauthorized": (SpeechUnavailable, "refuses the key .answer 401.: Invalid API key; check ELEVENLABS_API_KEY", 1),
    "quota": (SpeechUnavailable, "quota is used up .answer 401.: This request exceeds your quota", 1),
    "voice_not_found": (UnknownVoice, "nobody was not found.; GET /api/v1/voices lists", 1),
    "unprocessable": (SpeechFailed, "422: body.voice_settings.speed: ensure this is at most 1.2", 1),
    "rate_limited": (SpeechUnavailable, "limits how often we may ask: Too many concurrent requests", 2),
    "status": (SpeechFailed, "answers 500: Something broke", 2),
    "plain_error": (SpeechFailed, "answers 500", 2),
    "cut": (SpeechFailed, "broke in the middle", 1),
    "cut_by_reset": (SpeechFailed, "broke in the middle", 1),
    "no_audio": (SpeechFailed, "no audio", 1),
    "mp3": (SpeechFailed, "audio/mpeg where PCM", 1),
    "html": (SpeechFailed, "text/html where PCM", 1),
    "html_as_json": (SpeechFailed, "application/json where PCM", 1),
    "redirect": (SpeechFailed, "302, a redirect; check its base URL", 1),
    "compressed": (SpeechFailed, "compressed", 1),
    "bad_http": (SpeechFailed, "no valid HTTP", 1),
    "late_bad_chunks": (SpeechFailed, "no valid HTTP", 1),
    "gigantic_error": (SpeechFailed, "larger than", 1),
}
TIMED: dict[str, Case] = SPEAKING | {
    "mp3": (SpeechFailed, "audio/mpeg where JSON", 1),
    "html": (SpeechFailed, "text/html where JSON", 1),
    "html_as_json": (SpeechFailed, "no audio", 1),
    "truncated_json": (SpeechFailed, "no audio", 1),
    "deep_json": (SpeechFailed, "no audio", 1),
    "bad_base64": (SpeechFailed, "no base64", 1),
    "odd_lines": (SpeechFailed, "no base64", 1),
}
LISTING: dict[str, Case] = {
    name: SPEAKING[name]
    for name in ("dead", "reset", "hang_up", "unauthorized", "rate_limited", "status", "redirect", "compressed")
} | {
    "slow_headers": (SpeechTimeout, "did not finish its answer within", 1),
    "html": (SpeechFailed, "no valid JSON", 1),
    "empty_body": (SpeechFailed, "no valid JSON", 1),
    "truncated_json": (SpeechFailed, "no valid JSON", 1),
    "json_list": (SpeechFailed, "another shape", 1),
    "json_null": (SpeechFailed, "another shape", 1),
    "deep_json": (SpeechFailed, "no valid JSON", 1),
    "other_page": (SpeechFailed, "another shape", 1),
}


@pytest.fixture(scope="module", autouse=True)
def nothing_unclosed() -> Generator[None]:
    """Look once, after all faults, for what nobody closed: their warnings are errors."""
    yield
    gc.collect()


@pytest.fixture
async def hurried(elevenlabs_server: ElevenLabsServer, case: Case) -> AsyncGenerator[ElevenLabsVoice]:
    """A voice with short deadlines, and the check that nothing of it stays."""
    before = asyncio.all_tasks()
    # Only what is slow waits for the deadline; the others must not meet it on a busy machine.
    patient = elevenlabs(elevenlabs_server.base_url, FAIR)
    await said(patient)  # what is slow the first time only is behind us
    await patient.close()
    voice = elevenlabs(elevenlabs_server.base_url, SHORT if case[0] is SpeechTimeout else FAIR)
    elevenlabs_server.requests.clear()
    yield voice
    await voice.close()
    await nothing_left(before, elevenlabs_server)


@pytest.mark.parametrize(("kind", "case"), SPEAKING.items())
async def test_speaking(hurried: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer, kind: str, case: Case) -> None:
    expected, words, requests = case
    elevenlabs_server.fault(kind)
    async with done_within(LONGEST_WAIT):
        with pytest.raises(expected, match=words) as caught:
            await said(hurried)
    assert len(elevenlabs_server.requests) == requests
    fit_to_show(caught.value, "elevenlabs")


@pytest.mark.parametrize(("kind", "case"), TIMED.items())
async def test_speaking_with_times(
    hurried: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer, kind: str, case: Case
) -> None:
    expected, words, requests = case
    elevenlabs_server.fault(kind)
    told: list[int] = []

    def on_said(characters: int, _: float) -> None:
        told.append(characters)

    async with done_within(LONGEST_WAIT):
        with pytest.raises(expected, match=words) as caught:
            await said(hurried, on_said=on_said)
    assert len(elevenlabs_server.requests) == requests
    assert not told
    fit_to_show(caught.value, "elevenlabs")


@pytest.mark.parametrize(("kind", "case"), LISTING.items())
async def test_listing_voices(
    hurried: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer, kind: str, case: Case
) -> None:
    expected, words, requests = case
    elevenlabs_server.fault(kind)
    async with done_within(LONGEST_WAIT):
        with pytest.raises(expected, match=words) as caught:
            await hurried.voices()
    assert len(elevenlabs_server.requests) == requests
    fit_to_show(caught.value, "elevenlabs")


@pytest.mark.parametrize("case", [(SpeechError, "", 0)])
@pytest.mark.parametrize("kind", ["reset", "hang_up", "cut_before_audio", "rate_limited", "status", "plain_error"])
async def test_a_second_attempt_saves_the_sentence(
    hurried: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer, kind: str, case: Case
) -> None:
    elevenlabs_server.fault(kind, times=1)
    assert await said(hurried) == hummed(SENTENCE)
    assert len(elevenlabs_server.requests) == 2


@pytest.mark.parametrize("case", [(SpeechError, "", 0)])
async def test_it_waits_as_long_as_it_is_asked_to(
    hurried: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer, case: Case
) -> None:
    elevenlabs_server.fault("rate_limited", times=1, retry_after="0.8")
    started = time.monotonic()
    assert await said(hurried) == hummed(SENTENCE)
    assert time.monotonic() - started >= 0.8


@pytest.mark.parametrize("case", [(SpeechError, "", 0)])
@pytest.mark.parametrize(
    ("kind", "options"), [("rate_limited", {}), ("status", {"status": 503})], ids=["rate_limited", "unavailable"]
)
async def test_it_does_not_wait_beyond_its_deadline(
    hurried: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer, kind: str, options: dict[str, Any], case: Case
) -> None:
    elevenlabs_server.fault(kind, retry_after="30", **options)
    async with done_within(1.5):
        with pytest.raises(SpeechUnavailable) as caught:
            await said(hurried)
    assert caught.value.context["retry_after"] == 30
    assert len(elevenlabs_server.requests) == 1


@pytest.mark.parametrize("case", [(SpeechError, "", 0)])
async def test_what_was_said_before_the_cut_is_heard_once(
    hurried: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer, case: Case
) -> None:
    elevenlabs_server.fault("cut", times=1)
    heard: list[bytes] = []

    async def listen() -> None:
        async with aclosing(hurried.speak("Half of it.", settings())) as spoken:
            async for piece in spoken:
                heard.append(piece)

    with pytest.raises(SpeechFailed, match="broke in the middle"):
        await listen()
    assert heard
    assert hummed("Half of it.").startswith(b"".join(heard))
    assert len(elevenlabs_server.requests) == 1


@pytest.mark.parametrize("case", [(SpeechError, "", 0)])
@pytest.mark.parametrize(
    "message", [f"The key {KEY} is wrong", "The key sk_canary47…711 is wrong", f"line\n{KEY}\x00" + KEY * 200]
)
async def test_a_provider_that_repeats_the_key(
    hurried: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer, message: str, case: Case
) -> None:
    elevenlabs_server.fault("unauthorized", message=message)
    for ask in (said(hurried), hurried.voices()):
        with pytest.raises(SpeechUnavailable, match="ELEVENLABS_API_KEY") as caught:
            await ask
        fit_to_show(caught.value, "elevenlabs")


@pytest.mark.parametrize("case", [(SpeechError, "", 0)])
async def test_an_unknown_voice(hurried: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer, case: Case) -> None:
    elevenlabs_server.known = {SARAH["voice_id"]}
    with pytest.raises(UnknownVoice, match="404: A voice with voice_id nobody was not found"):
        await said(hurried, voice_id="nobody")
    assert await said(hurried) == hummed(SENTENCE)


async def test_nobody_answers_the_knock() -> None:
    with socket.socket() as full:  # connections wait in its queue of one, and the next one is not answered at all
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        host, port = full.getsockname()
        waiting = [await asyncio.open_connection(host, port) for _ in range(1)]
        voice = elevenlabs(f"http://{host}:{port}", {**FAIR, "connect_seconds": 0.2})
        async with done_within(LONGEST_WAIT + 2):  # the SDK may be loaded in this time
            with pytest.raises(SpeechTimeout, match="did not accept a connection within") as caught:
                await said(voice)
        fit_to_show(caught.value, "elevenlabs")
        await voice.close()
        for _, writer in waiting:
            writer.close()


async def test_audio_that_is_larger_than_any_text(elevenlabs_server: ElevenLabsServer) -> None:
    voice = elevenlabs(elevenlabs_server.base_url, FAIR)
    elevenlabs_server.fault("gigantic")
    with pytest.raises(SpeechFailed, match="larger than"):
        async for _ in voice.speak(SENTENCE, settings()):
            pass
    await voice.close()


@pytest.mark.parametrize("case", [(SpeechError, "", 0)])
async def test_a_list_without_an_end(hurried: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer, case: Case) -> None:
    elevenlabs_server.voices = [{"voice_id": f"voice-{place}"} for place in range(5000)]
    assert len(await hurried.voices()) <= 1000
    assert len(elevenlabs_server.requests) <= MOST_PAGES


async def test_closed_under_us(elevenlabs_server: ElevenLabsServer) -> None:
    voice = elevenlabs(elevenlabs_server.base_url)
    await said(voice)
    await voice.close()
    with pytest.raises(SpeechFailed):
        await said(voice)
