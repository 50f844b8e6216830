"""What is said to the model when a script is written. Pure: the same plan and parts, the same words."""

from __future__ import annotations

from collections.abc import Sequence

from backend.graphs.interview_prompt import known_answers
from backend.graphs.prompt import WORDS_PER_TOKEN, in_context
from backend.graphs.state import Writing
from backend.graphs.templates import render
from backend.models.agent import AgentContract
from backend.models.script import Script, ScriptPart
from backend.models.session import SpokenPart
from backend.ports import MemoryContext, PromptMessage

WORDS_PER_MINUTE = 110
"""How fast a guiding voice speaks at speed 1."""
SHARE_OF_PAUSES = 0.25
LONGEST_BEGINNING = 600
LONGEST_END = 900
"""Of a part that was written before, so much is shown: how it begins, and how it ends."""


def part_messages(
    bench: Writing, memory: MemoryContext, script: Script, part: ScriptPart, before: Sequence[SpokenPart]
) -> list[PromptMessage]:
    """Ask for one part, after those before it."""
    messages = [PromptMessage("system", _system(bench, memory))]
    for one in before:
        messages.append(PromptMessage("user", render("script_part_asked", name=one.name)))
        messages.append(PromptMessage("assistant", _shortened(one.text)))
    names = [one.name for one in script.parts]
    following = names[len(before) + 1 : len(before) + 2]
    order = render(
        "script_part_order",
        name=part.name,
        purpose=part.purpose,
        pacing=part.pacing,
        words=str(words_of(bench.contract, part)),
        pauses=str(round(part.minutes * 60 * SHARE_OF_PAUSES)),
        minutes=f"{part.minutes:g}",
        after=before[-1].name if before else "",
        before="".join(following),
    )
    return [*messages, PromptMessage("user", order)]


def reflection_messages(bench: Writing, memory: MemoryContext, parts: Sequence[SpokenPart]) -> list[PromptMessage]:
    """Ask what is to be remembered of it."""
    messages = [PromptMessage("system", _system(bench, memory))]
    for part in parts:
        messages.append(PromptMessage("user", render("script_part_asked", name=part.name)))
        messages.append(PromptMessage("assistant", _shortened(part.text)))
    return [*messages, PromptMessage("user", render("script_reflection"))]


def words_of(contract: AgentContract, part: ScriptPart) -> int:
    """How many words the part has when it takes its minutes at the voice's speed, pauses included; at least ten, and no
    more than the agent may write at once.
    """
    speed = contract.voice.speed if contract.voice else 1.0
    spoken = part.minutes * WORDS_PER_MINUTE * speed * (1 - SHARE_OF_PAUSES)
    return max(10, min(round(spoken), int(contract.configuration.max_tokens * WORDS_PER_TOKEN)))


def _system(bench: Writing, memory: MemoryContext) -> str:
    known = in_context(bench.prompt, memories=memory.retrieved_memories, memory_is_away=memory.state == "degraded")
    return f"{known}\n{render('script_writing', plan=known_answers(bench.plan))}\n"


def _shortened(text: str) -> str:
    if len(text) <= LONGEST_BEGINNING + LONGEST_END:
        return text
    return f"{text[:LONGEST_BEGINNING].rstrip()} […] {text[-LONGEST_END:].lstrip()}"
