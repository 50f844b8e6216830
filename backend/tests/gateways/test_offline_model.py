"""The provider without a model: in the agent's voice, from what it was told, and the same every time."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.gateways.offline_model import OfflineModel
from backend.ports import ModelRequest, PromptMessage, TextDelta
from backend.tests.gateways.model_requests import contract, request, streamed

OFFLINE = OfflineModel()
STARGAZER = "a patient guide to the night sky"
WARM = {"empathy": 95, "formality": 10, "humor": 10, "verbosity": 90, "assertiveness": 10}
COLD = {"empathy": 5, "formality": 95, "humor": 10, "verbosity": 10, "assertiveness": 95}
INTERVIEW: dict[str, Any] = {
    "opening": "Two questions, then we begin.",
    "fields": [
        {"name": "goals", "kind": "list", "question": "What would you like to learn?"},
        {
            "name": "level",
            "kind": "choice",
            "question": "How long have you been playing?",
            "options": [
                {"value": "beginner", "description": "new", "words": ["first time", "new to it"]},
                {"value": "advanced", "description": "plays every week", "words": ["for years"]},
            ],
        },
        {"name": "extra_notes", "kind": "text", "question": "Anything else?", "required": False},
    ],
    "confirmation": {"question": "Did I get that right?"},
}


async def say(*said: str, **parts: Any) -> str:
    """The answer to a conversation."""
    return (await OFFLINE.complete(request(*said, **parts))).text


async def talk(*said: str, **parts: Any) -> list[str]:
    """The answers to what a person says, one after the other."""
    log: list[str] = []
    for words in said:
        log += [words, await say(*log, words, **parts)]
    return log[1::2]


async def test_every_reply_says_that_it_is_offline() -> None:
    reply = await OFFLINE.complete(request("Hello"))
    assert (reply.provider, reply.model, reply.offline) == ("offline", "offline", True)


async def test_the_same_conversation_gets_the_same_answer() -> None:
    assert await talk("Hello", "I am tired", "Who are you?") == await talk("Hello", "I am tired", "Who are you?")


async def test_a_stream_says_it_word_by_word() -> None:
    pieces, reply = await streamed(OFFLINE, request("Hello"))
    assert "".join(pieces) == reply.text
    assert len(pieces) == len(reply.text.split())
    assert reply == await OFFLINE.complete(request("Hello"))


async def test_traits_change_how_it_speaks() -> None:
    warm = await say("I feel sad today", traits=WARM)
    cold = await say("I feel sad today", traits=COLD)
    assert warm.startswith("Oh, that sounds really tough")
    assert "you feel sad today" in warm
    assert cold.startswith("If I understand you correctly, you feel sad today.")
    assert not {"tough", "sorry", "glad"} & set(cold.split())
    assert len(warm) > len(cold)


async def test_humor_is_kept_from_sorrow() -> None:
    assert await say("I won a prize", traits={"humor": 90}) != await say("I won a prize", traits={"humor": 10})
    assert await say("I am sad", traits={"humor": 90}) == await say("I am sad", traits={"humor": 10})


async def test_it_introduces_itself_from_its_contract() -> None:
    for question in ("Who are you?", "what's your name", "Tell me about yourself"):
        answer = await say(question)
        assert "Stargazer" in answer
        assert STARGAZER in answer
    assert "Lighthouse" in await say("Who are you?", name="Lighthouse")


async def test_it_says_what_it_is_for() -> None:
    answer = await say("What can you do?", identity={"character_role": "Stargazing companion"})
    assert "help people find and understand what they see above them" in answer
    assert "targazing companion" in answer


async def test_it_admits_that_no_model_is_behind_it() -> None:
    assert "without a language model" in await say("Are you a robot?")
    answer = await say("What is the capital of Peru?")
    assert "do not know" in answer
    assert "Lima" not in answer


@pytest.mark.parametrize(
    ("told", "question", "answer"),
    [
        ("My name is Ana and I like tea.", "What is my name?", "Your name is Ana."),
        ("Hi there! Call me Bo.", "Do you remember my name?", "Your name is Bo."),
        ("My dog's name is Rex.", "What is my dog's name?", "Rex"),
        ("I live in Porto.", "Where do I live?", "you live in Porto"),
        ("I grow tomatoes on my balcony.", "What did I say about tomatoes?", "you grow tomatoes on your balcony"),
        ("I was born in May.", "When was I born?", "you were born in May"),
    ],
)
async def test_it_recalls_what_was_said(told: str, question: str, answer: str) -> None:
    assert answer in (await talk(told, "The weather is nice.", question))[-1]


async def test_the_newest_fact_counts() -> None:
    answers = await talk("My name is Ana.", "My name is Eva now, sorry.", "What is my name?")
    assert answers[-1] == "Your name is Eva."


async def test_it_recalls_nothing_that_was_not_said() -> None:
    answers = await talk("I live in Porto.", "What is my shoe size?", "What did I say about whales?")
    assert all("not told me" in answer for answer in answers[1:])


async def test_it_uses_what_the_prompt_remembers() -> None:
    system = 'You are kind.\n\n## What you remember\n\n- "Her sister\\u2019s name is Ida"\n- "Lives in Bergen"\n'
    assert "Lives in Bergen" in await say("Do you remember where my Bergen flat is?", system=system)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Where do I live?", "I moved to Bergen in May"),
        ("What do you know about me?", "I moved to Bergen in May. My boat is called Ida."),
        ("What is my shoe size?", "not told me"),
    ],
)
async def test_it_answers_from_memories(question: str, answer: str) -> None:
    notes = '- "I moved to Bergen in May" (20 May 2026)\n- "My boat is called Ida." (3 June 2026)\n'
    assert answer in await say(question, system=f"You are kind.\n\n## What you remember\n\n{notes}")


async def test_an_interview_asks_for_one_thing_at_a_time() -> None:
    answers = await talk(
        "Hi", "Scales, and a waltz", "For years", "No", "Yes, thanks", "See you soon", interview=INTERVIEW
    )
    assert answers[0] == "Two questions, then we begin. What would you like to learn?"
    assert answers[1] == "How long have you been playing?"
    assert answers[2] == "Anything else?"
    for heard in ("goals: Scales and a waltz.", "level will be advanced.", "Did I get that right?"):
        assert heard in answers[3]
    assert "notes" not in answers[3]
    assert "what I need" in answers[4]
    assert "Did I get that right?" not in answers[5]


async def test_an_interview_knows_a_choice_that_was_named_in_passing() -> None:
    answers = await talk("Hi", "I'm new to it and want to learn a waltz", interview=INTERVIEW)
    assert answers[1].endswith("Anything else?")


async def test_an_interview_shows_the_options_once() -> None:
    answers = await talk("Hi", "A waltz", "Purple", "Purple, I said", interview=INTERVIEW)
    assert "beginner or advanced" in answers[2]
    assert answers[2].endswith("How long have you been playing?")
    assert answers[3].endswith("Anything else?")


async def test_an_interview_takes_corrections() -> None:
    answers = await talk("Hi", "A waltz", "For years", "No", "Hmm", "The goals are a tango", "Yes", interview=INTERVIEW)
    assert "change" in answers[4]
    assert "goals: a tango" in answers[5]
    assert "what I need" in answers[6]


async def test_a_question_in_between_does_not_lose_the_interview() -> None:
    answers = await talk("Hi", "Who are you?", "A waltz", interview=INTERVIEW)
    assert STARGAZER in answers[1]
    assert answers[1].endswith("What would you like to learn?")
    assert answers[2] == "How long have you been playing?"


@pytest.mark.parametrize("limit", [50, 100, 4000])
async def test_it_keeps_to_its_limit(limit: int) -> None:
    identity = {"full_description": "One more thing it knows. " * 800, "mission": "go on and on. " * 50}
    answer = await say("What can you do?", configuration={"max_tokens": limit}, identity=identity, traits=WARM)
    assert 0 < len(answer.split()) <= limit


async def test_the_question_of_an_interview_outlives_the_limit() -> None:
    long = INTERVIEW | {"opening": "Welcome to this place. " * 100}
    answer = await say("Hi", interview=long, configuration={"max_tokens": 50})
    assert answer.endswith("What would you like to learn?")
    assert len(answer.split()) <= 50


async def test_what_it_says_can_be_spoken() -> None:
    answer = await say("I like **bold** [links](https://example.org) and `code`.\n\n# Really")
    assert not set("*[]`#\n") & set(answer)
    assert "http" not in answer


@pytest.mark.parametrize(
    "words", ["what my " * 12_000, "my a is " * 12_000, "I " * 50_000, "?" * 100_000, '- "\\' * 30_000]
)
async def test_it_is_not_slow_on_odd_messages(words: str) -> None:
    started = time.process_time()
    assert await say(words, "Ok.", words, "Ok.", words, interview=INTERVIEW, system=words)
    assert time.process_time() - started < 0.5


@given(
    st.lists(st.text(max_size=80), min_size=1, max_size=7), st.booleans(), st.integers(0, 100), st.integers(50, 4000)
)
async def test_it_answers_anything(said: list[str], interviewing: bool, trait: int, limit: int) -> None:
    traits = {"formality": trait, "verbosity": trait, "empathy": trait, "humor": trait, "confidence": trait}
    parts: dict[str, Any] = {"traits": traits, "configuration": {"max_tokens": limit}}
    if interviewing:
        parts["interview"] = INTERVIEW
    items = [item async for item in OFFLINE.stream(request(*said, **parts))]
    assert all(item.text for item in items if isinstance(item, TextDelta))
    text = "".join(item.text for item in items if isinstance(item, TextDelta))
    assert text.strip()
    text.encode()


async def test_a_conversation_without_a_word_is_answered_too() -> None:
    nothing = ModelRequest(contract(), "offline", "offline", [PromptMessage("system", "")])
    assert (await OFFLINE.complete(nothing)).text


async def test_it_has_nothing_to_retire_or_to_close() -> None:
    assert await OFFLINE.retirements() == {}
    await OFFLINE.close()
