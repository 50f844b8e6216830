"""How the agent ranks what it remembers."""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import model_validator

from backend.models.base import FrozenModel, example, refusal
from backend.models.fields import Between, Share

TOLERANCE = 1e-6


class MemorySettings(FrozenModel):
    """Weights of a memory's rank (they sum to 1) and the settings of recall.

    `half_life_days`: after so many days recency counts half. `relevance_floor`: what is less relevant is not shown;
    left out, it is the floor calibrated for the deployment's embedder. `max_user_memories`: how many places are kept
    for memories of the person the agent talks to.
    """

    model_config = example(
        alpha_recency=0.35,
        alpha_semantic=0.45,
        alpha_reinforcement=0.20,
        half_life_days=30,
        max_user_memories=3,
    )

    alpha_recency: Share = 0.35
    alpha_semantic: Share = 0.45
    alpha_reinforcement: Share = 0.20
    half_life_days: Annotated[float, Between(0.1, 3650)] = 30.0
    relevance_floor: Share | None = None
    max_user_memories: Annotated[int, Between(0, 20)] = 3

    @model_validator(mode="after")
    def _weights_sum_to_one(self) -> Self:
        total = self.alpha_recency + self.alpha_semantic + self.alpha_reinforcement
        if not math.isclose(total, 1.0, rel_tol=0, abs_tol=TOLERANCE):
            sentence = (
                f"alpha_recency {self.alpha_recency:g} + alpha_semantic {self.alpha_semantic:g} + "
                f"alpha_reinforcement {self.alpha_reinforcement:g} is {total:g}; the three must sum to 1"
            )
            raise refusal(type(self), [((), sentence)])
        return self
