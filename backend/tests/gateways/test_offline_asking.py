"""An interview led without a model, from the first word to the last."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.gateways.offline_choices import spoken_answer
from backend.gateways.offline_model import OfflineModel
from backend.graphs.interview import heard, next_step, parse_heard
from backend.models.agent import AgentContract
from backend.models.interview_progress import InterviewProgress
from backend.ports import ModelRequest, PromptMessage
from backend.ports.tasks import AskNext, ReadAnswers
from backend.tests.gateways.interviews import INTAKE, INTAKE_AGENT, PLACEMENT, SESSION, TUTOR, interview_of

OFFLINE = OfflineModel()
QUESTIONS = {field.name: field.question for field in INTAKE.fields}
CONFIRMATION = INTAKE.confirmation.question
COLD = {"empathy": 5, "verbosity": 10, "formality": 95}


def with_traits(contract: AgentContract, **traits: Any) -> AgentContract:
    """The contract with some of its traits changed."""
    return AgentContract.model_validate({**contract.model_dump(), "traits": {**contract.traits.model_dump(), **traits}})


async def ask(message: str, contract: AgentContract = INTAKE_AGENT, *before: str, **progress: Any) -> str:
    """What the agent says to a message, after what was said before (the person begins)."""
    said = [
        PromptMessage("user" if place % 2 == 0 else "assistant", text) for place, text in enumerate((*before, message))
    ]
    task = AskNext(interview_of(contract), InterviewProgress(**progress), message)
    reply = await OFFLINE.complete(
        ModelRequest(contract, "offline", "offline", [PromptMessage("system", ""), *said], task=task)
    )
    assert reply.offline
    return reply.text


async def interviewed(contract: AgentContract, *said: str) -> tuple[list[str], InterviewProgress]:
    """The agent's words to each message, and where the interview stands then."""
    interview, progress, log = interview_of(contract), InterviewProgress(), [PromptMessage("system", "")]
    answers: list[str] = []
    for message in said:
        log.append(PromptMessage("user", message))
        for task in (ReadAnswers(interview, progress, message), None):
            current = task or AskNext(interview, progress, message)
            reply = await OFFLINE.complete(ModelRequest(contract, "offline", "offline", [*log], task=current))
            if task:
                progress = next_step(interview, heard(interview, progress, parse_heard(reply.text)))
        answers.append(reply.text)  # pyright: ignore[reportPossiblyUnboundVariable]
        log.append(PromptMessage("assistant", answers[-1]))
    return answers, progress


async def test_a_whole_interview() -> None:
    answers, progress = await interviewed(
        INTAKE_AGENT,
        "Hello",
        "I'd like to quit smoking, sleep better and feel more confident",
        "not too energetic, rather gentle",
        "purple",
        "mostly the sleep",
        "a woman's voice please",
        "no",
        "no, change the tone to empowering",
        "remove the smoking goal",
        "yes please",
    )
    assert answers[0].startswith("Welcome. I am glad")
    assert "quit smoking, sleep better and feel more confident" in answers[1]
    assert answers[1].endswith(QUESTIONS["tone"])
    assert "entle for the tone" in answers[2]
    assert "manifestation, anxiety relief, sleep hypnosis, confidence or habit change" in answers[3]
    assert answers[4].endswith(QUESTIONS["voice_id"])
    assert answers[5].endswith(QUESTIONS["notes"])
    assert "leave that out" in answers[6]
    assert all(text.endswith(CONFIRMATION) for text in answers[6:9])
    assert "empowering" in answers[7]
    assert "smoking" not in answers[8]
    assert "need" in answers[9]
    assert progress.confirmed
    assert progress.answers == {
        "goals": ("sleep better", "feel more confident"),
        "tone": "empowering",
        "session_type": "sleep_hypnosis",
        "voice_id": "calm-female",
    }


async def test_the_same_code_interviews_a_student() -> None:
    answers, progress = await interviewed(
        TUTOR,
        "hi",
        "order food and talk to my neighbours",
        "nothing yet",
        "football",
        "nope",
        "level: intermediate",
        "ok",
    )
    assert answers[0] == f"{PLACEMENT.opening} {PLACEMENT.fields[0].question}"
    assert "speaking for the focus" in answers[1]
    assert answers[-1].startswith("Great")
    assert progress.confirmed
    assert progress.answers == {
        "goals": ("order food", "talk to my neighbours"),
        "level": "intermediate",
        "focus": "speaking",
        "topics": ("football",),
    }


async def test_one_message_may_say_everything() -> None:
    answers, progress = await interviewed(
        INTAKE_AGENT,
        "Hi. I want to sleep through the night, in a calm tone, with a woman's voice.",
        "the smell of rain",
        "perfect",
    )
    assert answers[0].endswith(QUESTIONS["notes"])
    assert progress.confirmed


async def test_every_known_answer_is_read_back() -> None:
    text = await ask("that is all", answers=SESSION, read_back=True)
    for field in INTAKE.fields:
        assert spoken_answer(field, SESSION[field.name]) in text
    assert text.endswith(CONFIRMATION)
    long = with_traits(INTAKE_AGENT).model_copy(
        update={"configuration": INTAKE_AGENT.configuration.model_copy(update={"max_tokens": 50})}
    )
    assert "the sea" in await ask("that is all", long, answers=SESSION, read_back=True)


async def test_it_asks_what_to_change_when_something_is_wrong() -> None:
    text = await ask("no", INTAKE_AGENT, "nothing", f"All of it. {CONFIRMATION}", answers=SESSION, read_back=True)
    assert text.endswith("change?")
    assert "the sea" in text
    declined = await ask("no", INTAKE_AGENT, "her", QUESTIONS["notes"], answers=SESSION, read_back=True)
    assert declined.endswith(CONFIRMATION)


async def test_traits_decide_how_much_is_taken_up() -> None:
    said = "I am so stressed, I want to sleep better"
    answers = {"goals": ("sleep better",)}
    warm = await ask(said, INTAKE_AGENT, "Hi", QUESTIONS["goals"], asked="tone", answers=answers)
    cold = await ask(said, with_traits(INTAKE_AGENT, **COLD), "Hi", QUESTIONS["goals"], asked="tone", answers=answers)
    assert "tough" in warm
    assert "sleep better" in warm
    assert cold == QUESTIONS["tone"]


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("Who are you?", "Empathetic intake specialist".lower()),
        ("Are you a robot?", "without a language model"),
        ("Why do you ask?", "collect goals and preferences"),
        ("What does gentle mean?", "soft and caring"),
        ("Which options are there?", "energetic"),
        ("What is the capital of Peru?", "don't know"),
    ],
)
async def test_a_question_is_answered_before_the_next_one(message: str, answer: str) -> None:
    text = await ask(message, INTAKE_AGENT, "Hi", QUESTIONS["tone"], asked="tone", answers={"goals": ("joy",)})
    assert answer in text
    assert text.endswith(QUESTIONS["tone"])


async def test_what_is_needed_is_asked_for_again() -> None:
    text = await ask("nothing", INTAKE_AGENT, "Hi", QUESTIONS["goals"], asked="goals")
    assert "need this" in text
    assert text.endswith(QUESTIONS["goals"])


async def test_answers_can_be_spoken() -> None:
    text = await ask("ok", answers={**SESSION, "notes": "**the** <sea>\n\n# and [rain]"}, read_back=True)
    assert "the sea and rain" in text
    assert not set("*<>#[]\n") & set(text)


@given(
    st.text(max_size=100),
    st.sampled_from([None, *SESSION]),
    st.sets(st.sampled_from(list(SESSION))),
    st.booleans(),
    st.integers(50, 500),
)
async def test_it_always_has_something_to_say(
    message: str, asked: str | None, known: set[str], read_back: bool, limit: int
) -> None:
    contract = INTAKE_AGENT.model_copy(
        update={"configuration": INTAKE_AGENT.configuration.model_copy(update={"max_tokens": limit})}
    )
    answers = {name: SESSION[name] for name in known}
    text = await ask(message, contract, "Hi", "Hello.", asked=asked, answers=answers, read_back=read_back)
    assert text.strip()
    text.encode()
