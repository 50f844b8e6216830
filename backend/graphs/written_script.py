"""A script as far as it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from backend.models.session import Pause, SpokenPart
from backend.ports import MemoryContext


class WritingState(TypedDict, total=False):
    """Filled by the nodes: `memory` by recall, `parts` by write, `reflection` by reflect."""

    memory: MemoryContext
    parts: tuple[SpokenPart, ...]
    reflection: str


def joined(parts: tuple[SpokenPart, ...]) -> str:
    """The words of these parts as one text."""
    return "\n\n".join(part.text for part in parts)


def recorded_part(output: Mapping[str, Any] | None) -> SpokenPart | None:
    """The part that a step of a run wrote, by what was recorded of it; None of every other step."""
    if output is None or "name" not in output or "pauses" not in output:
        return None
    pauses = [Pause.model_validate(pause) for pause in output["pauses"]]
    return SpokenPart(name=output["name"], text=output["text"], pauses=pauses)
