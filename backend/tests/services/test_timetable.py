"""When a schedule ticks: in UTC, none left out, none twice, and counted without walking through years."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from croniter import croniter
from hypothesis import given
from hypothesis import strategies as st

from backend.services.timetable import NEVER, Timetable

ROOT = Path(__file__).parents[3]
SCHEDULES = (
    "* * * * *", "*/7 * * * *", "0 9 * * 1-5", "@daily", "@hourly", "0 0 29 2 1", "5,10 */6 L * *", "0 0 * * 5#3",
    "59 23 * * *", "0 0 1 * *", "30 1-3 * * 0", "0 12 1W * *", "5-1 22-3 * * *", "0 9 * JAN,JUN MON-FRI",
)  # fmt: skip
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 — hypothesis adds the zone


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


@given(st.sampled_from(SCHEDULES), MOMENTS, st.integers(0, 86_400))
def test_what_is_due_is_what_one_gets_by_walking(schedule: str, since: datetime, seconds: int) -> None:
    first = Timetable(schedule).after(since)
    now = first + timedelta(seconds=seconds)
    walk = croniter(schedule, first)
    ticks = [first]
    while (tick := walk.get_next(datetime)) <= now:
        ticks.append(tick)
    assert first > since
    assert Timetable(schedule).due(first, now) == (ticks[-1], len(ticks) - 1, ticks[-2] if len(ticks) > 1 else None)


@pytest.mark.parametrize(
    ("schedule", "since", "now", "expected"),
    [
        ("0 9 * * 1-5", "2026-11-20T09:00", "2026-11-20T09:00", ("2026-11-20T09:00", 0, None)),
        ("0 9 * * 1-5", "2026-11-20T09:00", "2026-11-25T08:59:59", ("2026-11-24T09:00", 2, "2026-11-23T09:00")),
        ("* * * * *", "2025-01-01T00:00", "2026-01-01T00:00:30", ("2026-01-01T00:00", 525_600, "2025-12-31T23:59")),
        ("0 0 29 2 *", "2024-02-29T00:00", "2032-03-01T00:00", ("2032-02-29T00:00", 2, "2028-02-29T00:00")),
        # What was written there is no tick: it is due as it is, or makes way for the ones after it.
        ("0 * * * *", "2026-11-20T09:10", "2026-11-20T09:50", ("2026-11-20T09:10", 0, None)),
        ("0 * * * *", "2026-11-20T09:10", "2026-11-20T11:50", ("2026-11-20T11:00", 1, "2026-11-20T10:00")),
    ],
)
def test_what_is_due(schedule: str, since: str, now: str, expected: tuple[str, int, str | None]) -> None:
    tick, missed, last = Timetable(schedule).due(at(since), at(now))
    assert (tick, missed, last) == (at(expected[0]), expected[1], at(expected[2]) if expected[2] else None)


def test_what_cannot_be_read_never_ticks() -> None:
    for odd in ("", "0 0 30 2 *", "every day", "* * * * * * * * *"):
        assert Timetable(odd).after(at("2026-11-20T09:10")) == NEVER


_SPRING_AND_AUTUMN = """
import os, time
from datetime import UTC, datetime, timedelta
from backend.services.timetable import Timetable
hourly, nightly = Timetable("0 * * * *"), Timetable("30 2 * * *")
for zone in ("America/New_York", "Europe/Berlin", "Australia/Lord_Howe"):
    os.environ["TZ"] = zone
    time.tzset()
    assert time.daylight, zone
    for month, day in ((3, 7), (3, 28), (4, 4), (10, 3), (10, 24), (10, 31)):
        tick = start = datetime(2026, month, day, tzinfo=UTC)
        for _ in range(72):
            following = hourly.after(tick)
            assert following - tick == timedelta(hours=1), (zone, tick)
            assert hourly.due(tick, tick + timedelta(minutes=59))[:2] == (tick, 0), (zone, tick)
            tick = following
        nights = [nightly.after(start + timedelta(days=day)) for day in range(4)]
        assert nights == [start + timedelta(days=day, hours=2, minutes=30) for day in range(4)], (zone, nights)
"""


def test_summer_time_of_the_machine_moves_nothing() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", _SPRING_AND_AUTUMN], check=True, env=environment, timeout=60)
