"""The next words of an interview: what was just heard is taken up, then the next field is asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from backend.gateways.offline_choices import Choices, Hint, spoken_answer, spoken_name
from backend.gateways.offline_hearing import asks, declines, plain_words, refuses, same, sentences_in, words_in
from backend.gateways.offline_lists import is_wish
from backend.gateways.offline_manner import WORDS_PER_TOKEN, OfflineManner
from backend.gateways.offline_phrases import (
    OfflinePhrases,
    capital,
    enumerated,
    inline,
    shortened,
    speakable,
    ways,
    word_list,
)
from backend.gateways.offline_recollection import LONGEST_HEARD
from backend.models.interview import Interview, InterviewField
from backend.models.interview_progress import Answer
from backend.ports import ModelRequest
from backend.ports.tasks import AskNext

LONGEST_READ_BACK = 2000
_MOST_EARLIER = 20
_MOST_MEANINGS = 3
_WHY = re.compile(
    r"\bwhy\b.*\b(?:ask|need|want|know|question|matter)|\bwhat for\b|\bwhat is (?:that|this) for\b", re.IGNORECASE
)
_WHICH = re.compile(
    r"\b(?:options?|choices?|possibilit|choose|which|what (?:kinds?|types?|sorts?)|what can)", re.IGNORECASE
)
_GLAD = re.compile(r"\b(?:i'm|i am|i feel|we are|we're)\b", re.IGNORECASE)


def next_words(request: ModelRequest, task: AskNext) -> str:
    """What the agent says next in the interview."""
    return _Asking(request, task).text()


def options_of(field: InterviewField) -> str:
    """The options of a choice, as they are said."""
    return enumerated([spoken_answer(field, option.value) for option in field.options], "or")


def answers_read_back(phrases: OfflinePhrases, interview: Interview, answers: Mapping[str, Answer]) -> str:
    """All answers in sentences, in the order of the interview."""
    lines = [phrases.say("read_back_intro")]
    for field in interview.fields:
        answer = spoken_answer(field, answers.get(field.name, ""))[:LONGEST_READ_BACK].strip()
        if answer:
            kind = f"read_back_{field.kind}"
            lines.append(capital(phrases.say(kind, thing=spoken_name(field), answer=answer)) or f"{answer}.")
    return " ".join(lines)


class _Asking:
    """One answer of an interview."""

    def __init__(self, request: ModelRequest, task: AskNext) -> None:
        self._manner = OfflineManner(request)
        self._phrases = self._manner.phrases
        self._interview, self._progress = task.interview, task.progress
        self._message = task.message[:LONGEST_HEARD]
        self._choices = Choices(task.interview)
        self._room = max(1, int(request.contract.configuration.max_tokens * WORDS_PER_TOKEN))
        before = self._manner.conversation[:-1]
        told = [message.content[:LONGEST_HEARD] for message in before if message.role == "user"]
        self._earlier = [_told(text) for text in told[-_MOST_EARLIER:]]
        self._question = next((message.content for message in reversed(before) if message.role == "assistant"), "")
        """What the agent said last."""

    def text(self) -> str:
        if self._progress.confirmed:
            return self._phrases.say("interview_done")
        ending = self._ending()
        body = " ".join(part for part in self._body() if part)
        kept = shortened(body, self._room - len(ending.split()))
        return f"{kept} {ending}".strip() or self._phrases.say("own_name", name=self._manner.contract.name)

    def _ending(self) -> str:
        """What must be said: the next question, or the answers and whether they are right."""
        field = self._asked()
        if field is not None:
            choose = field.name in self._progress.unclear
            options = self._phrases.say("choose", options=options_of(field)) if choose else ""
            return f"{options} {speakable(field.question)}".strip()
        read = answers_read_back(self._phrases, self._interview, self._progress.answers)
        if refuses(self._message) and self._has_read_back() and not self._news():
            return f"{read} {self._phrases.say('change_what')}"
        return f"{read} {speakable(self._interview.confirmation.question)}"

    def _has_read_back(self) -> bool:
        """Whether the person was asked last if all is right, or what is not."""
        asked = (self._interview.confirmation.question, *ways("change_what"))
        return any(speakable(question) in self._question for question in asked)

    def _asked(self) -> InterviewField | None:
        progress = self._progress
        if progress.read_back:
            return None
        closed = {*progress.answers, *progress.passed}
        named = next((field for field in self._interview.fields if field.name == progress.asked), None)
        return named or next((field for field in self._interview.fields if field.name not in closed), None)

    def _body(self) -> list[str]:
        opening = speakable(self._interview.opening) if not self._manner.turn else ""
        answer = self._answer()
        heard = self._news()
        parts = [opening, *answer, "" if answer else self._feeling(), *self._taken_up(heard)]
        if not heard and not answer:
            parts.append(self._not_heard())
        return parts

    def _feeling(self) -> str:
        is_glad = bool(_GLAD.search(self._message)) and not is_wish(self._message)
        feels = any(word in word_list("sorrow") for word in plain_words(self._message))
        feeling = self._manner.feeling() if is_glad or feels else ""
        before = (message.content for message in self._manner.conversation if message.role == "assistant")
        return feeling if not any(feeling in said for said in before) else ""

    def _answer(self) -> list[str]:
        """The answer to a question in the message; empty when it asks nothing."""
        questions = [sentence for sentence in sentences_in(self._message) if asks(sentence)]
        if not questions:
            return []
        hints = self._choices.hints(words_in(questions[-1]))
        if hints:
            return self._meanings(hints)
        field = self._asked()
        if field is not None and field.kind == "choice" and _WHICH.search(questions[-1]):
            # The ending names them already when the field is unclear.
            return (
                [] if field.name in self._progress.unclear else [self._phrases.say("choose", options=options_of(field))]
            )
        if _WHY.search(questions[-1]):
            return [self._phrases.say("why_ask", mission=inline(self._manner.contract.identity.mission))]
        return self._manner.answer_to_question()

    def _meanings(self, hints: Sequence[Hint]) -> list[str]:
        """What the options that a question names are, by the contract."""
        named = {(hint.field.name, hint.value): hint.field for hint in hints}
        options = [
            (spoken_answer(field, value), option.description)
            for (_, value), field in named.items()
            for option in field.options
            if option.value == value
        ]
        return [
            capital(self._phrases.say("option_meaning", option=option, description=inline(description)))
            for option, description in options[:_MOST_MEANINGS]
        ]

    def _news(self) -> list[tuple[InterviewField, str]]:
        """The answers that stand in this message and in none before it."""
        found: list[tuple[InterviewField, str]] = []
        for field in self._interview.fields:
            answer = self._progress.answers.get(field.name)
            if answer is None:
                continue
            if isinstance(answer, str):
                new = [answer] if self._is_new(field, answer) else []
            else:
                new = [thing for thing in answer if self._is_new(field, thing)]
            if new:
                found.append((field, spoken_answer(field, tuple(new) if field.kind == "list" else new[0])))
        return found

    def _is_new(self, field: InterviewField, answer: str) -> bool:
        if not self._is_in(field, answer, self._message):
            return False
        is_asked = speakable(field.question) in self._question
        return is_asked or not any(self._is_in(field, answer, text) for text in self._earlier)

    def _is_in(self, field: InterviewField, answer: str, text: str) -> bool:
        if field.kind == "choice":
            return any(
                hint.field is field and hint.value == answer and not hint.rejected
                for hint in self._choices.hints(words_in(text))
            )
        said = plain_words(text)
        meant = [word for word in plain_words(answer) if word not in word_list("empty")] or plain_words(answer)
        return bool(meant) and all(any(same(word, other) for other in said) for word in meant)

    def _taken_up(self, heard: Sequence[tuple[InterviewField, str]]) -> list[str]:
        if self._manner.traits.verbosity <= 20 or self._progress.read_back:
            return []
        choices = [
            self._phrases.say("heard_pair", answer=answer, thing=spoken_name(field))
            for field, answer in heard
            if field.kind == "choice"
        ]
        return [
            *(self._phrases.say("heard_list", answer=answer) for field, answer in heard if field.kind == "list"),
            capital(self._phrases.say("heard_choices", pairs=enumerated(choices))) if choices else "",
            *(self._phrases.say("heard_text") for field, _ in heard[:1] if field.kind == "text"),
        ]

    def _not_heard(self) -> str:
        """A word about a message that answers nothing."""
        field = self._asked()
        if self._manner.is_only("thanks"):
            return self._phrases.say("thanks")
        if not declines(self._message) or self._has_read_back():
            return ""
        if field is not None and field.required and not self._progress.passed:
            return self._phrases.say("needed")
        return self._phrases.say("left_out") if self._progress.passed else ""


def _told(text: str) -> str:
    """What a text tells, without what it asks."""
    return " ".join(sentence for sentence in sentences_in(text) if not asks(sentence))
