"""The tool `current_time`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from backend.ports import Clock, ToolOutcome, ToolRequest, ToolSpec

_UTC = "UTC"
_MOST_SUGGESTED = 5


class CurrentTime:
    """Says what time it is, in UTC or in a time zone by its IANA name."""

    spec = ToolSpec(
        name="current_time",
        description=(
            "The current date, weekday and time. Use it whenever an answer depends on what day or time it is now; "
            "you cannot know it otherwise."
        ),
        parameters={
            "type": "object",
            "properties": {
                "timezone": {
                    "type": "string",
                    "description": "IANA name of the time zone, such as Europe/Lisbon. Left out, it is UTC.",
                    "maxLength": 64,
                }
            },
            "additionalProperties": False,
        },
    )

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def call(
        self,
        request: ToolRequest,  # noqa: ARG002 — the protocol's signature
        arguments: Mapping[str, Any],
        key: UUID,  # noqa: ARG002 — the protocol's signature
    ) -> ToolOutcome:
        """The time; a failed outcome for a zone that there is not."""
        asked = str(arguments.get("timezone", _UTC)).strip() or _UTC
        zone = _zones().get(asked.casefold())
        if zone is None:
            return ToolOutcome(_unknown(asked), failed=True)
        now = self._clock.now().astimezone(ZoneInfo(zone))
        return ToolOutcome(
            f"{now:%A}, {now.day} {now:%B %Y}, {now:%H:%M:%S} in {zone} ({now.isoformat('T', 'seconds')})"
        )


@cache
def _zones() -> Mapping[str, str]:
    """The names of all time zones by how they are spelled without capitals."""
    return {name.casefold(): name for name in sorted(available_timezones())}


def _unknown(asked: str) -> str:
    place = asked.casefold().replace(" ", "_").rpartition("/")[2]
    near = [name for folded, name in _zones().items() if folded.rpartition("/")[2] == place][:_MOST_SUGGESTED]
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"There is no time zone called {asked}; use an IANA name such as Europe/Lisbon or America/New_York.{meant}"
