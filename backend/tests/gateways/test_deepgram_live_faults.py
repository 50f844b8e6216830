"""Everything that can go wrong in a conversation with Deepgram, and what people are told about it."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from backend.errors import SpeechError, SpeechFailed, SpeechTimeout, SpeechUnavailable
from backend.gateways.deepgram_speech import DeepgramSpeech
from backend.ports import SpeechBegan, SpeechEnded, WordsHeard
from backend.tests.fair_time import done_within
from backend.tests.gateways.certificates import certified
from backend.tests.gateways.conversations import FRAME_BYTES, HASTE, Talk, quiet, talk
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
from backend.tests.protocol_servers.deepgram_server import DEFAULT_TRANSCRIPT, DeepgramServer
from backend.tests.protocol_servers.speech_audio import hummed

SPOKEN = hummed(DEFAULT_TRANSCRIPT)


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
    await once(patient)  # what is slow the first time only is behind us
    await patient.close()
    ears = deepgram(deepgram_server.base_url, waits, live=HASTE)
    deepgram_server.requests.clear()
    yield ears
    await ears.close()
    await nothing_left(before, deepgram_server)


async def once(ears: DeepgramSpeech) -> None:
    """A conversation in which nothing happens."""
    async with ears.listen(settings()):
        pass


Case = tuple[type[SpeechError], str, int]
REFUSALS: dict[str, Case] = {
    "dead": (SpeechUnavailable, "nobody accepts connections", 0),
    "reset": (SpeechUnavailable, "the connection was lost before", 2),
    "hang_up": (SpeechUnavailable, "the connection was lost before", 2),
    "short_body": (SpeechUnavailable, "the connection was lost before", 2),
    "slow_headers": (SpeechTimeout, "did not accept a connection within 0.3 s", 1),
    "gigantic_error": (SpeechTimeout, "did not accept a connection within 0.3 s", 1),
    "unauthorized": (
        SpeechUnavailable,
        "refuses the key .answer 401.: Invalid credentials.; check DEEPGRAM_API_KEY",
        1,
    ),
    "forbidden": (SpeechUnavailable, "refuses the key .answer 403.: No access to the requested model", 1),
    "no_credits": (SpeechUnavailable, "quota is used up .answer 402.: Project does not have enough credits", 1),
    "rate_limited": (SpeechUnavailable, "limits how often we may ask: Too many requests", 2),
    "status": (SpeechFailed, "answers 500: Something broke", 2),
    "unusable": (SpeechFailed, "answers 400: Bad Request: failed to process audio", 1),
    "redirect": (SpeechFailed, "302, a redirect; check its base URL", 1),
    "shape": (SpeechFailed, "answers 200 where it should open a WebSocket; check its base URL", 1),
    "html": (SpeechFailed, "where it should open a WebSocket", 1),
    "empty_body": (SpeechFailed, "where it should open a WebSocket", 1),
    "bad_http": (SpeechFailed, "opens no WebSocket", 1),
}


@pytest.mark.parametrize(
    ("kind", "case", "waits"),
    [(kind, case, SHORT if case[0] is SpeechTimeout else FAIR) for kind, case in REFUSALS.items()],
    ids=REFUSALS,
)
async def test_it_cannot_be_opened(
    ears: DeepgramSpeech, deepgram_server: DeepgramServer, kind: str, case: Case
) -> None:
    expected, words, requests = case
    deepgram_server.fault(kind)
    async with done_within(LONGEST_WAIT):
        with pytest.raises(expected, match=words) as caught:
            await once(ears)
    assert len(deepgram_server.requests) == requests
    fit_to_show(caught.value, "deepgram")


@pytest.mark.parametrize("kind", ["reset", "hang_up", "rate_limited", "status"])
async def test_a_second_attempt(ears: DeepgramSpeech, deepgram_server: DeepgramServer, kind: str) -> None:
    deepgram_server.fault(kind, times=1)
    async with talk(ears) as one:
        await one.say(SPOKEN + quiet(0.4))
        await one.end_of_turn()
    assert one.turns() == [DEFAULT_TRANSCRIPT]
    assert len(deepgram_server.requests) == 2


async def test_it_says_how_long_to_wait(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    deepgram_server.fault("rate_limited", retry_after="40")
    with pytest.raises(SpeechUnavailable) as caught:
        await once(ears)
    assert caught.value.context["retry_after"] == 40
    assert len(deepgram_server.requests) == 1


async def test_a_reason_that_is_in_a_header_only(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    deepgram_server.fault("bodiless", dg_error=f"Bad Request: no model for {KEY}")
    with pytest.raises(SpeechFailed, match=r"answers 400: Bad Request: no model for …$") as caught:
        await once(ears)
    fit_to_show(caught.value, "deepgram")


async def test_an_unknown_model(ears: DeepgramSpeech) -> None:
    with pytest.raises(SpeechFailed, match="400: Bad Request: No such model/language/tier combination found"):
        async with ears.listen(settings(stt_model="nobody")):
            pass


async def test_a_certificate_that_nobody_trusts(tmp_path: Path) -> None:
    shows, _ = certified("localhost", tmp_path)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=shows)
    ears = deepgram(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        with pytest.raises(SpeechUnavailable, match="its TLS certificate is not trusted") as caught:
            await once(ears)
        fit_to_show(caught.value, "deepgram")
        await ears.close()


async def test_a_slow_handshake_is_waited_for(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    deepgram_server.handshake_seconds = 0.2
    await once(ears)


async def broken(one: Talk) -> SpeechError:
    """What the events broke with, when all that may be asked of the ears breaks with it too."""
    with pytest.raises(SpeechError) as caught:
        await one.until(SpeechEnded)
    for asked in (lambda: one.ears.hear(quiet(0.02)), one.ears.finalize):
        with pytest.raises(SpeechError) as again:
            await asked()
        assert (type(again.value), again.value.detail) == (type(caught.value), caught.value.detail)
    fit_to_show(caught.value, "deepgram")
    return caught.value


ENDS: dict[str, tuple[dict[str, Any], type[SpeechError], str]] = {
    "1011": ({"code": 1011, "reason": "net0000"}, SpeechUnavailable, r"ended the conversation .code 1011.: net0000"),
    "1001": ({"code": 1001, "reason": ""}, SpeechUnavailable, r"ended the conversation .code 1001.$"),
    "1013": ({"code": 1013, "reason": "busy"}, SpeechUnavailable, r"ended the conversation .code 1013.: busy"),
    "1008": (
        {"code": 1008, "reason": f"DATA-0000 of {KEY}"},
        SpeechFailed,
        r"Deepgram ended the conversation .code 1008.: DATA-0000 of …$",
    ),
    "4000": ({"code": 4000, "reason": ""}, SpeechFailed, r"Deepgram ended the conversation .code 4000.$"),
}


@pytest.mark.parametrize(("options", "expected", "words"), ENDS.values(), ids=ENDS)
async def test_closed_in_the_middle(
    ears: DeepgramSpeech,
    deepgram_server: DeepgramServer,
    options: dict[str, Any],
    expected: type[SpeechError],
    words: str,
) -> None:
    deepgram_server.socket_fault("close", after_bytes=len(SPOKEN) // 2, **options)
    async with talk(ears) as one:
        await one.say(SPOKEN[: len(SPOKEN) // 2 + FRAME_BYTES])
        error = await broken(one)
    assert any(isinstance(event, SpeechBegan) for event in one.heard), "what came before is not lost"
    with pytest.raises(expected, match=words):
        raise error


async def test_the_connection_is_lost_in_the_middle(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    async with talk(ears) as one:
        await one.say(quiet(0.1))
        await asyncio.to_thread(deepgram_server.wait_for_audio, 3200)
        deepgram_server.abort()
        assert "the connection was lost in the middle" in (await broken(one)).detail


async def test_it_ends_in_good_order(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    async with talk(ears) as one:
        deepgram_server.hang_up(1000)
        async with asyncio.timeout(30):
            await one.listening
        with pytest.raises(SpeechUnavailable, match=r"ended the conversation .code 1000"):
            await one.ears.hear(quiet(0.02))


async def test_nothing_is_heard_for_too_long(deepgram_server: DeepgramServer) -> None:
    deepgram_server.idle_seconds = 0.1
    ears = deepgram(deepgram_server.base_url)
    async with talk(ears) as one:
        error = await broken(one)
        assert isinstance(error, SpeechUnavailable)
        assert "code 1011" in error.detail
        assert "did not receive audio data" in error.detail
    await ears.close()


DEEP = "[" * 100_000
RUBBISH: dict[str, tuple[str | bytes, str]] = {
    "no JSON": ("Hello?", "no valid JSON"),
    "nothing": ("", "no valid JSON"),
    "too deep": (DEEP, "no valid JSON"),
    "a list": ("[]", "no object"),
    "null": ("null", "no object"),
    "bytes": (b'{"type": "UtteranceEnd"}', "bytes where there should be text"),
    "too large": (f'"{"x" * 1_100_000}"', "too large a message"),
    "no words": ('{"type": "Results"}', "no transcript"),
    "words of a number": ('{"type": "Results", "channel": {"alternatives": [{"transcript": 5}]}}', "no transcript"),
    "no alternatives": ('{"type": "Results", "channel": {"alternatives": []}}', "no transcript"),
    "no channel": ('{"type": "Results", "channel": [1], "is_final": true}', "no transcript"),
    "endless words": (
        json.dumps({"type": "Results", "channel": {"alternatives": [{"transcript": "x" * 20_001}]}}),
        "longer than 20000",
    ),
    "no time": ('{"type": "Results", "channel": {"alternatives": [{"transcript": "Hi"}]}}', "no time"),
    "a word without time": (
        '{"type": "Results", "channel": {"alternatives": [{"transcript": "Hi", "words": [{"end": null}]}]}}', "no time",
    ),
    "not a number": ('{"type": "SpeechStarted", "timestamp": NaN}', "no time"),
    "no end of numbers": ('{"type": "UtteranceEnd", "last_word_end": Infinity}', "no time"),
    "a huge number": (f'{{"type": "UtteranceEnd", "last_word_end": 1{"0" * 400}}}', "no time"),
    "true for a number": ('{"type": "UtteranceEnd", "last_word_end": true}', "no time"),
    "an error": ('{"type": "Error", "description": "Could not deserialize"}', "it says: Could not deserialize"),
    "an error without words": ('{"type": "Error", "description": 5}', "an error without words"),
    "an error with the key": (json.dumps({"type": "Error", "message": f"{KEY}\nis bad"}), "it says: … is bad"),
}  # fmt: skip


@pytest.mark.parametrize(("message", "words"), RUBBISH.values(), ids=RUBBISH)
async def test_rubbish(ears: DeepgramSpeech, deepgram_server: DeepgramServer, message: str | bytes, words: str) -> None:
    async with talk(ears) as one:
        deepgram_server.tell(message)
        error = await broken(one)
    assert isinstance(error, SpeechFailed)
    assert "Deepgram gave no usable answer" in error.detail
    assert words in error.detail


async def test_what_is_not_known_is_left_alone(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    async with talk(ears) as one:
        deepgram_server.tell(
            {"type": "Metadata", "duration": "x"}, {"type": "Brandnew", "start": []}, {"type": None}, {}
        )
        deepgram_server.tell({"type": "ConfigureFailure"}, {"type": "UtteranceEnd", "last_word_end": -1})
        assert (await one.until(SpeechEnded)).seconds == 0.0
    assert len(one.heard) == 1


async def test_words_are_fit_to_be_stored(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    results = {"type": "Results", "start": 0, "duration": 1, "is_final": True}
    text = " a\x00b \ud83d\ude00 \ud800 "
    async with talk(ears) as one:
        deepgram_server.tell({**results, "channel": {"alternatives": [{"transcript": text}]}})
        words = await one.until(WordsHeard)
    assert words.text == "a\ufffdb \U0001f600 \ufffd"


async def test_too_much_at_once(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    deepgram_server.socket_fault("send", messages=('{"type": "SpeechStarted", "timestamp": 1}',) * 1500)
    async with ears.listen(settings()) as listening:

        async def until_it_breaks() -> None:
            while True:
                await listening.hear(quiet(0.02))
                await asyncio.sleep(0.005)

        with pytest.raises(SpeechFailed, match="more than 1000 things at once"):
            await asyncio.wait_for(until_it_breaks(), 30)


@pytest.mark.parametrize("kind", ["silent", "deaf"])
async def test_it_goes_silent(ears: DeepgramSpeech, deepgram_server: DeepgramServer, kind: Any) -> None:
    deepgram_server.socket_fault(kind, after_bytes=FRAME_BYTES)
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(talk(ears))
        await one.say(SPOKEN + quiet(0.5))
        await one.ears.finalize()
        assert (await one.end_of_turn()).text == ""
        async with done_within(2):
            await stack.aclose()
