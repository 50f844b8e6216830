"""Who the agent is."""

from __future__ import annotations

from typing import Annotated

from backend.models.base import FrozenModel, example
from backend.models.fields import LongText, Text


class Identity(FrozenModel):
    """Who the agent is, in words that its prompt repeats. Only the short description is required."""

    model_config = example(
        short_description="A patient guide to the night sky",
        full_description="Knows constellations, planets and telescopes, and explains them without jargon.",
        character_role="Stargazing companion",
        mission="help people find and understand what they see above them",
        interaction_style="curious, unhurried, concrete",
    )

    short_description: Annotated[str, Text(1000, visible=True)]
    full_description: LongText = ""
    character_role: LongText = ""
    mission: LongText = ""
    interaction_style: LongText = ""
