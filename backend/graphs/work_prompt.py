"""What is said to the model in runs of workflows and of autonomous agents. Pure: the same run, the same words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backend.graphs.prompt import in_context, quoted
from backend.graphs.references import LONGEST_FILLED
from backend.graphs.state import Work
from backend.graphs.templates import render
from backend.ports import MemoryContext, PromptMessage

LONGEST_RESULT = 20_000
LONGEST_OLD_RESULT = 500
RECENT_RESULTS = 5
"""Of a long pursuit, what was done lately is shown whole, and of what was done before how it begins."""


def step_messages(
    work: Work, memory: MemoryContext, prompt: str, given: Sequence[tuple[str, str]]
) -> list[PromptMessage]:
    """A step's prompt, which is the contract's own, and what it is given, quoted: no text breaks out of its line."""
    if not given:
        return _messages(work, memory, prompt)
    lines = (f"- {{{{{name}}}}}: {quoted(text, LONGEST_FILLED)}" for name, text in given)
    return _messages(work, memory, render("step", prompt=prompt, given="\n".join(lines)))


def plan_messages(work: Work, memory: MemoryContext, goal: str) -> list[PromptMessage]:
    """Ask for a plan."""
    return _messages(work, memory, render("plan", goal=quoted(goal, LONGEST_FILLED)))


def act_messages(
    work: Work, memory: MemoryContext, goal: str, plan: str, done: Sequence[str], missing: str
) -> list[PromptMessage]:
    """Ask for the next thing."""
    text = render(
        "act",
        goal=quoted(goal, LONGEST_FILLED),
        plan=quoted(plan, LONGEST_RESULT),
        done="".join(_results(done)),
        missing=quoted(missing) if missing.strip() else "",
    )
    return _messages(work, memory, text)


def check_messages(work: Work, memory: MemoryContext, goal: str, plan: str, done: Sequence[str]) -> list[PromptMessage]:
    """Ask whether the goal is reached."""
    text = render(
        "check",
        goal=quoted(goal, LONGEST_FILLED),
        plan=quoted(plan, LONGEST_RESULT),
        done="".join(_results(done)),
    )
    return _messages(work, memory, text)


def check_again_messages(asked: Sequence[PromptMessage], said: str, fault: str) -> list[PromptMessage]:
    """Ask once more, with what was wrong with the answer."""
    again = render("check_again", fault=fault)
    return [*asked, PromptMessage("assistant", said), PromptMessage("user", again)]


def _messages(work: Work, memory: MemoryContext, text: str) -> list[PromptMessage]:
    system = in_context(
        work.prompt,
        memories=memory.retrieved_memories,
        tools=[tool.spec for tool in work.tools.tools.values()],
        tools_away=work.tools.away,
        memory_is_away=memory.state == "degraded",
    )
    return [PromptMessage("system", system), PromptMessage("user", text)]


def _results(done: Sequence[str]) -> Iterator[str]:
    for number, result in enumerate(done):
        longest = LONGEST_RESULT if number >= len(done) - RECENT_RESULTS else LONGEST_OLD_RESULT
        yield f"\n- {quoted(result, longest)}"
