"""Answers read out of plain sentences, by the contract and no model."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.models.interview import Interview
from backend.models.interview_progress import Answer, HeardAnswers, InterviewProgress
from backend.tests.gateways.interviews import INTAKE, PLACEMENT, SESSION, before, hear

SLEEP, ANXIETY, HABIT = "sleep_hypnosis", "anxiety_relief", "habit_change"
HER, HIM = "calm-female", "soothing-male"

GOALS: list[tuple[str, dict[str, Any]]] = [
    (
        "I want to sleep through the night and stop worrying about work, in a calm tone, with a woman's voice please",
        {"goals": ("sleep through the night", "stop worrying about work"), "tone": "calm", "voice_id": HER},
    ),
    (
        "I'd like to quit smoking, sleep better and feel more confident",
        {"goals": ("quit smoking", "sleep better", "feel more confident")},
    ),
    ("I’d like to sleep better.", {"goals": ("sleep better",), "session_type": SLEEP}),
    ("My goal is to run a marathon", {"goals": ("run a marathon",)}),
    (
        "My goals are better food, more energy and less weight.",
        {"goals": ("better food", "more energy", "less weight")},
    ),
    (
        "- lose weight\n- Stop biting my nails\n* more joy",
        {"goals": ("lose weight", "stop biting my nails", "more joy")},
    ),
    ("1. lose weight 2. run 5 km", {"goals": ("lose weight", "run 5 km")}),
    ("Goals:\n1) lose weight\n2) more joy", {"goals": ("lose weight", "more joy")}),
    ("I want to lose weight and also stop biting my nails", {"goals": ("lose weight", "stop biting my nails")}),
    ("First, I want to lose weight. Second, I want more joy.", {"goals": ("lose weight", "more joy")}),
    ("I have had a hard year. I want to laugh more. Also more friends.", {"goals": ("laugh more", "more friends")}),
    ("I want to lose weight because my knees hurt, and run again", {"goals": ("lose weight", "run again")}),
    ("to spend time with my wife and my kids", {"goals": ("spend time with my wife and my kids",)}),
    ("be happy and healthy", {"goals": ("be happy and healthy",)}),
    ("Could you help me lose weight?", {"goals": ("lose weight",)}),
    ("Who are you? I want to lose weight.", {"goals": ("lose weight",)}),
    ("Hi, I wish I were more patient", {"goals": ("be more patient",)}),
    ("joy", {"goals": ("joy",)}),
    ("I am stressed and can't sleep", {"goals": ("feel less stressed", "be able to sleep")}),
    ("I can't sleep", {"goals": ("be able to sleep",), "session_type": SLEEP}),
    ("I want to feel calm at work", {"goals": ("feel calm at work",)}),
    ("I want to be strong and meet a man", {"goals": ("be strong", "meet a man")}),
    (
        "I'm kind of sad and want to laugh the rest of my life",
        {"goals": ("feel less sad", "laugh the rest of my life")},
    ),
    ("I want a session for confidence", {"goals": ("confidence",), "session_type": "confidence"}),
    ("I'd like a calm session for losing weight", {"goals": ("losing weight",), "tone": "calm"}),
    ("lose weight in a gentle tone with a deep voice", {"goals": ("lose weight",), "tone": "gentle", "voice_id": HIM}),
    ("I want to lose weight, not too energetic, rather gentle", {"goals": ("lose weight",), "tone": "gentle"}),
    (
        "Lose weight. The tone should be firm. A male voice would be nice.",
        {"goals": ("lose weight",), "tone": "authoritative", "voice_id": HIM},
    ),
    (
        "I want to sleep through the night and worry less about work. Please make it calm, a sleep session, with a "
        "female voice. Leave out the sea.",
        {
            "goals": ("sleep through the night", "worry less about work"),
            "tone": "calm",
            "session_type": SLEEP,
            "voice_id": HER,
            "notes": "Leave out the sea",
        },
    ),
    ("I want to laugh more. No more tears.", {"goals": ("laugh more", "no more tears")}),
    ("hello", {}),
    ("why do you ask?", {}),
    ("nothing", {}),
    ("that's all", {}),
    ("I don't know", {}),
    ("yes", {}),
]
CHOICES: list[tuple[str, str, dict[str, Any]]] = [
    ("tone", "calm", {"tone": "calm"}),
    ("tone", "not too energetic, rather gentle", {"tone": "gentle"}),
    ("tone", "anything but strict", {}),
    ("tone", "neither strict nor loud, soothing please", {"tone": "gentle"}),
    ("tone", "more calm than energetic", {"tone": "calm"}),
    ("tone", "calm rather than energetic", {"tone": "calm"}),
    ("tone", "I don't want it to be strict, I want it upbeat", {"tone": "energetic"}),
    ("tone", "gently", {"tone": "gentle"}),
    ("tone", "Calm, maybe?", {"tone": "calm"}),
    ("tone", "What about gentle?", {"tone": "gentle"}),
    ("tone", "What does authoritative mean?", {}),
    ("tone", "is calm better than gentle?", {}),
    ("tone", "something that gives clear direction", {"tone": "authoritative"}),
    ("tone", "the second one", {"tone": "energetic"}),
    ("tone", "the last one please", {"tone": "empowering"}),
    ("tone", "purple", {}),
    ("tone", "yes", {}),
    ("tone", "I don't mind", {}),
    ("tone", "kind of whatever", {}),
    ("tone", "something soft so I can sleep", {"tone": "gentle", "session_type": SLEEP}),
    (
        "tone",
        "gentle, with a woman's voice, for sleep",
        {"tone": "gentle", "voice_id": HER, "session_type": SLEEP},
    ),
    ("tone", "I want something gentle", {"tone": "gentle"}),
    ("tone", "calm. I also want to lose weight", {"tone": "calm", "goals": (*SESSION["goals"], "lose weight")}),
    ("session_type", "I'm not confident", {"session_type": "confidence"}),
    ("session_type", "not anxiety, more confidence", {"session_type": "confidence"}),
    ("session_type", "I usually feel anxious but I mainly want to sleep", {"session_type": SLEEP}),
    ("session_type", "changing a habit", {"session_type": HABIT}),
    ("session_type", "relief from anxiety please", {"session_type": ANXIETY}),
    ("session_type", "none of those", {}),
    ("voice_id", "a woman please", {"voice_id": HER}),
    ("voice_id", "not a man's voice", {"voice_id": HER}),
    ("voice_id", "a soothing female voice", {"voice_id": HER}),
    ("voice_id", "a man rather than a woman", {"voice_id": HIM}),
    ("voice_id", "Either is fine", {}),
]
NOTES: list[tuple[str, dict[str, Any], bool]] = [
    ("no", {}, True),
    ("nothing", {}, True),
    ("That's all, thanks", {}, True),
    ("Nothing else, you have it all", {}, True),
    ("nope, I'm good", {}, True),
    ("skip", {}, True),
    ("No, but change the tone to gentle", {"tone": "gentle"}, True),
    ("No ocean please", {"notes": "No ocean please"}, False),
    ("Yes, I love quiet lakes", {"notes": "I love quiet lakes"}, False),
    ("I'd like to hear the sea", {"notes": "I'd like to hear the sea"}, False),
    ("Please include the sea", {"notes": "Please include the sea"}, False),
    ("I love the sea. And make the voice male.", {"notes": "I love the sea.", "voice_id": HIM}, False),
    ("actually make it a male voice", {"voice_id": HIM}, False),
    ("hello", {}, False),
    ("what do you mean?", {}, False),
    ("Yes, that is right.", {}, False),
    ("yes", {}, False),
]
CORRECTIONS: list[tuple[str, dict[str, Any]]] = [
    ("yes, but change the tone to gentle", {"tone": "gentle"}),
    ("actually make it a male voice", {"voice_id": HIM}),
    ("no, change the tone to empowering", {"tone": "empowering"}),
    ("change the tone from calm to gentle", {"tone": "gentle"}),
    ("the tone should be firm", {"tone": "authoritative"}),
    ("not calm, gentle", {"tone": "gentle"}),
    ("almost, the voice should be male", {"voice_id": HIM}),
    ("male voice please", {"voice_id": HIM}),
    ("I said confidence, not sleep", {"session_type": "confidence"}),
    ("make the session about confidence", {"session_type": "confidence"}),
    ("Could you make it a bit more energetic?", {"tone": "energetic"}),
    ("remove the smoking goal", {"goals": ("sleep through the night",)}),
    ("take smoking off the list", {"goals": ("sleep through the night",)}),
    ("drop the first one", {"goals": ("quit smoking",)}),
    ("add: more energy", {"goals": (*SESSION["goals"], "more energy")}),
    ("yes and add losing weight", {"goals": (*SESSION["goals"], "losing weight")}),
    ("add a goal: run", {"goals": (*SESSION["goals"], "run")}),
    ("I also want to be calm", {"goals": (*SESSION["goals"], "be calm")}),
    ("I want to lose weight as well", {"goals": (*SESSION["goals"], "lose weight")}),
    ("replace the second goal by drink more water", {"goals": ("sleep through the night", "drink more water")}),
    ("replace smoking with biting my nails", {"goals": ("sleep through the night", "biting my nails")}),
    ("the second goal should be to eat less", {"goals": ("sleep through the night", "eat less")}),
    ("instead of smoking, I want to stop drinking", {"goals": ("sleep through the night", "stop drinking")}),
    ("The goals are a tango", {"goals": ("a tango",)}),
    ("change my goals to peace and quiet", {"goals": ("peace", "quiet")}),
    ("Can you remove the first goal and add more joy?", {"goals": ("quit smoking", "more joy")}),
    ("forget about smoking and make it energetic", {"goals": ("sleep through the night",), "tone": "energetic"}),
    ("the notes should be: no ocean", {"notes": "no ocean"}),
    ("add to the notes: my dog", {"notes": "the sea. my dog"}),
]
AGREEING = (
    "yes", "yes please", "Yes, exactly, thanks", "that's right", "correct", "sounds good", "perfect",
    "Perfect, thank you!", "ok", "no changes", "No, that's all", "no, it is perfect", "nothing to change",
    "Everything is right", "you did", "yes that sums it up nicely",
)  # fmt: skip
REFUSING = ("no", "not quite", "No, not quite.", "wait", "that's not right", "I'd like to change something", "almost")
NEITHER = ("hello", "why do you need that?", "who are you?", "thanks", "I love the sea", "calm is perfect")
TUTOR: list[tuple[str | None, str, dict[str, Any]]] = [
    (
        "goals",
        "order food and talk to my neighbours",
        {"goals": ("order food", "talk to my neighbours"), "focus": "speaking"},
    ),
    (
        "goals",
        "I want to read newspapers, I know a few words",
        {"goals": ("read newspapers",), "level": "beginner", "focus": "reading"},
    ),
    ("goals", "I'm a beginner and want to order food", {"goals": ("order food",), "level": "beginner"}),
    ("level", "nothing at all", {"level": "beginner"}),
    ("level", "not a lot, some basics", {"level": "intermediate"}),
    ("level", "I can hold a simple conversation", {"level": "intermediate"}),
    ("level", "pretty fluent", {"level": "advanced"}),
    ("focus", "grammar bores me, I'd rather speak", {"focus": "speaking"}),
    ("topics", "Music, the news and some sports", {"topics": ("Music", "the news", "some sports")}),
    ("topics", "I like football and music", {"topics": ("football", "music")}),
]


@pytest.mark.parametrize(("message", "answers"), GOALS)
def test_goals_are_found_in_sentences_and_what_else_they_say(message: str, answers: dict[str, Answer]) -> None:
    assert hear("goals", message) == HeardAnswers(answers=answers)


@pytest.mark.parametrize(("asked", "message", "answers"), CHOICES)
def test_an_option_is_chosen_by_many_words(asked: str, message: str, answers: dict[str, Answer]) -> None:
    assert hear(asked, message, answers=before(asked)) == HeardAnswers(answers=answers)


@pytest.mark.parametrize(("message", "answers", "is_passed"), NOTES)
def test_a_text_is_whatever_is_told(message: str, answers: dict[str, Answer], is_passed: bool) -> None:
    passed = ("notes",) if is_passed else ()
    assert hear("notes", message, answers=before("notes")) == HeardAnswers(answers=answers, passed=passed)


@pytest.mark.parametrize(("message", "answers"), CORRECTIONS)
def test_what_was_read_back_is_corrected(message: str, answers: dict[str, Answer]) -> None:
    assert hear(None, message, answers=SESSION, read_back=True) == HeardAnswers(answers=answers, confirms=False)


@pytest.mark.parametrize(
    ("messages", "confirms"), [(AGREEING, True), (REFUSING, False), (NEITHER, None)], ids=["yes", "no", "neither"]
)
def test_what_was_read_back_is_agreed_to_or_not(messages: tuple[str, ...], confirms: bool | None) -> None:
    heard = {message: hear(None, message, answers=SESSION, read_back=True) for message in messages}
    assert heard == dict.fromkeys(messages, HeardAnswers(confirms=confirms))


@pytest.mark.parametrize(("asked", "message", "answers"), TUTOR)
def test_another_field_is_understood_by_the_same_rules(
    asked: str | None, message: str, answers: dict[str, Answer]
) -> None:
    known: dict[str, Answer] = {"goals": ("travel",), "level": "beginner", "focus": "speaking"}
    progress = before(asked, {**known, "topics": ()}) if asked else {}
    assert hear(asked, message, PLACEMENT, answers=progress) == HeardAnswers(answers=answers)


def test_there_are_many_plain_sentences_above() -> None:
    assert len(GOALS) + len(CHOICES) + len(NOTES) + len(CORRECTIONS) + len(TUTOR) >= 80


def test_nothing_is_confirmed_before_it_was_read_back() -> None:
    assert hear("tone", "yes, perfect").confirms is None


def test_notes_are_left_out_again() -> None:
    for message in ("remove the notes", "no notes"):
        heard = hear(None, message, answers=SESSION, read_back=True)
        assert heard == HeardAnswers(passed=("notes",), confirms=False)


def test_a_list_whose_last_thing_is_removed_is_empty() -> None:
    heard = hear(None, "remove the smoking goal", answers={**SESSION, "goals": ("quit smoking",)}, read_back=True)
    assert heard.answers == {"goals": ()}


def test_a_no_answers_a_question_that_can_be_answered_with_it() -> None:
    smoking = Interview.model_validate({"fields": [{"name": "smokes", "kind": "text", "question": "Do you smoke?"}]})
    needed = Interview.model_validate({"fields": [{"name": "name", "kind": "text", "question": "What is your name?"}]})
    assert hear("smokes", "No.", smoking).answers == {"smokes": "No."}
    assert hear("name", "No.", needed) == HeardAnswers()
    assert hear(None, "my name is Ana", needed).answers == {"name": "Ana"}


def test_a_choice_is_left_to_the_agent_only_by_whoever_knows_the_options() -> None:
    for message in ("you choose", "I don't mind", "surprise me, please"):
        assert hear("tone", message) == HeardAnswers()
        assert hear("tone", message, unclear=("tone",)).answers == {"tone": "calm"}


def test_a_choice_is_taken_back_in_the_same_breath() -> None:
    assert hear("tone", "Energetic? No, calm.").answers == {"tone": "calm"}


def test_a_long_text_is_kept_whole() -> None:
    told = "The forest behind our house smelled of rain. " * 200
    assert hear("notes", told, answers=before("notes")).answers == {"notes": told.strip()}


WORDS = [
    "I", "want", "to", "sleep", ",", ".", "?", "!", "and", "not", "calm", "gentle", "goal", "goals", "remove", "add",
    "replace", "change", "make", "the", "second", "tone", "voice", "a", "woman", "man's", ":", "-", "1.", "\n", "yes",
    "no", "but", "rather", "than", "instead", "of", "'d", "like", "notes", "should", "be", "nothing", "can't",
]  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=200),
    st.lists(
        st.sampled_from(WORDS),
        max_size=40,
    ).map(" ".join),
)
PROGRESS = st.builds(
    InterviewProgress,
    answers=st.dictionaries(st.sampled_from(list(SESSION)), st.just("")).map(
        lambda names: {n: SESSION[n] for n in names}
    ),
    asked=st.sampled_from([None, "unknown", *SESSION]),
    read_back=st.booleans(),
)


@settings(max_examples=300)
@given(TEXTS, PROGRESS)
def test_nothing_is_ever_invented(message: str, progress: InterviewProgress) -> None:
    heard = hear(message=message, **progress.model_dump())
    assert HeardAnswers.model_validate_json(heard.model_dump_json()) == heard
    fields = {field.name: field for field in INTAKE.fields}
    for name, answer in heard.answers.items():
        field = fields[name]
        assert isinstance(answer, tuple) == (field.kind == "list")
        assert field.kind != "choice" or answer in {option.value for option in field.options}
    assert all(not fields[name].required for name in heard.passed)
    assert heard.confirms is None or progress.read_back


@pytest.mark.parametrize(
    "words",
    [
        "I want to ", "and ", ", ", "not calm ", "add ", "remove the goal ", "- x\n", "?", " ", "\n", "1. a 2. b ",
        "a.", "no ", "change the tone to ", "x", "my goal is ", "because ", "’", "instead of ", "the second ",
        "\ud800", "yes, ", "I want x. ",
    ],
)  # fmt: skip
def test_long_messages_take_no_longer(words: str) -> None:
    message = (words * 200_000)[:200_000]
    hear("goals", message)
    times: list[float] = []
    for asked, read_back in (("goals", False), ("tone", False), (None, True)):
        started = time.process_time()
        hear(asked, message, answers=SESSION if read_back else {}, read_back=read_back).model_dump_json()
        times.append(time.process_time() - started)
    assert sorted(times)[1] < 0.25
