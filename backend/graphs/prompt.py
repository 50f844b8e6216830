"""From contract to system prompt: one pure function over the texts in `backend/prompts/templates`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

from backend.graphs.templates import render, template_text
from backend.models.agent import AgentContract
from backend.models.interview import Interview, InterviewField
from backend.models.script import Script
from backend.models.traits import Traits
from backend.ports import RecalledMemory, ToolSpec

BAND_WIDTH = 20
WORDS_PER_TOKEN = 0.7
LONGEST_QUOTE = 2000

# What could end a quoted line, reorder it on a screen, or hide text from people but not from a model; and the
# brackets of the control tokens which some servers read out of plain text.
ESCAPED = re.compile(
    "[<>\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


_ENCODE = json.JSONEncoder(ensure_ascii=False).encode


def compile_prompt(
    contract: AgentContract,
    *,
    summary: str = "",
    memories: Sequence[RecalledMemory] = (),
    tools: Sequence[ToolSpec] = (),
) -> str:
    """The system prompt of one turn, in Markdown; empty parts leave no trace.

    Texts of the contract stand in it literally. `summary`, `memories` (best first) and the descriptions of `tools` come
    from elsewhere, so they are quoted, a line each, in a way that no text can break out of.
    """
    return in_context(contract_prompt(contract), summary=summary, memories=memories, tools=tools)


def contract_prompt(contract: AgentContract) -> str:
    """What the contract alone says: the same for every turn of a version."""
    return _joined(_contract_sections(contract))


def in_context(
    prompt: str,
    *,
    summary: str = "",
    memories: Sequence[RecalledMemory] = (),
    tools: Sequence[ToolSpec] = (),
    tools_away: Sequence[str] = (),
    memory_is_away: bool = False,
) -> str:
    """A contract's prompt with what is known at this turn. `tools_away` names servers whose tools cannot be had.

    `memory_is_away`: nobody knows what is remembered, which is not the same as nothing.
    """
    known = _joined(_turn_sections(summary, memories, tools, tools_away, memory_is_away=memory_is_away))
    return f"{prompt}\n{known}" if known else prompt


def _joined(sections: Iterable[str]) -> str:
    text = "\n\n".join(section for section in sections if section)
    return f"{text}\n" if text else ""


def _contract_sections(contract: AgentContract) -> Iterator[str]:
    yield render("identity", name=contract.name, **contract.identity.model_dump())
    lines = trait_lines(contract.traits)
    yield render("traits", lines="\n".join(line for trait, line in lines.items() if trait != "safety"))
    yield render("safety", line=lines["safety"])
    yield _answers(contract)
    if _is_spoken(contract):
        yield render("speech")
    if contract.interview:
        yield _interview(contract.interview)
    if contract.script:
        yield _script(contract.script)


def _turn_sections(
    summary: str,
    memories: Sequence[RecalledMemory],
    tools: Sequence[ToolSpec],
    tools_away: Sequence[str],
    *,
    memory_is_away: bool,
) -> Iterator[str]:
    if tools:
        yield render("tools", lines="\n".join(f"- {quoted(tool.name)}: {quoted(tool.description)}" for tool in tools))
    if tools_away:
        yield render("tools_away", names=", ".join(quoted(name) for name in tools_away))
    if earlier := _quoted_lines(summary.splitlines()):
        yield render("summary", lines=earlier)
    if remembered := "\n".join(_memory_line(memory) for memory in memories if memory.text.strip()):
        yield render("memories", lines=remembered)
    elif memory_is_away:
        yield render("memories_away")


def trait_lines(traits: Traits) -> dict[str, str]:
    """Trait to its line, which carries the number and the instruction of the band."""
    lines: dict[str, str] = {}
    for trait, value in traits.model_dump().items():
        label, bands = _trait_bands()[trait]
        lines[trait] = f"- {label} {value}/100: {bands[band_of(value)]}"
    return lines


def band_of(value: int) -> int:
    """0 for 0–20, 1 for 21–40, 2 for 41–60, 3 for 61–80, 4 for 81–100."""
    return max(value - 1, 0) // BAND_WIDTH


def quoted(text: str, longest: int = LONGEST_QUOTE) -> str:
    """`text` as one line of JSON string: whatever it holds, it ends where the closing quote says."""
    cut = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return ESCAPED.sub(_escaped, _ENCODE(cut))


def _escaped(sign: re.Match[str]) -> str:
    units = sign[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _quoted_lines(texts: Iterable[str]) -> str:
    return "\n".join(f"- {quoted(text)}" for text in texts if text.strip())


def _memory_line(memory: RecalledMemory) -> str:
    told = f"{memory.speaker}: {memory.text}" if memory.speaker else memory.text
    when = f" ({memory.said_at.day} {memory.said_at:%B %Y})" if memory.said_at else ""
    return f"- {quoted(told)}{when}"


def _is_spoken(contract: AgentContract) -> bool:
    return contract.type == "voice" or contract.configuration.voice_enabled


def _answers(contract: AgentContract) -> str:
    languages: tuple[str, ...] = contract.capabilities.languages if contract.capabilities else ()
    if _is_spoken(contract) and contract.voice:
        languages = (contract.voice.language,)
    words = int(contract.configuration.max_tokens * WORDS_PER_TOKEN)
    return render(
        "answers",
        words=str(words),
        only_language=languages[0] if len(languages) == 1 else "",
        languages=", ".join(languages) if len(languages) > 1 else "",
        first_language=languages[0] if languages else "",
    )


def _interview(interview: Interview) -> str:
    return render(
        "interview",
        opening=interview.opening,
        fields="\n".join(interview_field(field) for field in interview.fields),
        confirmation=interview.confirmation.question,
    )


def interview_field(field: InterviewField) -> str:
    """A field with its options, as the model reads it."""
    options = (
        render("interview_option", value=option.value, description=option.description, words=", ".join(option.words))
        for option in field.options
    )
    return render(
        "interview_field",
        name=field.name,
        kind=field.kind,
        need="required" if field.required else "optional",
        question=field.question,
        options="\n".join(options),
    )


def _script(script: Script) -> str:
    parts = (
        render("script_part", name=part.name, minutes=f"{part.minutes:g}", purpose=part.purpose, pacing=part.pacing)
        for part in script.parts
    )
    return render("script", parts="\n".join(parts))


@cache
def _trait_bands() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Trait to its label and its five instructions, lowest first."""
    bands: dict[str, tuple[str, tuple[str, ...]]] = {}
    for block in template_text("trait_bands").strip().split("\n\n"):
        heading, *lines = block.splitlines()
        label = heading.removeprefix("## ")
        bands[label.lower()] = (label, tuple(line.removeprefix("- ") for line in lines))
    return bands
