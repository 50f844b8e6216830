"""A free conversation without a model: the next answer, in the contract's manner, with its interview if it has one."""

from __future__ import annotations

from backend.gateways.offline_asking import answers_read_back, options_of
from backend.gateways.offline_interview import OfflineInterview
from backend.gateways.offline_manner import WORDS_PER_TOKEN, OfflineManner
from backend.gateways.offline_phrases import shortened, speakable
from backend.gateways.offline_recollection import content
from backend.ports import ModelRequest


class OfflineConversation:
    """The answer to the last message of a conversation."""

    def __init__(self, request: ModelRequest) -> None:
        self._manner = OfflineManner(request)
        self._phrases = self._manner.phrases
        self._room = max(1, int(request.contract.configuration.max_tokens * WORDS_PER_TOKEN))
        interview = request.contract.interview
        self._interview = OfflineInterview(interview, self._manner.conversation) if interview else None

    def text(self) -> str:
        """The answer; never empty, within the contract's limit."""
        body, question = self._parts()
        body, question = [part for part in body if part], speakable(question)
        text = shortened(" ".join(body), self._room - len(question.split()))
        whole = f"{text} {question}".strip() or " ".join(body)
        name = self._manner.contract.name
        return shortened(whole, self._room) or self._phrases.say("own_name", name=name)

    def _parts(self) -> tuple[list[str], str]:
        """What to say, and the question to end with, which is the last to be cut; either may be empty."""
        if self._interview and self._interview.just_confirmed:
            return [self._phrases.say("interview_done")], ""
        if self._manner.is_only("farewell"):
            return [self._phrases.say("farewell")], ""
        asked = self._manner.answer_to_question()
        if asked:
            # A question in between does not end an interview.
            return self._with_interview(asked)
        if self._manner.is_only("greeting") or not content(self._manner.said):
            return self._with_interview(self._greeting(), self._phrases.say("invitation"))
        if self._manner.is_only("thanks"):
            return self._with_interview([self._phrases.say("thanks")])
        return self._with_interview(self._manner.reflection(), self._manner.question())

    def _greeting(self) -> list[str]:
        if self._interview:
            return []
        return [self._phrases.say("welcome_back")] if self._manner.turn else self._manner.introduction()

    def _with_interview(self, body: list[str], question: str = "") -> tuple[list[str], str]:
        """The parts, with the interview's next question in place of any other."""
        interview = self._interview
        if interview is None or interview.confirmed:
            return body, question
        if not interview.begun and not self._manner.turn:
            body = [speakable(interview.interview.opening), *body]
        field = interview.next_field
        if field is not None and interview.missed is field:
            return [*body, self._phrases.say("choose", options=options_of(field))], field.question
        if field is not None:
            return body, field.question
        if interview.just_read_back:
            return [*body, self._phrases.say("change_what")], ""
        read_back = answers_read_back(self._phrases, interview.interview, interview.answers)
        return [*body, read_back], interview.interview.confirmation.question
