"""Interviews: what a message adds, what comes next, and what a model writes about it. By the contract alone."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.graphs.interview import (
    LONGEST_ITEM,
    LONGEST_TEXT,
    MOST_ITEMS,
    NothingHeard,
    asked_from,
    heard,
    next_step,
    parse_heard,
    plan_of,
    stage_of,
)
from backend.models.interview import Interview
from backend.models.interview_progress import HeardAnswers, InterviewProgress
from backend.tests.graphs.interviews import COACH, TUTOR, interview_of

INTAKE, PLACEMENT = interview_of(COACH), interview_of(TUTOR)
KINDS = Interview.model_validate(
    {
        "fields": [
            {"name": "goals", "kind": "list", "question": "What?"},
            {"name": "size", "kind": "choice", "question": "Which size?", "options": [
                {"value": "small_one", "description": "little", "words": ["tiny", "a bit"]},
                {"value": "large", "description": "much"},
            ]},
            {"name": "colour", "kind": "choice", "question": "Which colour?", "required": False, "options": [
                {"value": "red", "description": "warm"}, {"value": "blue", "description": "cold"},
            ]},
            {"name": "notes", "kind": "text", "question": "Else?", "required": False},
        ]
    }
)  # fmt: skip
WHOLE = {"goals": ("sleep",), "size": "large", "colour": "red", "notes": "the sea"}


def said(progress: InterviewProgress | None = None, **parts: Any) -> InterviewProgress:
    """What is known after a message that says this."""
    return heard(KINDS, progress or InterviewProgress(), HeardAnswers(**parts))


def asked(name: str, **parts: Any) -> InterviewProgress:
    return InterviewProgress(asked=name, **parts)


READ_BACK = InterviewProgress(answers=WHOLE, read_back=True)


# --- what a message adds ---


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ({"goals": ("sleep", "  rest   well ")}, {"goals": ("sleep", "rest well")}),
        ({"goals": ("Sleep", "sleep", "SLEEP ", "")}, {"goals": ("Sleep",)}),
        ({"goals": "one thing"}, {"goals": ("one thing",)}),
        ({"goals": ("x" * 900,)}, {"goals": ("x" * LONGEST_ITEM,)}),
        ({"goals": ()}, {}),
        ({"goals": (" ",)}, {}),
        ({"size": "large"}, {"size": "large"}),
        ({"size": "Small one"}, {"size": "small_one"}),
        ({"size": "SMALL-ONE."}, {"size": "small_one"}),
        ({"size": "tiny"}, {"size": "small_one"}),
        ({"size": "A  bit"}, {"size": "small_one"}),
        ({"size": ("huge", "large")}, {"size": "large"}),
        ({"size": "huge"}, {}),
        ({"size": "?!"}, {}),
        ({"notes": "  two\nlines "}, {"notes": "two\nlines"}),
        ({"notes": ("one", "two", " ")}, {"notes": "one; two"}),
        ({"notes": "y" * 9000}, {"notes": "y" * LONGEST_TEXT}),
        ({"notes": ""}, {}),
        ({"shoes": "42"}, {}),
    ],
)
def test_answers_are_taken_as_the_contract_takes_them(given_: dict[str, Any], kept: dict[str, Any]) -> None:
    assert said(answers=given_).answers == kept


def test_a_list_holds_at_most_fifty_things() -> None:
    answers = said(answers={"goals": tuple(f"goal {number}" for number in range(80))}).answers
    assert len(answers["goals"]) == MOST_ITEMS


def test_a_later_answer_takes_the_place_of_an_earlier_one_and_the_rest_stays() -> None:
    before = said(answers={"goals": ("sleep",), "size": "large"})
    after = said(before, answers={"size": "tiny"})
    assert after.answers == {"goals": ("sleep",), "size": "small_one"}
    unknown = said(before, answers={"size": "huge", "goals": ()})
    assert unknown.answers == before.answers


def test_what_the_contract_no_longer_knows_is_left_out() -> None:
    before = InterviewProgress(
        answers={"shoes": "42", "size": "medium", "goals": ("sleep",)},
        asked="shoes",
        passed=("shoes", "notes"),
        unclear=("shoes", "size"),
    )
    assert said(before) == InterviewProgress(
        answers={"goals": ("sleep",)}, asked=None, passed=("notes",), unclear=("size",)
    )


@pytest.mark.parametrize(
    ("before", "message", "passed", "unclear"),
    [
        (asked("notes"), {}, ("notes",), ()),
        (asked("notes"), {"answers": {"notes": "the sea"}}, (), ()),
        (asked("notes"), {"answers": {"size": "large"}}, (), ()),
        (asked("notes"), {"answers": {"size": "large"}, "passed": ("notes",)}, ("notes",), ()),
        (asked("notes"), {"answers": {"notes": ""}, "passed": ("notes",)}, ("notes",), ()),
        (asked("goals"), {}, (), ()),
        (asked("goals"), {"passed": ("goals", "size", "shoes")}, (), ()),
        (asked("size"), {}, (), ("size",)),
        (asked("size"), {"answers": {"size": "huge"}}, (), ("size",)),
        (asked("size"), {"answers": {"goals": ("sleep",)}}, (), ("size",)),
        (asked("size", unclear=("size",)), {"answers": {"size": "large"}}, (), ()),
        (asked("colour"), {}, (), ("colour",)),
        (asked("colour", unclear=("colour",)), {}, ("colour",), ("colour",)),
        (asked("colour"), {"passed": ("colour",)}, ("colour",), ()),
        (asked("goals", passed=("notes",)), {"answers": {"notes": "the sea"}}, (), ()),
        (asked("goals"), {"passed": ("notes",), "answers": {"notes": "the sea"}}, (), ()),
    ],
)
def test_what_was_asked_and_not_answered_is_unclear_or_passed(
    before: InterviewProgress, message: dict[str, Any], passed: tuple[str, ...], unclear: tuple[str, ...]
) -> None:
    after = said(before, **message)
    assert (after.passed, after.unclear) == (passed, unclear)


def test_an_answer_to_an_optional_field_can_be_taken_back() -> None:
    after = said(READ_BACK, passed=("notes",), confirms=True)
    assert "notes" not in after.answers
    assert after.passed == ("notes",)
    assert not after.confirmed


@pytest.mark.parametrize(
    ("before", "message", "read_back", "confirmed"),
    [
        (READ_BACK, {"confirms": True}, True, True),
        (READ_BACK, {"confirms": False}, True, False),
        (READ_BACK, {}, True, False),
        (READ_BACK, {"confirms": True, "answers": {"size": "tiny"}}, False, False),
        (READ_BACK, {"confirms": True, "answers": {"size": "large"}}, True, True),
        (READ_BACK, {"confirms": True, "answers": {"goals": ("SLEEP",)}}, True, True),
        (READ_BACK, {"confirms": True, "answers": {"goals": ("sleep", "rest")}}, False, False),
        (InterviewProgress(answers=WHOLE), {"confirms": True}, False, False),
        (InterviewProgress(answers=WHOLE, confirmed=True), {}, False, True),
        (InterviewProgress(answers=WHOLE, confirmed=True), {"answers": {"size": "tiny"}}, False, False),
    ],
)
def test_only_what_was_read_back_and_is_unchanged_can_be_confirmed(
    before: InterviewProgress, message: dict[str, Any], read_back: bool, confirmed: bool
) -> None:
    after = said(before, **message)
    assert (after.read_back, after.confirmed) == (read_back, confirmed)


# --- what comes next ---


def test_fields_are_asked_in_the_contracts_order_and_those_that_are_known_are_skipped() -> None:
    progress = next_step(KINDS, InterviewProgress())
    assert progress == asked("goals")
    progress = next_step(KINDS, said(progress, answers={"colour": "red", "goals": ("sleep",)}))
    assert progress.asked == "size"
    progress = next_step(KINDS, said(progress, answers={"size": "large"}))
    assert progress.asked == "notes"
    progress = next_step(KINDS, said(progress))
    assert (progress.asked, progress.read_back, progress.confirmed) == (None, True, False)
    progress = next_step(KINDS, said(progress, confirms=True))
    assert (progress.asked, progress.read_back, progress.confirmed) == (None, False, True)


def test_a_correction_after_the_reading_back_is_read_back_again() -> None:
    progress = next_step(KINDS, said(READ_BACK, answers={"size": "tiny"}, confirms=True))
    assert (progress.read_back, progress.confirmed) == (True, False)


def test_what_is_missing_in_a_changed_contract_is_asked_for_even_after_it_was_confirmed() -> None:
    progress = next_step(KINDS, InterviewProgress(answers={"goals": ("sleep",)}, confirmed=True))
    assert progress == asked("size", answers={"goals": ("sleep",)})


@pytest.mark.parametrize(
    ("progress", "stage"),
    [
        (InterviewProgress(), "greeting"),
        (asked("goals"), "goals"),
        (asked("goals", answers={"size": "large"}), "goals"),
        (asked("size", answers={"goals": ("sleep",)}), "preferences"),
        (asked("notes", answers={"goals": ("sleep",), "size": "large", "colour": "red"}), "preferences"),
        (READ_BACK, "confirmation"),
        (InterviewProgress(answers=WHOLE, confirmed=True), "complete"),
        (InterviewProgress(answers={"goals": ("sleep",), "size": "large"}, passed=("colour", "notes")), "confirmation"),
    ],
)
def test_the_stage_follows_from_what_is_known(progress: InterviewProgress, stage: str) -> None:
    assert stage_of(KINDS, progress) == stage


def test_a_plan_holds_every_field() -> None:
    bare = InterviewProgress(answers={"goals": ("sleep",), "size": "large"}, passed=("colour", "notes"))
    assert plan_of(KINDS, bare) == {"goals": ["sleep"], "size": "large", "colour": "", "notes": ""}
    assert plan_of(KINDS, InterviewProgress())["goals"] == []
    assert list(plan_of(INTAKE, InterviewProgress())) == ["goals", "tone", "session_type", "voice_id", "notes"]
    assert next(iter(plan_of(PLACEMENT, InterviewProgress()))) == "goals"


# --- whatever is said ---

NAMES = st.sampled_from([*(field.name for field in KINDS.fields), "shoes"])
TEXTS = st.sampled_from(["large", "small_one", "tiny", "red", "blue", "", " ", "sleep", "a long walk", "x" * 5000])
HEARD = st.builds(
    HeardAnswers,
    answers=st.dictionaries(NAMES, TEXTS | st.lists(TEXTS, max_size=4).map(tuple), max_size=4),
    passed=st.lists(NAMES, max_size=3).map(tuple),
    confirms=st.none() | st.booleans(),
)
CONVERSATIONS = st.lists(HEARD, max_size=8)


def led(conversation: list[HeardAnswers]) -> list[InterviewProgress]:
    progress = [next_step(KINDS, InterviewProgress())]
    for message in conversation:
        progress.append(next_step(KINDS, heard(KINDS, progress[-1], message)))
    return progress


@given(CONVERSATIONS)
def test_an_interview_always_knows_what_is_next(conversation: list[HeardAnswers]) -> None:
    required = {field.name for field in KINDS.fields if field.required}
    options = {field.name: {option.value for option in field.options} for field in KINDS.fields}
    for progress in led(conversation):
        assert (progress.asked is not None) + progress.read_back + progress.confirmed == 1
        assert progress.asked not in {*progress.answers, *progress.passed}
        assert not {*progress.answers} & {*progress.passed}
        assert not required & {*progress.passed}
        assert all(progress.answers.values())
        assert progress.answers.get("size", "large") in options["size"]
        assert all(len(item) <= LONGEST_ITEM for item in progress.answers.get("goals", ()))
        assert next_step(KINDS, progress) == progress
        complete = stage_of(KINDS, progress) == "complete"
        assert complete == progress.confirmed
        if complete:
            assert required <= {*progress.answers}
        assert InterviewProgress.model_validate_json(progress.model_dump_json()) == progress


@given(CONVERSATIONS)
def test_nothing_is_complete_that_was_not_read_back_as_it_is(conversation: list[HeardAnswers]) -> None:
    steps = led(conversation)
    for before, after in pairwise(steps):
        if after.confirmed and not before.confirmed:
            assert before.read_back
            assert before.answers == after.answers


@given(CONVERSATIONS)
def test_a_message_that_says_nothing_changes_no_answer(conversation: list[HeardAnswers]) -> None:
    last = led(conversation)[-1]
    assert heard(KINDS, last, HeardAnswers()).answers == last.answers


# --- what a model writes ---


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"answers": {"tone": "calm"}}', {"answers": {"tone": "calm"}}),
        ('```json\n{"answers": {"tone": "calm"}, "confirms": null}\n```', {"answers": {"tone": "calm"}}),
        ('Here it is:\n{"passed": ["notes"]}\nThat is all.', {"passed": ("notes",)}),
        ('{"thought": 1} {"answers": {"goals": ["a", "b"]}}', {"answers": {"goals": ("a", "b")}}),
        ('{"confirms": true}', {"confirms": True}),
        ('{"confirms": "No"}', {"confirms": False}),
        ('{"confirms": "yes"}', {"confirms": True}),
        ('{"confirms": "null"}', {}),
        ('{"answers": null, "passed": null, "confirms": null}', {}),
        ('{"answers": {"a": null, "b": [null, "x"], "c": []}}', {"answers": {"b": ("x",)}}),
        ('{"answers": {"age": 42, "sure": true}}', {"answers": {"age": "42", "sure": "yes"}}),
        ('{"answers": {"size": 1.5}}', {"answers": {"size": "1.5"}}),
        ('{"passed": "notes"}', {"passed": ("notes",)}),
        ('{"answers": {}, "why": "because"}', {}),
        ("{}", {}),
        ('[{"answers": {"tone": "calm"}}]', {"answers": {"tone": "calm"}}),
        ('{"answers": {"notes": "a\\u0000b\\ud83d"}}', {"answers": {"notes": "a\ufffdb\ufffd"}}),
        ('{not json} {"passed": []}', {}),
    ],
)  # fmt: skip
def test_what_a_model_writes_is_read_with_patience(text: str, found: dict[str, Any]) -> None:
    assert parse_heard(text) == HeardAnswers(**found)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no JSON object"),
        ("The person wants to sleep.", "no JSON object"),
        ('{"goals": ["sleep"]}', "no JSON object"),
        ('{"answers": {"tone": "calm"}', "no JSON object"),
        ('{"answers": ["calm"]}', '"answers" must be an object'),
        ('{"answers": {"tone": {"value": "calm"}}}', 'the answer to "tone" must be a text'),
        ('{"answers": {"goals": [["sleep"]]}}', 'the answer to "goals" must be a text'),
        ('{"passed": {"notes": true}}', '"passed" must be a list'),
        ('{"passed": [1]}', '"passed" must be a list'),
        ('{"confirms": 1}', '"confirms" must be true, false or null'),
        ("[" * 5000 + '{"a":' * 5000, "no JSON object"),
        ('{"answers": {"a": ' + "1" * 5000 + "}}", "no JSON object"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, fault: str) -> None:
    with pytest.raises(NothingHeard, match=fault):
        parse_heard(text)


@given(HEARD, st.sampled_from(["%s", "```json\n%s\n```", "I think {so}: %s."]))
def test_what_was_written_as_asked_is_read_as_it_was_meant(answers: HeardAnswers, around: str) -> None:
    written = json.dumps(answers.model_dump(mode="json"))
    read = parse_heard(around % written)
    assert said(**read.model_dump()) == said(**answers.model_dump())


@given(st.text(st.sampled_from('{}[]",:answerpd \\u00\n1'), max_size=60))
def test_no_text_breaks_the_reading(text: str) -> None:
    with suppress(NothingHeard):
        assert isinstance(parse_heard(text), HeardAnswers)


@pytest.mark.parametrize(
    ("answer", "question"),
    [
        ("What shall I call you?", "What shall I call you?"),
        ("You wish to sleep. Is that right?", "Is that right?"),
        ("You wish to sleep.\n\nIs that right?\n", "Is that right?\n"),
        ('You said: "By the sea." Is that right?', "Is that right?"),
        ("**Goals:** to sleep.** Is that right?", "Is that right?"),
        ("眠りたいのですね。「はい。」よろしいですか？", "よろしいですか？"),
        ("Good. " * 1000 + "Which one?", "Which one?"),
        ("", ""),
    ],
)
def test_what_an_answer_asks_is_its_last_sentence(answer: str, question: str) -> None:
    assert answer[asked_from(answer) :] == question
