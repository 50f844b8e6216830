"""A provider without a model: it answers from the contract, the thread and the memories, by rule.

It makes an agent usable, and a whole installation testable, before any key is set. It says only what it was told, in
the manner that the contract's identity and traits ask for, and the same to the same conversation.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator

from backend.gateways.offline_asking import next_words
from backend.gateways.offline_conversation import OfflineConversation
from backend.gateways.offline_reading import read_answers
from backend.gateways.offline_script import reflection, written_part
from backend.gateways.offline_work import made_plan, step_done, step_result, verdict
from backend.gateways.text_cleaner import clean
from backend.ports import ModelReply, ModelRequest, TextDelta
from backend.ports.tasks import Act, AskNext, CheckDone, DoStep, MakePlan, ReadAnswers, Reflect, WritePart

NAME = "offline"
_WORD_AND_SPACE = re.compile(r"\S+\s*")


class OfflineModel:
    """The `LanguageModel` named `offline`. It never fails and knows no retirements."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Answer in one piece."""
        return ModelReply(text=clean(_text(request)), provider=NAME, model=NAME, offline=True)

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


def _text(request: ModelRequest) -> str:
    """The answer to a request: what its task asks for, and without one the next answer of a conversation."""
    match request.task:
        case None:
            text = OfflineConversation(request).text()
        case ReadAnswers() as task:
            text = read_answers(task).model_dump_json()
        case AskNext() as task:
            text = next_words(request, task)
        case WritePart() as task:
            text = written_part(request, task)
        case Reflect() as task:
            text = reflection(request.contract, task)
        case DoStep() as task:
            text = step_result(request, task)
        case MakePlan() as task:
            text = made_plan(request, task)
        case Act() as task:
            text = step_done(request, task)
        case CheckDone() as task:
            text = verdict(request, task).model_dump_json()
    return text
