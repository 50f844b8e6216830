"""How an agent without a model speaks: what it says to greetings, questions and feelings, in its contract's way."""

from __future__ import annotations

import re

from backend.gateways.offline_phrases import OfflinePhrases, capital, inline, speakable, word_list
from backend.gateways.offline_recollection import (
    LONGEST_HEARD,
    OfflineRecollection,
    content,
    is_question,
    mirrored,
    sentences,
    words,
)
from backend.models.agent import AgentContract
from backend.ports import ModelRequest, PromptMessage

WORDS_PER_TOKEN = 0.7
_WHO = re.compile(
    r"\b(?:who|what) (?:are|is) (?:you|this)\b|\byour name\b|\bintroduce yourself\b|\babout yourself\b", re.IGNORECASE
)
_WHAT_FOR = re.compile(
    r"\bwhat (?:can|do|will|could) you (?:do|offer|help)|\bhow (?:can|do|could|will) you (?:help|work)\b"
    r"|\bcan you help\b|\byour (?:mission|role|job|task|purpose)\b|\bwhat are you (?:here )?for\b|\bwhat is this\b",
    re.IGNORECASE,
)
_NATURE = re.compile(r"\bare you (?:an? )?(?:real|human|person|bot|robot|ai|machine|model|offline)\b", re.IGNORECASE)


class OfflineManner:
    """One agent at one point of a conversation: `said` is the message to answer, after `turn` answers."""

    def __init__(self, request: ModelRequest) -> None:
        self.contract: AgentContract = request.contract
        self.traits = request.contract.traits
        self.conversation: list[PromptMessage] = [m for m in request.messages if m.role in {"user", "assistant"}]
        self.said = speakable(self.conversation[-1].content[:LONGEST_HEARD]) if self.conversation else ""
        self.turn = sum(message.role == "assistant" for message in self.conversation)
        self.phrases = OfflinePhrases(request.contract, self.turn)
        self._recollection = OfflineRecollection(request.messages)

    def is_only(self, kind: str) -> bool:
        """Whether the message is a phrase of this kind and nothing more."""
        spoken = " ".join(words(self.said.lower()))
        own_name = self.contract.name.lower()
        return spoken in word_list(kind) or spoken.removesuffix(own_name).strip() in word_list(kind)

    def answer_to_question(self) -> list[str]:
        """What can be said to the last question of the message; empty when it asks nothing."""
        questions = [sentence for sentence in sentences(self.said) if is_question(sentence)]
        if _NATURE.search(self.said):
            return [self.phrases.say("own_name", name=self.contract.name), self.phrases.say("nature")]
        if _WHAT_FOR.search(self.said):
            return self.purpose()
        if _WHO.search(self.said):
            return self.introduction()
        if not questions:
            return []
        question = questions[-1]
        if self._recollection.asked_for(question):
            return [self._recall(question)]
        return [self.phrases.say("unknown"), self.phrases.say("unknown_reason")]

    def _recall(self, question: str) -> str:
        found = self._recollection.find(question)
        if found is None:
            return self.phrases.say("not_told")
        if found.thing:
            return self.phrases.say("recalled_fact", thing=found.thing, value=found.value)
        if found.remembered:
            return self.phrases.say("remembered", text=found.remembered)
        return self.phrases.say("recalled", mirrored=mirrored(found.sentence))

    def introduction(self) -> list[str]:
        """Who the agent is, as fully as it likes to speak."""
        identity = self.contract.identity
        parts = [
            self.phrases.say("introduction", name=self.contract.name, description=inline(identity.short_description))
        ]
        if self.traits.verbosity > 20:
            parts.append(self.phrases.say("mission", mission=inline(identity.mission)))
        if self.traits.verbosity > 60:
            parts.append(self.phrases.say("style", style=inline(identity.interaction_style)))
        return parts

    def purpose(self) -> list[str]:
        """What the agent is there for."""
        identity = self.contract.identity
        parts = [self.phrases.say("mission", mission=inline(identity.mission or identity.short_description))]
        if self.traits.verbosity > 20:
            parts.append(self.phrases.say("role", role=inline(identity.character_role)))
        if self.traits.verbosity > 60 and identity.full_description.strip():
            parts.append(capital(self.phrases.say("about", about=identity.full_description)) + ".")
        return parts

    def reflection(self) -> list[str]:
        """What was said, taken up, with as much feeling as the agent shows."""
        parts = [self.feeling()]
        if self.contract.interview is None or self.traits.verbosity > 60:
            parts.append(self._mirror())
        if self.traits.confidence < 40:
            parts.append(self.phrases.say("hedge"))
        if self.traits.humor >= 70 and not self._feels("sorrow"):
            parts.append(self.phrases.say("smile"))
        if self.traits.verbosity > 80 and not self.turn:
            parts.append(self.phrases.say("mission", mission=inline(self.contract.identity.mission)))
        return parts

    def _mirror(self) -> str:
        heard = sentences(self.said)
        telling = next((sentence for sentence in reversed(heard) if content(sentence)), self.said)
        return self.phrases.say("reflection", mirrored=mirrored(telling))

    def feeling(self) -> str:
        """Sympathy with what was said; empty where there is nothing to feel, or the agent does not show it."""
        if self.traits.empathy <= 40:
            return ""
        deep = "deep_" if self.traits.empathy > 75 else ""
        if self._feels("sorrow"):
            return self.phrases.say(f"{deep}sorrow")
        return self.phrases.say(f"{deep}joy") if self._feels("joy") else ""

    def _feels(self, kind: str) -> bool:
        return any(word.lower() in word_list(kind) for word in words(self.said))

    def question(self) -> str:
        """A question that keeps the conversation going; empty where the agent says little."""
        if self.traits.verbosity <= 20 and self.turn % 2:
            return ""
        return self.phrases.say("firm_question" if self.traits.assertiveness > 60 else "soft_question")
