"""An interview of a contract that is led in a free chat: how far it has come, by the conversation alone."""

from __future__ import annotations

from collections.abc import Sequence

from backend.gateways.offline_hearing import asks, is_small_talk
from backend.gateways.offline_phrases import speakable
from backend.gateways.offline_reading import read_answers
from backend.gateways.offline_recollection import LONGEST_HEARD
from backend.models.interview import Interview, InterviewField
from backend.models.interview_progress import Answer, InterviewProgress
from backend.ports import PromptMessage
from backend.ports.tasks import ReadAnswers


class OfflineInterview:
    """Where the interview stands after the conversation so far (the message to answer included)."""

    def __init__(self, interview: Interview, conversation: Sequence[PromptMessage]) -> None:
        self.interview = interview
        self.answers: dict[str, Answer] = {}
        self.begun = False
        self.missed: InterviewField | None = None
        """The choice that was just asked for and answered with none of its options."""
        self.confirmed = self.just_confirmed = self.just_read_back = False
        self._passed: set[str] = set()
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
        self.just_confirmed = False
        if self.confirmed:
            return
        progress = InterviewProgress(
            answers=self.answers, asked=asked.name if asked else None, read_back=self.just_read_back
        )
        heard = read_answers(ReadAnswers(self.interview, progress, answer))
        self.confirmed = self.just_confirmed = heard.confirms is True
        self.answers |= {name: value for name, value in heard.answers.items() if value}
        self._pass(heard.passed)
        self.missed = self._missed_in(asked, answer)
        self.just_read_back = self.just_read_back and not heard.answers and not heard.passed

    @property
    def next_field(self) -> InterviewField | None:
        """The first field without an answer; None when all have one or were left out."""
        gone = {*self.answers, *self._passed}
        return next((field for field in self.interview.fields if field.name not in gone), None)

    def _pass(self, names: Sequence[str]) -> None:
        self._passed |= set(names)
        for name in names:
            self.answers.pop(name, None)

    def _field_in(self, text: str) -> InterviewField | None:
        # An answer may repeat an earlier question; the last one is the one that the person answers.
        places = [(text.rfind(speakable(field.question)), place) for place, field in enumerate(self.interview.fields)]
        found = max((row for row in places if row[0] >= 0), default=None)
        return None if found is None else self.interview.fields[found[1]]

    def _missed_in(self, asked: InterviewField | None, text: str) -> InterviewField | None:
        """The choice that was asked for, if the text answers it with none of its options."""
        if asked is None or asked.kind != "choice" or asked.name in {*self.answers, *self._passed}:
            return None
        if is_small_talk(text) or asks(text):
            return None
        # Whoever has been shown the options and still answers otherwise has answered.
        if asked.name not in self._missed_before:
            self._missed_before.add(asked.name)
            return asked
        self.answers[asked.name] = text.strip()
        return None
