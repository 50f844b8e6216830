"""What Deepgram is asked in a conversation, and what is made of what it hears."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncGenerator, Generator

import psutil
import pytest

from backend.errors import SpeechUnavailable
from backend.gateways.deepgram_live import LivePatience
from backend.gateways.deepgram_speech import DeepgramSpeech
from backend.ports import SpeechBegan, SpeechEnded, WordsHeard
from backend.tests.fixtures_logs import Logs
from backend.tests.gateways.conversations import HASTE, quiet, talk
from backend.tests.gateways.speech_meetings import FAIR, KEY, deepgram, fit_to_show, nothing_left, settings
from backend.tests.protocol_servers.deepgram_server import DeepgramServer
from backend.tests.protocol_servers.speech_audio import hummed, seconds_of

SENTENCE = "I would like to sleep again."
SPOKEN = hummed(SENTENCE)
SECONDS = seconds_of(SENTENCE)


@pytest.fixture(scope="module", autouse=True)
def nothing_unclosed() -> Generator[None]:
    """Look once, after all, for what nobody closed: their warnings are errors."""
    yield
    gc.collect()


@pytest.fixture
async def ears(deepgram_server: DeepgramServer) -> AsyncGenerator[DeepgramSpeech]:
    """Ears at the local server, and the check that nothing of them stays."""
    before = asyncio.all_tasks()
    ears = deepgram(deepgram_server.base_url, FAIR, live=HASTE)
    yield ears
    await ears.close()
    await nothing_left(before, deepgram_server)


async def test_a_turn(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    deepgram_server.hear_once(SENTENCE)
    async with talk(ears) as one:
        await one.say(quiet(0.5) + SPOKEN + quiet(1.5))
        ended = await one.until(SpeechEnded)
        final = await one.end_of_turn()
    began = next(event for event in one.heard if isinstance(event, SpeechBegan))
    guesses = [event for event in one.heard if isinstance(event, WordsHeard) and not event.final]
    assert one.heard.index(began) == 0
    assert began.seconds == pytest.approx(0.5, abs=0.03)
    assert (final.text, final.final) == (SENTENCE, True)
    assert final.seconds == ended.seconds == pytest.approx(0.5 + SECONDS, abs=0.03)
    assert all(SENTENCE.startswith(guess.text) for guess in guesses)
    assert one.turns() == [SENTENCE]


async def test_it_is_told_while_it_is_said(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    deepgram_server.hear_once(SENTENCE)
    async with talk(ears) as one:
        await one.say(SPOKEN[:3200])
        assert (await one.until(SpeechBegan)).seconds == 0.0
        await one.say(SPOKEN[3200:32000])
        guess = await one.until(WordsHeard)
        assert guess.text
        assert not guess.final
        assert not guess.ends_turn
        await one.say(SPOKEN[32000:] + quiet(0.4))
        assert (await one.end_of_turn()).text == SENTENCE


async def test_many_turns(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    said = ["Good morning.", "How are you?", "Let us begin."]
    deepgram_server.hear_once(*said)
    async with talk(ears) as one:
        for number, text in enumerate(said, 1):
            await one.say(hummed(text) + quiet(1.2))
            assert (await one.end_of_turn(number)).text == text
            await one.until(SpeechEnded, count=number)
        assert one.turns() == said
        starts = [event.seconds for event in one.heard if isinstance(event, SpeechBegan)]
    expected = [sum(seconds_of(text) + 1.2 for text in said[:number]) for number in range(3)]
    assert starts == pytest.approx(expected, abs=0.06)


async def test_pieces_of_a_turn(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    deepgram_server.hear_in_pieces_once("I would like to sleep", "but I cannot.")
    async with talk(ears) as one:
        await one.say(hummed("I would like to sleep but I cannot.") + quiet(0.4))
        await one.end_of_turn()
    finals = [event for event in one.heard if isinstance(event, WordsHeard) and event.final]
    assert [(event.text, event.ends_turn) for event in finals] == [
        ("I would like to sleep", False), ("but I cannot.", True),
    ]  # fmt: skip
    assert finals[0].seconds < finals[1].seconds


async def test_an_end_that_only_the_missing_words_tell(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    deepgram_server.hear_in_pieces_once(SENTENCE, speech_final=False)
    async with talk(ears) as one:
        await one.say(SPOKEN + quiet(1.2))
        ended = await one.until(SpeechEnded)
    assert ended.seconds == pytest.approx(SECONDS, abs=0.03)
    assert not [event for event in one.heard if isinstance(event, WordsHeard) and event.ends_turn]
    assert [event.text for event in one.heard if isinstance(event, WordsHeard) and event.final] == [SENTENCE]


async def test_noise_is_no_word(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    deepgram_server.hear_once("", "Hello.")
    async with talk(ears) as one:
        await one.say(SPOKEN + quiet(1.5) + hummed("Hello.") + quiet(0.4))
        await one.end_of_turn()
    assert one.turns() == ["Hello."]
    assert [type(event) for event in one.heard[:2]] == [SpeechBegan, SpeechBegan]


async def test_what_is_asked(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    deepgram_server.key, deepgram_server.keep_audio = KEY, True
    async with talk(ears, stt_model="nova-3", stt_language="pt-BR") as one:
        await one.ears.hear(b"")
        await one.say(SPOKEN)
        await asyncio.to_thread(deepgram_server.wait_for_audio, len(SPOKEN))
        (asked,) = deepgram_server.conversations
        assert asked.query == {
            "model": "nova-3",
            "language": "pt-BR",
            "encoding": "linear16",
            "sample_rate": "16000",
            "channels": "1",
            "interim_results": "true",
            "smart_format": "true",
            "vad_events": "true",
            "endpointing": "300",
            "utterance_end_ms": "1000",
        }
        assert asked.headers["authorization"] == f"Token {KEY}"
        assert KEY not in str(asked.query)
        assert bytes(asked.audio) == SPOKEN
    await asyncio.to_thread(deepgram_server.wait_until_alone)
    assert asked.controls[-1] == "CloseStream"
    assert asked.closed == 1000


async def test_it_stays_awake_in_silence(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    deepgram_server.idle_seconds = 0.3
    async with talk(ears) as one:
        await asyncio.to_thread(deepgram_server.wait_for_control, "KeepAlive", 12)
        assert not one.listening.done()
        await one.say(SPOKEN + quiet(0.4))
        assert await one.end_of_turn()


async def test_audio_keeps_it_awake(deepgram_server: DeepgramServer) -> None:
    ears = deepgram(deepgram_server.base_url, FAIR, live=LivePatience(keep_alive_seconds=0.3))
    async with talk(ears) as one:
        for _ in range(25):
            await one.say(quiet(0.02))
            await asyncio.sleep(0.02)
        await asyncio.to_thread(deepgram_server.wait_for_audio, 25 * 640)
        assert deepgram_server.conversations[-1].controls == ["KeepAlive"], "the one that opens it"
    await ears.close()


async def test_push_to_talk(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    deepgram_server.hear_once(SENTENCE)
    async with talk(ears) as one:
        await one.say(SPOKEN)
        await one.ears.finalize()
        ended = await one.end_of_turn()
        await asyncio.sleep(HASTE.finalize_seconds * 1.5)
        assert one.turns() == [SENTENCE]
    assert ended.seconds == pytest.approx(SECONDS, abs=0.03)
    assert deepgram_server.conversations[-1].controls.count("Finalize") == 1


@pytest.mark.parametrize("answers", [True, False])
async def test_a_turn_ends_when_asked_though_nothing_was_said(
    ears: DeepgramSpeech, deepgram_server: DeepgramServer, answers: bool
) -> None:
    deepgram_server.answers_finalize = answers
    async with talk(ears) as one:
        await one.say(quiet(0.5))
        await one.ears.finalize()
        assert await one.end_of_turn() == WordsHeard("", final=True, ends_turn=True, seconds=0.5)
        await one.ears.finalize()
        await one.end_of_turn(2)
        assert one.turns() == ["", ""]


async def test_a_pause_just_before_it_is_asked_for_ends_nothing(
    ears: DeepgramSpeech, deepgram_server: DeepgramServer
) -> None:
    deepgram_server.answers_finalize = False
    async with talk(ears) as one:
        await one.ears.finalize()
        deepgram_server.tell(results("I was", speech_final=True))
        deepgram_server.tell(results("", speech_final=True), results("saying this.", from_finalize=True))
        await one.end_of_turn()
        assert one.turns() == ["I was saying this."]
        await one.ears.finalize()
        await one.end_of_turn(2)
        deepgram_server.tell(results("", from_finalize=True), results("Late."))
        await one.until(WordsHeard, lambda words: words.text == "Late.")
        assert one.turns() == ["I was saying this.", ""]


async def test_only_the_last_guess_waits(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    async with ears.listen(settings()) as listening:
        deepgram_server.tell(*(results(f"guess {number}", is_final=False) for number in range(2000)))
        deepgram_server.tell(results("This is it."))
        told = listening.events()
        assert (await anext(told)).text.startswith("guess")  # type: ignore[union-attr]
        rest = [await anext(told)]
        while not getattr(rest[-1], "final", False):
            rest.append(await anext(told))
        assert len(rest) < 1000
        assert rest[-1] == WordsHeard("This is it.", final=True, ends_turn=False, seconds=1.0)


def results(
    text: str,
    *,
    is_final: bool = True,
    speech_final: bool = False,
    from_finalize: bool = False,
) -> dict[str, object]:
    """A message as Deepgram writes it, without word times."""
    return {
        "type": "Results",
        "start": 0.25,
        "duration": 0.75,
        "is_final": is_final,
        "speech_final": speech_final,
        "from_finalize": from_finalize,
        "channel": {"alternatives": [{"transcript": text, "words": []}]},
    }


async def test_fifty_at_once_and_fifty_after_each_other(deepgram_server: DeepgramServer) -> None:
    ears = deepgram(deepgram_server.base_url, FAIR)

    async def converse(number: int) -> str:
        async with talk(ears) as one:
            await one.say(hummed(f"la {number}") + quiet(0.4))
            return (await one.end_of_turn()).text

    assert await converse(0)
    await asyncio.to_thread(deepgram_server.wait_until_alone)
    gc.collect()
    before, files = asyncio.all_tasks(), psutil.Process().num_fds()
    assert set(await asyncio.gather(*map(converse, range(50)))) == {"Hello from the test ears."}
    for number in range(50):
        await converse(number)
    await nothing_left(before, deepgram_server)
    assert deepgram_server.open_ears == 0
    assert {one.closed for one in deepgram_server.conversations} == {1000}
    assert psutil.Process().num_fds() <= files
    await ears.close()


async def test_cancelled_while_it_opens(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    await once(ears)
    before = asyncio.all_tasks()
    deepgram_server.fault("slow_headers")
    opening = [asyncio.create_task(once(ears)) for _ in range(20)]
    await asyncio.to_thread(deepgram_server.wait_for_requests, 21)
    for task in opening:
        task.cancel()
    assert {type(end) for end in await asyncio.gather(*opening, return_exceptions=True)} == {asyncio.CancelledError}
    await nothing_left(before, deepgram_server)


async def test_cancelled_in_the_middle(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    await once(ears)
    before = asyncio.all_tasks()
    inside = asyncio.Barrier(21)

    async def endless() -> None:
        async with ears.listen(settings()) as listening:
            await inside.wait()
            async for _ in listening.events():
                pass

    talking = [asyncio.create_task(endless()) for _ in range(20)]
    await inside.wait()
    for task in talking:
        task.cancel()
    assert {type(end) for end in await asyncio.gather(*talking, return_exceptions=True)} == {asyncio.CancelledError}
    await nothing_left(before, deepgram_server)
    assert all("CloseStream" in one.controls for one in deepgram_server.conversations)


async def test_cancelled_again_while_it_closes(ears: DeepgramSpeech, deepgram_server: DeepgramServer) -> None:
    await once(ears)
    before = asyncio.all_tasks()
    deepgram_server.socket_fault("silent")
    inside = asyncio.Event()

    async def converse() -> None:
        async with ears.listen(settings()):
            inside.set()
            await asyncio.Event().wait()

    talking = asyncio.create_task(converse())
    await inside.wait()
    talking.cancel()
    await asyncio.to_thread(deepgram_server.wait_for_control, "CloseStream")
    talking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await talking
    await nothing_left(before, deepgram_server)


async def once(ears: DeepgramSpeech) -> None:
    """A conversation in which nothing happens."""
    async with ears.listen(settings()):
        pass


async def test_what_happens_inside_comes_out(ears: DeepgramSpeech) -> None:
    with pytest.raises(KeyError, match="ours"):
        async with ears.listen(settings()):
            raise KeyError("ours")


async def test_without_a_key_nobody_is_asked(deepgram_server: DeepgramServer) -> None:
    ears = deepgram(deepgram_server.base_url, key=" ")
    with pytest.raises(SpeechUnavailable, match="set DEEPGRAM_API_KEY") as caught:
        await once(ears)
    fit_to_show(caught.value, "deepgram")
    assert not deepgram_server.requests
    await ears.close()


async def test_the_key_is_in_no_log(
    ears: DeepgramSpeech, deepgram_server: DeepgramServer, logs: Logs, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with talk(ears) as one:
            await one.say(SPOKEN + quiet(0.4))
            await one.end_of_turn()
        deepgram_server.fault("unauthorized", times=1, message=f"The key {KEY} is wrong")
        with pytest.raises(SpeechUnavailable, match="The key … is wrong") as caught:
            await once(ears)
        fit_to_show(caught.value, "deepgram")
    assert [record for record in caplog.records if "uthorization" in record.getMessage()], "nothing to hide was logged"
    told = "".join(f"{record.getMessage()} {record.args} {record.exc_info}" for record in caplog.records)
    assert "canary" not in told + str(logs())
