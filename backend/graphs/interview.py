"""How an interview goes on: what a message added to it, and what comes next. Pure, by the contract alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, cast

from backend.models.interview import Interview, InterviewField
from backend.models.interview_progress import Answer, HeardAnswers, InterviewProgress, SessionStage
from backend.models.session import SessionPlan

LONGEST_TEXT = 4000
LONGEST_ITEM = 500
MOST_ITEMS = 50
_MOST_LOOKS = 100
_PARTS = ("answers", "passed", "confirms")
_UNFIT = re.compile("[\x00\ud800-\udfff]")  # what JSON can spell and a database cannot keep
_BETWEEN_SENTENCES = re.compile(r"""[.!?…؟:\n]["'”’»)\]*_]*\s+(?=\S)|[。！？]["”’」』）]*(?=\S)""")
_YES_AND_NO = {"true": True, "yes": True, "false": False, "no": False}


class NothingHeard(ValueError):
    """What a model wrote cannot be read; the text says what is wrong, for the model that wrote it."""


def heard(interview: Interview, progress: InterviewProgress, answers: HeardAnswers) -> InterviewProgress:
    """The interview after a message was understood; what comes next is for `next_step`.

    What the contract does not know (fields, options) is left out, also of what was known before: the contract may have
    changed. An optional field that the message declines loses its answer. What was confirmed holds only while nothing
    changes.
    """
    known, said = _fitting(interview, progress.answers), _fitting(interview, answers.answers)
    optional = [field.name for field in interview.fields if not field.required]
    declined = {name for name in answers.passed if name in optional and name not in said}
    corrections = {name: value for name, value in said.items() if not _same(known.get(name), value)}
    new = {name: value for name, value in (known | corrections).items() if name not in declined}
    changed = new != known
    unclear = {name for name in _unclear(interview, progress, new) if name not in declined}
    passed = {*progress.passed, *declined, *_gone_by(interview, progress, new, unclear, changed=changed)}
    agreed = progress.read_back and answers.confirms is True
    return InterviewProgress(
        answers=_in_order(interview, new),
        asked=progress.asked if progress.asked in {field.name for field in interview.fields} else None,
        passed=tuple(name for name in optional if name in passed and name not in new),
        unclear=tuple(field.name for field in interview.fields if field.name in unclear),
        read_back=progress.read_back and not changed,
        confirmed=(progress.confirmed or agreed) and not changed,
    )


def next_step(interview: Interview, progress: InterviewProgress) -> InterviewProgress:
    """What the agent does next: ask for the first open field, else read the answers back, else be done."""
    field = next(_open(interview, progress), None)
    confirmed = progress.confirmed and field is None
    return progress.model_copy(
        update={
            "asked": field.name if field else None,
            "confirmed": confirmed,
            "read_back": field is None and not confirmed,
        }
    )


def stage_of(interview: Interview, progress: InterviewProgress) -> SessionStage:
    """The stage of an interview whose next step is set; without one nobody has said anything yet."""
    if progress == InterviewProgress():
        return "greeting"
    still = list(_open(interview, progress))
    if any(field.required and field.kind != "choice" for field in still):
        return "goals"
    if still:
        return "preferences"
    return "complete" if progress.confirmed else "confirmation"


def asked_from(answer: str) -> int:
    """Where in an agent's answer its last sentence begins: what it asks, after what it answers or reads back."""
    ends = [found.end() for found in _BETWEEN_SENTENCES.finditer(answer.rstrip())]
    return ends[-1] if ends else 0


def plan_of(interview: Interview, progress: InterviewProgress) -> SessionPlan:
    """Every field of the interview with its answer; what was left out is an empty text or list."""
    plan: SessionPlan = {}
    for field in interview.fields:
        answer = progress.answers.get(field.name, () if field.kind == "list" else "")
        plan[field.name] = answer if isinstance(answer, str) else list(answer)
    return plan


def parse_heard(text: str) -> HeardAnswers:
    """What a model wrote about a message: an object of JSON, maybe in a fence or with words around it.

    Errors: `NothingHeard`.
    """
    found = [one for one in _objects(text) if not one or any(name in one for name in _PARTS)]
    if not found:
        raise NothingHeard('there is no JSON object with "answers", "passed" and "confirms" in it')
    given = found[-1]
    return HeardAnswers(
        answers=_read_answers(given.get("answers")),
        passed=_read_names(given.get("passed")),
        confirms=_read_confirms(given.get("confirms")),
    )


def _open(interview: Interview, progress: InterviewProgress) -> Iterator[InterviewField]:
    closed = {*progress.answers, *progress.passed}
    return (field for field in interview.fields if field.name not in closed)


def _in_order(interview: Interview, answers: Mapping[str, Answer]) -> dict[str, Answer]:
    return {field.name: answers[field.name] for field in interview.fields if field.name in answers}


def _same(before: Answer | None, now: Answer) -> bool:
    """Whether it says the same: a list's order and capitals are no correction."""
    if isinstance(before, str) or isinstance(now, str) or before is None:
        return before == now
    return sorted(item.casefold() for item in before) == sorted(item.casefold() for item in now)


def _unclear(interview: Interview, progress: InterviewProgress, answers: Mapping[str, Answer]) -> set[str]:
    choices = {field.name for field in interview.fields if field.kind == "choice"}
    return {name for name in (*progress.unclear, progress.asked) if name in choices and name not in answers}


def _gone_by(
    interview: Interview,
    progress: InterviewProgress,
    answers: Mapping[str, Answer],
    unclear: set[str],
    *,
    changed: bool,
) -> set[str]:
    """The optional field that was asked and got nothing; one with options is asked once more, with these."""
    field = next((one for one in interview.fields if one.name == progress.asked), None)
    if field is None or field.required or field.name in answers or changed:
        return set()
    if field.name in unclear and field.name not in progress.unclear:
        return set()
    return {field.name}


# --- what an answer may be ---


def _fitting(interview: Interview, answers: Mapping[str, Answer]) -> dict[str, Answer]:
    fits = ((field.name, _accepted(field, answers[field.name])) for field in interview.fields if field.name in answers)
    return {name: value for name, value in fits if value}


def _accepted(field: InterviewField, value: Answer) -> Answer | None:
    """The answer as the field takes it; None when it says nothing to it."""
    items = [value] if isinstance(value, str) else value
    if field.kind == "list":
        return _items(items)
    if field.kind == "text":
        return "; ".join(item.strip() for item in items if item.strip())[:LONGEST_TEXT].rstrip()
    return next((option for item in items if (option := _option(field, item))), None)


def _items(items: Iterable[str]) -> tuple[str, ...]:
    kept: dict[str, str] = {}
    for item in items:
        text = " ".join(item.split())[:LONGEST_ITEM].rstrip()
        if text:
            kept.setdefault(text.casefold(), text)
    return tuple(kept.values())[:MOST_ITEMS]


def _option(field: InterviewField, said: str) -> str | None:
    """The option that is meant: by its value, or by one of the words for it."""
    plain = _plain(said)
    if not plain:
        return None
    by_value = (option.value for option in field.options if _plain(option.value) == plain)
    by_word = (option.value for option in field.options if any(_plain(word) == plain for word in option.words))
    return next(chain(by_value, by_word), None)


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text.casefold()).strip()


# --- reading JSON ---


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The objects in a text, outermost only, in their order."""
    decoder = json.JSONDecoder()
    at = text.find("{")
    for _ in range(_MOST_LOOKS):
        if at < 0:
            return
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            yield value
        at = text.find("{", end)


def _read_answers(value: object) -> dict[str, Answer]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise NothingHeard('"answers" must be an object: the name of a field, then its answer')
    given = cast("dict[str, object]", value)
    read = ((name, _read_answer(name, answer)) for name, answer in given.items())
    return {_clean(name): answer for name, answer in read if answer}


def _read_answer(name: str, value: object) -> Answer | None:
    if value is None:
        return None
    if isinstance(value, list):
        return tuple(_read_text(name, item) for item in cast("list[object]", value) if item is not None)
    return _read_text(name, value)


def _read_text(name: str, value: object) -> str:
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return str(value)
    raise NothingHeard(f'the answer to "{_clean(name)[:64]}" must be a text or a list of texts')


def _read_names(value: object) -> tuple[str, ...]:
    names: list[object] = [] if value is None else cast("list[object]", value) if isinstance(value, list) else [value]
    if not all(isinstance(name, str) for name in names):
        raise NothingHeard('"passed" must be a list of names of fields')
    return tuple(_clean(name) for name in cast("list[str]", names))


def _read_confirms(value: object) -> bool | None:
    said = _YES_AND_NO.get(value.strip().casefold()) if isinstance(value, str) else value
    if said is None or isinstance(said, bool):
        return said
    raise NothingHeard('"confirms" must be true, false or null')


def _clean(text: str) -> str:
    return _UNFIT.sub("\ufffd", text)
