"""What time it is, where."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from backend.graphs.tool_arguments import ArgumentsRefused, read_arguments
from backend.ports import ToolOutcome
from backend.services.tools.current_time import CurrentTime
from backend.tests.fakes import FrozenClock
from backend.tests.services.tools.requests import request

SUNDAY = datetime(2026, 11, 22, 23, 5, 9, 999, tzinfo=UTC)


async def told(**arguments: Any) -> ToolOutcome:
    return await CurrentTime(FrozenClock(SUNDAY)).call(request(), arguments, uuid4())


async def test_it_is_utc_unless_asked() -> None:
    expected = ToolOutcome("Sunday, 22 November 2026, 23:05:09 in UTC (2026-11-22T23:05:09+00:00)")
    assert await told() == expected
    assert await told(timezone="utc ") == expected


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("Asia/Tokyo", "Monday, 23 November 2026, 08:05:09 in Asia/Tokyo (2026-11-23T08:05:09+09:00)"),
        ("america/new_york", "Sunday, 22 November 2026, 18:05:09 in America/New_York (2026-11-22T18:05:09-05:00)"),
        ("Asia/Kathmandu", "Monday, 23 November 2026, 04:50:09 in Asia/Kathmandu (2026-11-23T04:50:09+05:45)"),
    ],
)
async def test_it_is_another_time_elsewhere(zone: str, expected: str) -> None:
    assert await told(timezone=zone) == ToolOutcome(expected)


async def test_summer_time_counts() -> None:
    clock = FrozenClock(datetime(2026, 7, 1, 12, tzinfo=UTC))
    assert "14:00:00" in (await CurrentTime(clock).call(request(), {"timezone": "Europe/Berlin"}, uuid4())).text


@pytest.mark.parametrize(
    "zone", ["Mars/Base", "../etc/passwd", "/etc/localtime", "America", "Europe/", "\x00", "UTC+2"]
)
async def test_a_zone_that_there_is_not_is_said(zone: str) -> None:
    outcome = await told(timezone=zone)
    assert outcome.failed
    assert f"no time zone called {zone}" in outcome.text
    assert "Europe/Lisbon" in outcome.text


async def test_a_city_is_told_its_zone() -> None:
    assert (await told(timezone="new york")).text.endswith("Did you mean America/New_York?")


def test_the_arguments_are_checked() -> None:
    assert read_arguments(CurrentTime.spec, "") == {}
    with pytest.raises(ArgumentsRefused, match="/timezone: must be a string"):
        read_arguments(CurrentTime.spec, '{"timezone": 2}')
    with pytest.raises(ArgumentsRefused, match="zone' was unexpected"):
        read_arguments(CurrentTime.spec, '{"zone": "UTC"}')
