"""How the agent behaves: nine traits from 0 to 100."""

from __future__ import annotations

from backend.models.base import FrozenModel, example
from backend.models.fields import Percent


class Traits(FrozenModel):
    """Nine traits, whole numbers from 0 (none of it) to 100 (as much as can be)."""

    model_config = example(
        creativity=50,
        empathy=90,
        assertiveness=50,
        humor=30,
        formality=50,
        verbosity=40,
        confidence=70,
        technicality=50,
        safety=80,
    )

    creativity: Percent = 50
    empathy: Percent = 50
    assertiveness: Percent = 50
    humor: Percent = 30
    formality: Percent = 50
    verbosity: Percent = 50
    confidence: Percent = 70
    technicality: Percent = 50
    safety: Percent = 80
