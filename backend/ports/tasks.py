"""What a model call is for, where that is more than answering what was said last.

Everything in a task stands in the call's messages, too, as a language model reads it. A provider without a model has
nothing else to go on, so it reads the task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from backend.models.interview import Interview
from backend.models.interview_progress import Answer, InterviewProgress
from backend.models.script import ScriptPart


@dataclass(frozen=True, slots=True)
class ReadAnswers:
    """Read out of `message` what it says about the fields of the interview. The reply is the JSON of `HeardAnswers`."""

    interview: Interview
    progress: InterviewProgress
    message: str


@dataclass(frozen=True, slots=True)
class AskNext:
    """Answer `message`, then ask for the field `progress.asked`, or read the answers back and ask whether they are
    right (`progress.read_back`), or say that all is known (`progress.confirmed`).
    """

    interview: Interview
    progress: InterviewProgress
    message: str


@dataclass(frozen=True, slots=True)
class WritePart:
    """Write one part of a script from a plan. `before` are the texts of the parts before it."""

    part: ScriptPart
    plan: Mapping[str, Answer]
    before: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Reflect:
    """Say in one or two sentences what the person wanted and what was made for them, to be remembered."""

    plan: Mapping[str, Answer]


@dataclass(frozen=True, slots=True)
class DoStep:
    """Do what `prompt` says with the texts that are given: name (`input`, or the step it comes from) and text."""

    prompt: str
    given: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class MakePlan:
    """Plan how to reach the goal: a few lines, one step each."""

    goal: str


@dataclass(frozen=True, slots=True)
class Act:
    """Do the next thing of the plan. `done` are the results so far, oldest first."""

    goal: str
    plan: str
    done: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class CheckDone:
    """Is the goal reached? The reply is the JSON of `Verdict`."""

    goal: str
    plan: str
    done: Sequence[str] = ()


Task: TypeAlias = ReadAnswers | AskNext | WritePart | Reflect | DoStep | MakePlan | Act | CheckDone
