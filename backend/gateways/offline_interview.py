"""An interview of a contract, led by rule: which field to ask for next, and what has been answered so far."""

from __future__ import annotations

import re
from collections.abc import Sequence

from backend.gateways.offline_phrases import speakable, word_list
from backend.gateways.offline_recollection import LONGEST_HEARD, is_question, words
from backend.models.interview import Interview, InterviewField
from backend.ports import PromptMessage


class OfflineInterview:
    """Where the interview stands after the conversation so far (the message to answer included)."""

    def __init__(self, interview: Interview, conversation: Sequence[PromptMessage]) -> None:
        self.interview = interview
        self.answers: dict[str, str] = {}
        self.begun = False
        self.missed: InterviewField | None = None
        """The choice that was just asked for and answered with none of its options."""
        self.confirmed = self.just_confirmed = self.just_read_back = False
        self._missed_before: set[str] = set()
        question = ""
        for message in conversation:
            if message.role == "assistant":
                question = message.content
            elif message.role == "user":
                self._hear(question, message.content[:LONGEST_HEARD])
                question = ""

    def _hear(self, question: str, answer: str) -> None:
        asked = self._field_in(question)
        self.begun = self.begun or asked is not None
        self.just_read_back = speakable(self.interview.confirmation.question) in question
        self.just_confirmed = not self.confirmed and self.just_read_back and _agrees(answer)
        self.confirmed = self.confirmed or self.just_confirmed
        if self.confirmed:
            return
        before = dict(self.answers)
        self._correct(answer)
        self.missed = self._take(asked, answer)
        if self.answers != before:
            self.just_read_back = False

    @property
    def next_field(self) -> InterviewField | None:
        """The first field without an answer; None when all have one."""
        return next((field for field in self.interview.fields if field.name not in self.answers), None)

    def _field_in(self, text: str) -> InterviewField | None:
        # An answer may repeat an earlier question; the last one is the one that the person answers.
        places = [(text.rfind(speakable(field.question)), place) for place, field in enumerate(self.interview.fields)]
        found = max((row for row in places if row[0] >= 0), default=None)
        return None if found is None else self.interview.fields[found[1]]

    def _take(self, asked: InterviewField | None, text: str) -> InterviewField | None:
        """Take an answer to what was asked; the field, if the answer is none of its options."""
        if asked is None or asked.name in self.answers or not text.strip() or is_question(text):
            return None
        # Whoever has been shown the options and still answers otherwise has answered.
        if asked.kind == "choice" and asked.name not in self._missed_before:
            self._missed_before.add(asked.name)
            return asked
        self.answers[asked.name] = text.strip()
        return None

    def _correct(self, text: str) -> None:
        """Take what is said about fields in passing: an option of a choice, or `the notes are …`."""
        for field in self.interview.fields:
            if field.kind == "choice":
                option = _chosen(field, text)
                if option is not None:
                    self.answers[field.name] = option
            elif field.name in self.answers:
                name = re.escape(spoken_name(field))
                told = re.search(rf"\b{name}\b\s*(?:(?:is|are|should be)\s*[:=]?|[:=])\s*(\S.*)", text, re.IGNORECASE)
                if told:
                    self.answers[field.name] = told[1]


def _agrees(text: str) -> bool:
    said = words(text.lower())
    return bool(said) and (said[0] in word_list("yes") or " ".join(said) in word_list("yes"))


def _chosen(field: InterviewField, text: str) -> str | None:
    """The option that the words ask for: the one whose name or everyday words stand in them, the longest first."""
    said = f" {' '.join(words(text.lower()))} "
    names = [
        (phrase, option.value)
        for option in field.options
        for phrase in (option.value, option.value.replace("_", " "), *option.words)
    ]
    hits = [(len(phrase), value) for phrase, value in names if f" {' '.join(words(phrase.lower()))} " in said]
    return max(hits)[1] if hits else None


def spoken_name(field: InterviewField) -> str:
    """A field's name as people say it."""
    return re.sub(r"[_-]+", " ", field.name).strip()
