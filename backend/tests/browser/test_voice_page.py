"""A person talks with an agent in a real browser: heard, answered, interrupted, and remembered as it was heard.

Run by `make test-browser`; `make test` leaves this folder out, because it needs a browser and real seconds.
"""

from __future__ import annotations

import pytest

from backend.tests.browser.caller import Caller, Opener, silence
from backend.tests.protocol_servers.deepgram_server import DeepgramServer
from backend.tests.protocol_servers.elevenlabs_server import ElevenLabsServer
from backend.tests.protocol_servers.openai_server import OpenAIServer
from backend.tests.protocol_servers.speech_audio import CHARACTERS_A_SECOND, hummed, seconds_of

ASKED, BROKE_IN = "Which stars can I see tonight?", "Tell me about the moon instead."
LONG = (
    "Tonight you can see the whole of Orion, with the red star Betelgeuse at his shoulder. Below his belt hangs a "
    "sword, and in it glows a cloud where new stars are born. Follow the belt to the left and you come to Sirius, "
    "which is the brightest star of them all. High above stands Jupiter, and a pair of binoculars shows four moons."
)
SHORT = "The moon rises at nine."
SILENT_WITHIN_MS = 150
REPORTED_EVERY_MS = 100
MOST_BUFFERED_MS = 400


async def test_a_conversation_with_an_interruption(
    opener: Opener, openai_server: OpenAIServer, elevenlabs_server: ElevenLabsServer, deepgram_server: DeepgramServer
) -> None:
    openai_server.answer_once(LONG)
    openai_server.answer_once(SHORT)
    deepgram_server.hear_once(ASKED, BROKE_IN)
    caller = await opener.page_of(silence(1) + hummed(ASKED) + silence(6) + hummed(BROKE_IN) + silence(60))
    ready = await caller.connect()
    assert (ready["speaks"]["provider"], ready["listens"]["provider"]) == ("elevenlabs", "deepgram")

    interrupt = await caller.told("interrupt")
    assert (interrupt["turn"], interrupt["reason"]) == (1, "speech")
    second = await caller.told("audio.start", 2)
    assert second["turn"] == 2
    await caller.told("turn.metrics", 2)
    await caller.in_state("listening")

    await _was_heard_until(caller, interrupt["at"], second["at"])
    first_answer, second_answer = await caller.lines("agent")
    assert await caller.lines("person") == [ASKED, BROKE_IN]
    heard, _, unheard = first_answer.partition("~")
    assert heard + unheard.rstrip("~") == LONG
    assert second_answer == SHORT
    played = await caller.all("sent", "played")
    assert [one["ms"] for one in played if one["turn"] == 2][-1] == (await caller.told("audio.end"))["ms"]

    messages = await opener.stored(caller)
    assert [one["content"] for one in messages] == [ASKED, heard, BROKE_IN, SHORT]
    assert messages[1]["status"] == "partial"
    played_ms = max(one["ms"] for one in played if one["turn"] == 1)
    told = messages[1]["metadata"]["voice"]
    assert told["interrupted"] is True
    assert abs(told["played_ms"] - played_ms) <= REPORTED_EVERY_MS, "the server counts on between two reports"
    assert abs(len(heard.split()) - _words_in(played_ms, elevenlabs_server)) <= 1


async def test_a_cough_does_not_silence_the_agent(
    opener: Opener, openai_server: OpenAIServer, deepgram_server: DeepgramServer
) -> None:
    answer = f"{SHORT} It is nearly full, and stays in the sky until the morning comes at seven."
    openai_server.answer_once(answer)
    deepgram_server.hear_once(ASKED, "")
    caller = await opener.page_of(silence(1) + hummed(ASKED) + silence(3.5) + hummed("Ahem") + silence(60))
    await caller.connect()
    interrupt = await caller.told("interrupt")
    resumed = await caller.told("audio.start", 2)
    end = await caller.told("audio.end")
    await caller.in_state("listening")

    assert resumed["turn"] == 1
    told = [one for one in await caller.all("sent", "played") if one["at"] >= interrupt["at"]]
    assert 0 < resumed["from_ms"] <= told[0]["ms"], "from the beginning of the word, or from where it was"
    assert told[-1]["ms"] == end["ms"], "the whole answer was played in the end"
    await _was_heard_until(caller, interrupt["at"], resumed["at"])
    assert await caller.sounding(resumed["at"], resumed["at"] + 1000)
    assert (await caller.lines("person"), await caller.lines("agent")) == ([ASKED], [answer])
    assert [one["status"] for one in await opener.stored(caller)] == ["complete", "complete"]


async def test_the_interrupt_key_silences_at_once(opener: Opener, openai_server: OpenAIServer) -> None:
    openai_server.answer_once(LONG)
    openai_server.answer_once(SHORT)
    caller = await opener.page_of(silence(60))
    await caller.connect()
    await caller.type(ASKED)
    await caller.sent("played", 10)
    await caller.page.keyboard.press("Escape")
    asked = await caller.sent("interrupt")
    assert (await caller.told("interrupt"))["reason"] == "client"
    await caller.told("turn.metrics")
    await caller.in_state("listening")
    buffered_until = asked["at"] + MOST_BUFFERED_MS
    await caller.reaches(buffered_until)
    await _was_heard_until(caller, asked["at"], buffered_until)
    assert "~" in (await caller.lines("agent"))[0]
    await caller.type(BROKE_IN)
    await caller.told("turn.metrics", 2)
    assert await caller.lines("agent") == [(await caller.lines("agent"))[0], SHORT]


@pytest.mark.parametrize("scripts", [(), ("own_rate_only.js",)], ids=["as it is", "as in Firefox"])
async def test_a_button_is_held_to_talk(
    opener: Opener, openai_server: OpenAIServer, deepgram_server: DeepgramServer, scripts: tuple[str, ...]
) -> None:
    openai_server.answer_once(SHORT)
    deepgram_server.hear_once(ASKED)
    said = silence(0.5) + hummed(ASKED)
    caller = await opener.page_of(said, loop=True, scripts=scripts, vad_enabled=False)
    ready = await caller.connect()
    assert ready["push_to_talk"] is True
    await caller.page.wait_for_selector("#push:not([hidden])")
    await caller.page.focus("#push")
    await caller.page.keyboard.down("Space")
    await caller.in_state("hearing")
    await caller.told("transcript.partial", 3)
    assert not await caller.all("told", "transcript.final"), "nothing but the button ends a turn"
    await caller.page.keyboard.up("Space")
    assert (await caller.told("transcript.final"))["text"] == ASKED
    await caller.told("turn.metrics")
    await caller.in_state("listening")
    assert await caller.lines("agent") == [SHORT]
    assert await caller.page.inner_text("#state") == "Hold the button to talk"


async def test_without_a_microphone_a_person_types_and_nothing_becomes_html(
    opener: Opener, openai_server: OpenAIServer
) -> None:
    answer = '<b>Orion</b> <img src="/x" onerror="document.title = 0"> & more.'
    openai_server.answer_once(answer)
    caller = await opener.page_of()
    await caller.connect()
    await caller.page.wait_for_selector("#talk li.note.bad")
    (note,) = await caller.lines("note")
    assert "microphone" in note
    assert "you can type" in note
    await caller.type("<i>Which</i> stars?")
    await caller.told("turn.metrics")
    await caller.in_state("listening")
    assert await caller.lines("person") == ["<i>Which</i> stars?"]
    assert await caller.lines("agent") == [answer]
    assert await caller.page.title() == "Stargazer – voice"


async def test_the_key_stays_out_of_the_address_and_the_conversation_goes_on(
    opener: Opener, openai_server: OpenAIServer
) -> None:
    openai_server.answer(SHORT)
    caller = await opener.page_of(silence(60))
    page = caller.page
    await page.fill("#key", "numen_sk_of_nobody")
    await page.click("#begin")
    await caller.told("error")
    await page.wait_for_selector("#connect:not([hidden])")
    assert await page.evaluate("sessionStorage.length") == 0
    assert "nobody" not in f"{await page.evaluate('spy.asked')} {page.url}"
    await page.fill("#key", "")
    await caller.connect()
    await caller.type(ASKED)
    await caller.told("turn.metrics")
    await page.click("#end")
    await page.wait_for_selector("#connect:not([hidden])")
    assert await page.inner_text("#begin") == "Go on"
    await page.click("#begin")
    await caller.told("ready", 2)
    await caller.type(BROKE_IN)
    await caller.told("turn.metrics", 2)
    assert [one["content"] for one in await opener.stored(caller)] == [ASKED, SHORT, BROKE_IN, SHORT]


async def _was_heard_until(caller: Caller, interrupted: float, again: float) -> None:
    """The agent sounded before it was interrupted, and was silent soon after, until it spoke `again`."""
    before = await caller.sounding(interrupted - 1000, interrupted)
    assert len(before) > 50, "it was heard all the time"
    after = await caller.sounding(interrupted, again)
    assert not after or after[-1] - interrupted <= SILENT_WITHIN_MS, f"still heard {after[-1] - interrupted} ms later"


def _words_in(ms: int, elevenlabs: ElevenLabsServer) -> int:
    """How many words of the first answer its first so many milliseconds hold."""
    words, left = 0, ms / 1000
    for request in elevenlabs.spoken:
        text: str = request.body["text"]
        seconds = min(left, seconds_of(text))
        words += len(text[: round(seconds * CHARACTERS_A_SECOND)].split())
        left -= seconds
        if left <= 0:
            break
    return words
