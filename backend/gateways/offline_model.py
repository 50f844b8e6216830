"""A provider without a model: it answers from the contract, the thread and the memories, by rule.

It makes an agent usable, and a whole installation testable, before any key is set. It says only what it was told, in
the manner that the contract's identity and traits ask for, and the same to the same conversation.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator

from backend.gateways.offline_interview import OfflineInterview, spoken_name
from backend.gateways.offline_phrases import OfflinePhrases, capital, inline, shortened, speakable, word_list
from backend.gateways.offline_recollection import (
    LONGEST_HEARD,
    OfflineRecollection,
    content,
    is_question,
    mirrored,
    sentences,
    words,
)
from backend.gateways.text_cleaner import clean
from backend.models.agent import AgentContract
from backend.ports import ModelReply, ModelRequest, PromptMessage, TextDelta

NAME = "offline"
WORDS_PER_TOKEN = 0.7
_WORD_AND_SPACE = re.compile(r"\S+\s*")
_WHO = re.compile(
    r"\b(?:who|what) (?:are|is) (?:you|this)\b|\byour name\b|\bintroduce yourself\b|\babout yourself\b", re.IGNORECASE
)
_WHAT_FOR = re.compile(
    r"\bwhat (?:can|do|will|could) you (?:do|offer|help)|\bhow (?:can|do|could|will) you (?:help|work)\b"
    r"|\bcan you help\b|\byour (?:mission|role|job|task|purpose)\b|\bwhat are you (?:here )?for\b|\bwhat is this\b",
    re.IGNORECASE,
)
_NATURE = re.compile(r"\bare you (?:an? )?(?:real|human|person|bot|robot|ai|machine|model|offline)\b", re.IGNORECASE)


class OfflineModel:
    """The `LanguageModel` named `offline`. It never fails and knows no retirements."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Answer in one piece."""
        text = clean(_OfflineAnswer(request).text())
        return ModelReply(text=text, provider=NAME, model=NAME, offline=True)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[TextDelta | ModelReply]:
        """Yield the answer word by word, the whole reply last."""
        reply = await self.complete(request)
        for word in _WORD_AND_SPACE.findall(reply.text):
            yield TextDelta(word)
        yield reply

    async def retirements(self) -> dict[str, str | None]:
        """Nothing: there is no provider to ask."""
        return {}

    async def close(self) -> None:
        """Nothing to give back."""


class _OfflineAnswer:
    """The answer to one request."""

    def __init__(self, request: ModelRequest) -> None:
        self._contract: AgentContract = request.contract
        self._traits = request.contract.traits
        self._conversation: list[PromptMessage] = [m for m in request.messages if m.role in {"user", "assistant"}]
        self._said = speakable(self._conversation[-1].content[:LONGEST_HEARD]) if self._conversation else ""
        self._turn = sum(message.role == "assistant" for message in self._conversation)
        self._phrases = OfflinePhrases(request.contract, self._turn)
        self._recollection = OfflineRecollection(request.messages)
        interview = request.contract.interview
        self._interview = OfflineInterview(interview, self._conversation) if interview else None

    def text(self) -> str:
        body, question = self._parts()
        body, question = [part for part in body if part], speakable(question)
        room = max(1, int(self._contract.configuration.max_tokens * WORDS_PER_TOKEN))
        text = shortened(" ".join(body), room - len(question.split()))
        whole = f"{text} {question}".strip() or " ".join(body)
        return shortened(whole, room) or self._phrases.say("own_name", name=self._contract.name)

    def _parts(self) -> tuple[list[str], str]:
        """What to say, and the question to end with, which is the last to be cut; either may be empty."""
        if self._interview and self._interview.just_confirmed:
            return [self._phrases.say("interview_done")], ""
        if self._is_only("farewell"):
            return [self._phrases.say("farewell")], ""
        asked = self._answer_to_question()
        if asked:
            # A question in between does not end an interview.
            return self._with_interview(asked)
        if self._is_only("greeting") or not content(self._said):
            return self._with_interview(self._greeting(), self._phrases.say("invitation"))
        if self._is_only("thanks"):
            return self._with_interview([self._phrases.say("thanks")])
        return self._with_interview(self._reflection(), self._question())

    def _with_interview(self, body: list[str], question: str = "") -> tuple[list[str], str]:
        """The parts, with the interview's next question in place of any other."""
        interview = self._interview
        if interview is None or interview.confirmed:
            return body, question
        if not interview.begun and not self._turn:
            body = [speakable(interview.interview.opening), *body]
        field = interview.next_field
        if field is not None and interview.missed is field:
            options = ", ".join(option.value.replace("_", " ") for option in field.options)
            return [*body, self._phrases.say("choose", options=options)], field.question
        if field is not None:
            return body, field.question
        if interview.just_read_back:
            return [*body, self._phrases.say("change_what")], ""
        lines = " ".join(
            self._phrases.say("read_back_line", thing=spoken_name(field), answer=interview.answers[field.name])
            for field in interview.interview.fields
        )
        return [*body, f"{self._phrases.say('read_back', answers=lines)}."], interview.interview.confirmation.question

    def _is_only(self, kind: str) -> bool:
        spoken = " ".join(words(self._said.lower()))
        own_name = self._contract.name.lower()
        return spoken in word_list(kind) or spoken.removesuffix(own_name).strip() in word_list(kind)

    def _answer_to_question(self) -> list[str]:
        """What can be said to the last question of the message; empty when it asks nothing."""
        questions = [sentence for sentence in sentences(self._said) if is_question(sentence)]
        if _NATURE.search(self._said):
            return [self._phrases.say("own_name", name=self._contract.name), self._phrases.say("nature")]
        if _WHAT_FOR.search(self._said):
            return self._purpose()
        if _WHO.search(self._said):
            return self._introduction()
        if not questions:
            return []
        question = questions[-1]
        if self._recollection.asked_for(question):
            return [self._recall(question)]
        return [self._phrases.say("unknown"), self._phrases.say("unknown_reason")]

    def _recall(self, question: str) -> str:
        found = self._recollection.find(question)
        if found is None:
            return self._phrases.say("not_told")
        if found.thing:
            return self._phrases.say("recalled_fact", thing=found.thing, value=found.value)
        if found.remembered:
            return self._phrases.say("remembered", text=found.remembered)
        return self._phrases.say("recalled", mirrored=mirrored(found.sentence))

    def _introduction(self) -> list[str]:
        identity = self._contract.identity
        parts = [
            self._phrases.say("introduction", name=self._contract.name, description=inline(identity.short_description))
        ]
        if self._traits.verbosity > 20:
            parts.append(self._phrases.say("mission", mission=inline(identity.mission)))
        if self._traits.verbosity > 60:
            parts.append(self._phrases.say("style", style=inline(identity.interaction_style)))
        return parts

    def _purpose(self) -> list[str]:
        identity = self._contract.identity
        parts = [self._phrases.say("mission", mission=inline(identity.mission or identity.short_description))]
        if self._traits.verbosity > 20:
            parts.append(self._phrases.say("role", role=inline(identity.character_role)))
        if self._traits.verbosity > 60 and identity.full_description.strip():
            parts.append(capital(self._phrases.say("about", about=identity.full_description)) + ".")
        return parts

    def _greeting(self) -> list[str]:
        if self._interview:
            return []
        return [self._phrases.say("welcome_back")] if self._turn else self._introduction()

    def _reflection(self) -> list[str]:
        parts = [self._feeling()]
        if self._interview is None or self._traits.verbosity > 60:
            parts.append(self._mirror())
        if self._traits.confidence < 40:
            parts.append(self._phrases.say("hedge"))
        if self._traits.humor >= 70 and not self._feels("sorrow"):
            parts.append(self._phrases.say("smile"))
        if self._traits.verbosity > 80 and not self._turn:
            parts.append(self._phrases.say("mission", mission=inline(self._contract.identity.mission)))
        return parts

    def _mirror(self) -> str:
        heard = sentences(self._said)
        telling = next((sentence for sentence in reversed(heard) if content(sentence)), self._said)
        return self._phrases.say("reflection", mirrored=mirrored(telling))

    def _feeling(self) -> str:
        if self._traits.empathy <= 40:
            return ""
        deep = "deep_" if self._traits.empathy > 75 else ""
        if self._feels("sorrow"):
            return self._phrases.say(f"{deep}sorrow")
        return self._phrases.say(f"{deep}joy") if self._feels("joy") else ""

    def _feels(self, kind: str) -> bool:
        return any(word.lower() in word_list(kind) for word in words(self._said))

    def _question(self) -> str:
        if self._traits.verbosity <= 20 and self._turn % 2:
            return ""
        return self._phrases.say("firm_question" if self._traits.assertiveness > 60 else "soft_question")
