"""One go of talking with a model, tool calls and all."""

from __future__ import annotations

from dataclasses import dataclass, field

from backend.models.run import ToolUse
from backend.ports import ModelReply, PromptMessage, Usage


@dataclass(slots=True)
class Exchange:
    """What was said to a model and by it in one go: the prompt's messages, then answers, calls and their results."""

    messages: list[PromptMessage]
    texts: list[str] = field(default_factory=list[str])
    usage: Usage = field(default_factory=Usage)
    used: list[ToolUse] = field(default_factory=list[ToolUse])
    rounds: int = 0

    def answer(self, last: ModelReply) -> ModelReply:
        """The whole answer: everything that was said, and the tokens of all calls."""
        return ModelReply(
            text="\n\n".join(self.texts),
            provider=last.provider,
            model=last.model,
            usage=self.usage,
            finish_reason=last.finish_reason,
            left_out=last.left_out,
            offline=last.offline,
        )
