"""What of a conversation goes into a prompt: the newest messages, and a summary of those that left the window.

Pure: the same messages, the same window. Folding is by rule and costs no model call, so nothing is ever between
window and summary; when the summary has grown long, its oldest lines make room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from backend.ports import PromptMessage
from backend.stores.runs import Said

LONGEST_LINE = 240
LONGEST_SUMMARY = 6_000
_SPEAKERS: dict[str, Literal["Person", "Agent"]] = {"user": "Person", "assistant": "Agent"}


@dataclass(frozen=True, slots=True)
class Window:
    """`messages` for the prompt, oldest first; the summary in force and the last position that it holds."""

    messages: Sequence[PromptMessage]
    summary: str
    summarized_through: int


def window(history: Sequence[Said], message: str, *, size: int, summary: str, summarized_through: int) -> Window:
    """The last `size` messages, the new one included; what came before them is folded into the summary."""
    spoken = [one for one in history if one.content and one.role in _SPEAKERS and one.status != "failed"]
    keep = size - 1
    leaving, staying = spoken[: max(0, len(spoken) - keep)], spoken[max(0, len(spoken) - keep) :]
    messages = [_prompt_message(one) for one in staying]
    messages.append(PromptMessage("user", message))
    if not leaving:
        return Window(messages, summary, summarized_through)
    return Window(messages, fold(summary, leaving), leaving[-1].position)


def fold(summary: str, messages: Sequence[Said]) -> str:
    """The summary with these messages added, one line each, at most `LONGEST_SUMMARY` characters."""
    lines = summary.splitlines()
    lines.extend(f"{_SPEAKERS[one.role]}: {_shortened(one.content)}" for one in messages)
    length = sum(len(line) + 1 for line in lines)
    while length > LONGEST_SUMMARY and len(lines) > 1:
        # What the person said is worth more than how the agent answered, so answers go first.
        oldest = next((at for at, line in enumerate(lines[: len(lines) // 2]) if line.startswith("Agent: ")), 0)
        length -= len(lines.pop(oldest)) + 1
    return "\n".join(lines)


def _shortened(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= LONGEST_LINE else f"{flat[: LONGEST_LINE - 1].rstrip()}…"


def _prompt_message(said: Said) -> PromptMessage:
    return PromptMessage("user" if said.role == "user" else "assistant", said.content)
