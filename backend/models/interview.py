"""What an interviewing agent must find out."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, model_validator

from backend.models.base import FrozenModel, Problem, example, refusal
from backend.models.fields import LongText, Matching, NotEmpty, Slug, Text, shown

FieldName = Annotated[str, Matching(r"[a-z][a-z0-9_]{0,63}", "1 to 64 small letters, digits or _, the first a letter")]


class InterviewOption(FrozenModel):
    """One answer to choose, with the everyday words by which people ask for it."""

    model_config = example(
        value="beginner", description="has never played", words=["new to it", "first time", "from scratch"]
    )

    value: Slug
    description: Annotated[str, Text(1000, visible=True)]
    words: Annotated[tuple[Annotated[str, Text(100, visible=True, line=True)], ...], Field(max_length=50)] = ()


class InterviewField(FrozenModel):
    """One thing to find out: free text, a list of things, or a choice among options."""

    model_config = example(
        name="level",
        kind="choice",
        question="How long have you been playing?",
        required=True,
        options=[
            {"value": "beginner", "description": "has never played", "words": ["first time"]},
            {"value": "advanced", "description": "plays every week", "words": ["for years"]},
        ],
    )

    name: FieldName
    kind: Literal["text", "list", "choice"]
    question: Annotated[str, Text(1000, visible=True)]
    required: StrictBool = True
    options: Annotated[tuple[InterviewOption, ...], Field(max_length=50)] = ()

    @model_validator(mode="after")
    def _options_fit_the_kind(self) -> Self:
        problems: list[Problem] = []
        if self.kind == "choice" and not self.options:
            problems.append((("options",), "a choice needs at least one option"))
        if self.kind != "choice" and self.options:
            problems.append((("options",), f"only a choice has options; {shown(self.name)} is of kind {self.kind}"))
        problems += _twins("options", "value", [option.value for option in self.options])
        if problems:
            raise refusal(type(self), problems)
        return self


class Confirmation(FrozenModel):
    """How the agent asks whether it understood, after reading back what it heard."""

    model_config = example(question="Did I get that right, or shall I change something?")

    question: Annotated[str, Text(1000, visible=True)] = "Did I understand that correctly?"


class Interview(FrozenModel):
    """The fields to find out, in the order in which they are asked, and the confirmation at the end."""

    model_config = example(
        opening="Welcome. A few questions, then we begin.",
        fields=[{"name": "goals", "kind": "list", "question": "What would you like to learn?"}],
        confirmation={"question": "Did I get that right, or shall I change something?"},
    )

    opening: LongText = ""
    fields: Annotated[tuple[InterviewField, ...], Field(max_length=50), NotEmpty()]
    confirmation: Confirmation = Confirmation()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        problems = _twins("fields", "name", [field.name for field in self.fields])
        if problems:
            raise refusal(type(self), problems)
        return self


def _twins(where: str, what: str, names: list[str]) -> list[Problem]:
    return [
        ((where, index, what), f"{shown(name)} is there already; each {what} may come once")
        for index, name in enumerate(names)
        if name in names[:index]
    ]
