"""How sure an agent may be that what it recalled bears on the question: calibrated on absolute relevance."""

from __future__ import annotations

import math

from backend.services.memory.ranking import Floats

_STEEPNESS = 12.0
_EVEN = 0.42
"""The relevance of the best memory at which it is as likely as not that the memories shown answer the question."""


def confidence(shown: Floats) -> float:
    """In [0, 1], from the relevance of the memories that are shown; 0 when there is none."""
    if not len(shown):
        return 0.0
    return 1 / (1 + math.exp(-_STEEPNESS * (float(shown.max()) - _EVEN)))
