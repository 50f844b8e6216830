"""What Deepgram is asked, what it heard, and everything it can do wrong."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest

from backend.errors import Misconfigured, SpeechError, SpeechFailed, SpeechTimeout, SpeechUnavailable
from backend.gateways.deepgram_speech import DeepgramSpeech
from backend.tests.fair_time import done_within
from backend.tests.fixtures_logs import Logs
from backend.tests.gateways.speech_meetings import (
    FAIR,
    KEY,
    LONGEST_WAIT,
    SHORT,
    deepgram,
    fit_to_show,
    nothing_left,
    settings,
)
from backend.tests.protocol_servers.deepgram_server import DEFAULT_TRANSCRIPT, DeepgramServer, transcribed
from backend.tests.protocol_servers.speech_audio import hummed, recording

SOUND = recording(hummed("Something that takes some time to say."))
SECONDS = 38 / 15
WAV = "audio/wav"


@pytest.fixture(scope="module", autouse=True)
def nothing_unclosed() -> Generator[None]:
    """Look once, after all faults, for what nobody closed: their warnings are errors."""
    yield
    gc.collect()


@pytest.fixture
def waits() -> dict[str, float]:
    """The deadlines."""
    return FAIR


@pytest.fixture
async def ears(deepgram_server: DeepgramServer, waits: dict[str, float]) -> AsyncGenerator[DeepgramSpeech]:
    """Ears at the local server, and the check that nothing of them stays."""
    before = asyncio.all_tasks()
    patient = deepgram(deepgram_server.base_url, FAIR)
    await patient.transcribe(SOUND, WAV, settings())  # what is slow the first time only is behind us
    await patient.close()
    ears = deepgram(deepgram_server.base_url, waits)
    deepgram_server.requests.clear()
    yield ears
    await ears.close()
    await nothing_left(before, deepgram_server)


async def test_what_was_said(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    deepgram_server.key = KEY
    deepgram_server.hear_once("I want to sleep again.")
    first = await ears.transcribe(SOUND, WAV, settings())
    assert (first.text, first.confidence) == ("I want to sleep again.", 0.98)
    assert first.seconds == pytest.approx(SECONDS, abs=0.01)
    assert (await ears.transcribe(SOUND, WAV, settings())).text == DEFAULT_TRANSCRIPT


async def test_what_is_asked(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    await ears.transcribe(SOUND, "Audio/WebM; codecs=opus", settings(stt_model="nova-3", stt_language="pt-BR"))
    (asked,) = deepgram_server.requests
    assert (asked.method, asked.path) == ("POST", "/v1/listen")
    assert asked.query == {"model": "nova-3", "language": "pt-BR", "smart_format": "true"}
    assert asked.headers["content-type"] == "audio/webm"
    assert asked.headers["authorization"] == f"Token {KEY}"
    assert asked.raw == SOUND


@pytest.mark.parametrize("media_type", ["", "audio", "audio/wav\r\nx-evil: 1", "ä/ö"])
async def test_a_strange_media_type(ears: DeepgramSpeech, deepgram_server: DeepgramServer, media_type: str) -> None:
    await ears.transcribe(SOUND, media_type, settings())
    assert deepgram_server.requests[0].headers["content-type"] == "application/octet-stream"
    assert "x-evil" not in deepgram_server.requests[0].headers


async def test_silence_is_heard_as_silence(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    deepgram_server.hear("")
    heard = await ears.transcribe(SOUND, WAV, settings())
    assert (heard.text, heard.confidence) == ("", 0.0)
    assert heard.seconds == pytest.approx(SECONDS, abs=0.01)


@pytest.mark.parametrize(
    ("confidence", "duration", "believed"),
    [
        (7, -1, (1.0, 0.0)),
        ("x", "x", (0.0, 0.0)),
        (None, None, (0.0, 0.0)),
        (-1, [1], (0.0, 0.0)),
        (0.5, 3, (0.5, 3)),
        (10**400, 10**400, (0.0, 0.0)),
    ],
)
async def test_numbers_may_be_anything(
    ears: DeepgramSpeech, deepgram_server: DeepgramServer, confidence: Any, duration: Any, believed: tuple[float, float]
) -> None:
    body = transcribed("Hi", 0.9, SOUND)
    body["metadata"]["duration"] = duration
    body["results"]["channels"][0]["alternatives"][0]["confidence"] = confidence
    deepgram_server.fault("shape", body=body)
    heard = await ears.transcribe(SOUND, WAV, settings())
    assert (heard.text, heard.confidence, heard.seconds) == ("Hi", *believed)


async def test_without_a_key_nobody_is_asked(deepgram_server: DeepgramServer) -> None:
    ears = deepgram(deepgram_server.base_url, key=" ")
    with pytest.raises(SpeechUnavailable, match="set DEEPGRAM_API_KEY") as caught:
        await ears.transcribe(SOUND, WAV, settings())
    fit_to_show(caught.value, "deepgram")
    assert not deepgram_server.requests
    await ears.close()


def test_unusable_settings() -> None:
    with pytest.raises(Misconfigured, match="base URL of Deepgram"):
        deepgram("api.deepgram.com")
    with pytest.raises(Misconfigured, match="DEEPGRAM_API_KEY holds"):
        deepgram("http://127.0.0.1:1", key="a b")


async def test_fifty_recordings_at_once(deepgram_server: DeepgramServer) -> None:
    ears = deepgram(deepgram_server.base_url, FAIR)
    sounds = [recording(hummed("la " * place)) for place in range(1, 51)]
    heard = await asyncio.gather(*(ears.transcribe(sound, WAV, settings()) for sound in sounds))
    assert {one.text for one in heard} == {DEFAULT_TRANSCRIPT}
    assert [one.seconds for one in heard] == sorted(one.seconds for one in heard)
    assert {request.raw for request in deepgram_server.requests} == set(sounds)
    await ears.close()


async def test_cancelled_it_leaves_nothing(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    deepgram_server.fault("slow_headers")
    before = asyncio.all_tasks()
    hearing = [asyncio.create_task(ears.transcribe(SOUND, WAV, settings())) for _ in range(20)]
    await asyncio.to_thread(deepgram_server.wait_for_requests, 20)
    for task in hearing:
        task.cancel()
    assert {type(end) for end in await asyncio.gather(*hearing, return_exceptions=True)} == {asyncio.CancelledError}
    await nothing_left(before, deepgram_server)


Case = tuple[type[SpeechError], str, int]
FAULTS: dict[str, Case] = {
    "dead": (SpeechUnavailable, "nobody accepts connections", 0),
    "reset": (SpeechUnavailable, "the connection was lost before", 2),
    "hang_up": (SpeechUnavailable, "the connection was lost before", 2),
    "short_body": (SpeechUnavailable, "the connection was lost before", 2),
    "slow_headers": (SpeechTimeout, "did not finish its answer within", 1),
    "dripping": (SpeechTimeout, "did not finish its answer within", 1),
    "unauthorized": (
        SpeechUnavailable,
        "refuses the key .answer 401.: Invalid credentials.; check DEEPGRAM_API_KEY",
        1,
    ),
    "forbidden": (SpeechUnavailable, "refuses the key .answer 403.: No access to the requested model", 1),
    "no_credits": (SpeechUnavailable, "quota is used up .answer 402.: Project does not have enough credits", 1),
    "rate_limited": (SpeechUnavailable, "limits how often we may ask: Too many requests", 2),
    "status": (SpeechFailed, "answers 500: Something broke", 2),
    "unusable": (SpeechFailed, "answers 400: Bad Request: failed to process audio: corrupt or unsupported data", 1),
    "redirect": (SpeechFailed, "302, a redirect; check its base URL", 1),
    "html": (SpeechFailed, "no valid JSON", 1),
    "html_as_json": (SpeechFailed, "no valid JSON", 1),
    "empty_body": (SpeechFailed, "no valid JSON", 1),
    "truncated_json": (SpeechFailed, "no valid JSON", 1),
    "deep_json": (SpeechFailed, "no valid JSON", 1),
    "json_list": (SpeechFailed, "no transcript", 1),
    "json_null": (SpeechFailed, "no transcript", 1),
    "compressed": (SpeechFailed, "compressed", 1),
    "bad_http": (SpeechFailed, "no valid HTTP", 1),
    "late_bad_chunks": (SpeechFailed, "no valid HTTP", 1),
    "gigantic": (SpeechFailed, "larger than", 1),
    "gigantic_error": (SpeechFailed, "larger than", 1),
}


@pytest.mark.parametrize(
    ("kind", "case", "waits"),
    [(kind, case, SHORT if case[0] is SpeechTimeout else FAIR) for kind, case in FAULTS.items()],
    ids=FAULTS,
)
async def test_faults(ears: DeepgramSpeech, deepgram_server: DeepgramServer, kind: str, case: Case) -> None:
    expected, words, requests = case
    deepgram_server.fault(kind)
    async with done_within(LONGEST_WAIT):
        with pytest.raises(expected, match=words) as caught:
            await ears.transcribe(SOUND, WAV, settings())
    assert len(deepgram_server.requests) == requests
    fit_to_show(caught.value, "deepgram")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"results": 5},
        {"metadata": [], "results": {"channels": {}}},
        {"results": {"channels": []}, "metadata": {}},
        {"results": {"channels": [5]}, "metadata": {}},
        {"results": {"channels": [{"alternatives": [{"transcript": 7}]}]}, "metadata": {}},
        {"_fields_set": 5},
        {"request_id": "later"},
    ],
)
async def test_answers_of_another_shape(ears: DeepgramSpeech, deepgram_server: DeepgramServer, body: Any) -> None:
    deepgram_server.fault("shape", body=body)
    with pytest.raises(SpeechFailed, match="Deepgram gave no usable answer"):
        await ears.transcribe(SOUND, WAV, settings())


@pytest.mark.parametrize("kind", ["reset", "hang_up", "rate_limited", "status", "short_body"])
async def test_a_second_attempt(ears: DeepgramSpeech, deepgram_server: DeepgramServer, kind: str) -> None:
    deepgram_server.fault(kind, times=1)
    assert (await ears.transcribe(SOUND, WAV, settings())).text == DEFAULT_TRANSCRIPT
    assert [request.raw for request in deepgram_server.requests] == [SOUND, SOUND]


async def test_it_does_not_wait_beyond_its_deadline(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    deepgram_server.fault("rate_limited", retry_after="Sun, 15 Nov 2026 12:00:40 GMT")
    with pytest.raises(SpeechUnavailable) as caught:
        await ears.transcribe(SOUND, WAV, settings())
    assert caught.value.context["retry_after"] == 40
    assert len(deepgram_server.requests) == 1


async def test_an_unknown_model(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    with pytest.raises(SpeechFailed, match="400: Bad Request: No such model/language/tier combination found"):
        await ears.transcribe(SOUND, WAV, settings(stt_model="nobody"))


async def test_the_key_is_in_no_log_and_no_error(
    ears: DeepgramSpeech, deepgram_server: DeepgramServer, logs: Logs, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await ears.transcribe(SOUND, WAV, settings())
        deepgram_server.fault("unauthorized", times=1, message=f"The key {KEY} is wrong")
        with pytest.raises(SpeechUnavailable, match="The key … is wrong") as caught:
            await ears.transcribe(SOUND, WAV, settings())
        fit_to_show(caught.value, "deepgram")
        deepgram_server.fault("reset", times=1)
        await ears.transcribe(SOUND, WAV, settings())
    assert caplog.records, "nothing was logged, so nothing was shown"
    told = "".join(f"{record.getMessage()} {record.args} {record.exc_info}" for record in caplog.records)
    assert "canary" not in told + str(logs())
