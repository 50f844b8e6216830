"""How far an interview has come, and what a message added to it."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from backend.models.base import FrozenModel, example

Answer: TypeAlias = str | tuple[str, ...]
"""Of a field of kind list several, of the others one; of a choice the option's value."""
SessionStage = Literal["greeting", "goals", "preferences", "confirmation", "complete"]


class InterviewProgress(FrozenModel):
    """Where an interview stands after what was said so far; what it does not say is not known yet.

    `asked` is the field that the agent's last message asked for; `passed` are optional fields that the person left
    out; `unclear` are choices that were answered with none of their options, which are named when asked again.
    `read_back`: the last message read the answers back. `confirmed`: the person said that they are right.
    """

    model_config = example(answers={"goals": ["sleep through the night"], "tone": "calm"}, asked="session_type")

    answers: dict[str, Answer] = Field(default_factory=dict[str, Answer])
    asked: str | None = None
    passed: tuple[str, ...] = ()
    unclear: tuple[str, ...] = ()
    read_back: bool = False
    confirmed: bool = False


class HeardAnswers(FrozenModel):
    """What one message says about an interview.

    `answers` holds the whole new value of each field that it speaks of, corrections included (a list with what was
    there before and is still meant). `passed` are optional fields that it declines. `confirms` is whether it agrees to
    what was read back: None when it says neither.
    """

    model_config = example(answers={"tone": "calm"}, passed=["notes"], confirms=None)

    answers: dict[str, Answer] = Field(default_factory=dict[str, Answer])
    passed: tuple[str, ...] = ()
    confirms: bool | None = None


class Verdict(FrozenModel):
    """Whether a goal is reached; then `answer` is what to tell, otherwise `missing` is what is still to be done."""

    model_config = example(done=True, answer="Three books are suggested for next week.", missing="")

    done: bool
    answer: str = ""
    missing: str = ""
