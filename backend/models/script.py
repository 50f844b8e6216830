"""What a writing agent produces."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from backend.models.base import FrozenModel, example, refusal
from backend.models.fields import Between, NotEmpty, Slug, Text, shown


class ScriptPart(FrozenModel):
    """One part: what it is for, how long it lasts when spoken (minutes), and how it is paced."""

    model_config = example(
        name="warm_up", purpose="recall what is known already", minutes=3, pacing="brisk, one question at a time"
    )

    name: Slug
    purpose: Annotated[str, Text(5000, visible=True)]
    minutes: Annotated[float, Between(0.1, 120)]
    pacing: Annotated[str, Text(1000)] = ""


class Script(FrozenModel):
    """The parts in the order in which they are written, each filled from a plan."""

    model_config = example(
        parts=[{"name": "warm_up", "purpose": "recall what is known already", "minutes": 3, "pacing": "brisk"}]
    )

    parts: Annotated[tuple[ScriptPart, ...], Field(max_length=20), NotEmpty()]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [part.name for part in self.parts]
        twins = [
            (("parts", index, "name"), f"{shown(name)} is there already; each part needs its own name")
            for index, name in enumerate(names)
            if name in names[:index]
        ]
        if twins:
            raise refusal(type(self), twins)
        return self
