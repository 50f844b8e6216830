"""What is said to the model in an interview. Pure: the same stand, the same words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backend.graphs.prompt import in_context, interview_field, quoted
from backend.graphs.state import Turn
from backend.graphs.templates import render
from backend.models.interview import Interview, InterviewField
from backend.models.interview_progress import Answer, InterviewProgress
from backend.ports import MemoryContext, PromptMessage

LONGEST_MESSAGE = 20_000
LONGEST_ANSWER = 4_000


def reading_messages(interview: Interview, progress: InterviewProgress, message: str) -> list[PromptMessage]:
    """Ask what a message says about the interview."""
    system = render(
        "interview_reading",
        fields="\n".join(interview_field(field) for field in interview.fields),
        known=known_answers(progress.answers),
        asked=_asked(interview, progress),
    )
    said = render("interview_message", message=quoted(message, LONGEST_MESSAGE))
    return [PromptMessage("system", system), PromptMessage("user", said)]


def reading_again_messages(asked: Sequence[PromptMessage], said: str, fault: str) -> list[PromptMessage]:
    """Ask once more, with what was wrong with the answer."""
    again = render("interview_reading_again", fault=fault)
    return [*asked, PromptMessage("assistant", said), PromptMessage("user", again)]


def asking_messages(
    turn: Turn, interview: Interview, progress: InterviewProgress, memory: MemoryContext
) -> list[PromptMessage]:
    """Answer the person, and ask what is next: the contract's prompt, then where the interview stands."""
    system = in_context(
        turn.prompt,
        summary=turn.summary,
        memories=memory.retrieved_memories,
        tools=[tool.spec for tool in turn.tools.tools.values()],
        tools_away=turn.tools.away,
        memory_is_away=memory.state == "degraded",
    )
    stand = render("interview_stand", known=known_answers(progress.answers), next=_next(interview, progress))
    return [PromptMessage("system", f"{system}\n{stand}\n"), *turn.history]


def known_answers(answers: Mapping[str, Answer]) -> str:
    """A line for each answer, quoted, in the order given; a field without one has none."""
    given = ((name, [answer] if isinstance(answer, str) else answer) for name, answer in answers.items())
    lines = [
        f"- {name}: {'; '.join(quoted(item, LONGEST_ANSWER) for item in items)}" for name, items in given if any(items)
    ]
    return "\n".join(lines) or render("interview_nothing_known")


def _asked(interview: Interview, progress: InterviewProgress) -> str:
    field = _field(interview, progress.asked)
    if field is not None:
        return render("interview_asked", name=field.name, question=field.question)
    if progress.read_back:
        return render("interview_asked_read_back", question=interview.confirmation.question)
    return render("interview_nothing_known")


def _next(interview: Interview, progress: InterviewProgress) -> str:
    field = _field(interview, progress.asked)
    if field is None:
        if progress.confirmed:
            return render("interview_done")
        return render("interview_read_back", question=interview.confirmation.question)
    shown = field.options if field.name in progress.unclear else ()
    return render(
        "interview_ask",
        name=field.name,
        question=field.question,
        options="; ".join(f"{option.value.replace('_', ' ')} ({option.description})" for option in shown),
        need="" if field.required else "optional",
    )


def _field(interview: Interview, name: str | None) -> InterviewField | None:
    return next((field for field in interview.fields if field.name == name), None)
