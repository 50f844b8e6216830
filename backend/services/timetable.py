"""The moments that a cron schedule means, in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from croniter import CroniterError, croniter

from backend.telemetry import get_logger

NEVER = datetime(9999, 12, 31, tzinfo=UTC)
_HOURS, _MINUTES = 24, 60
_log = get_logger(__name__)


class Timetable:
    """A schedule of five cron fields. UTC has no summer time: no tick is left out or comes twice.

    Contracts hold no schedule that cannot be read; should there be one, it never ticks, and stops no other.
    """

    def __init__(self, schedule: str) -> None:
        self._schedule = schedule

    def after(self, moment: datetime) -> datetime:
        """The first tick after this moment; `NEVER` without one."""
        try:
            return _whole(croniter(self._schedule, moment).get_next(datetime))
        except CroniterError:
            _log.error("a schedule has no next time", schedule=self._schedule)
            return NEVER

    def due(self, since: datetime, now: datetime) -> tuple[datetime, int, datetime | None]:
        """Of the ticks from `since` to `now`: the latest, how many come before it, and the last of these."""
        first = self.after(since - timedelta(microseconds=1))
        if first > now:
            return since, 0, None  # what was waited for is no tick of this schedule, and due all the same
        latest = self._before(self.after(now))
        missed = self._count(first, latest)
        return latest, missed, self._before(latest) if missed else None

    def _before(self, moment: datetime) -> datetime:
        return _whole(croniter(self._schedule, moment).get_prev(datetime))

    def _count(self, first: datetime, last: datetime) -> int:
        """How many ticks there are from one tick to another, without the second.

        On each day that has ticks they come at the same times, so that years need not be walked through by the minute.
        """
        fields, _ = croniter.expand(self._schedule)
        minutes, hours = _values(fields[0], _MINUTES), _values(fields[1], _HOURS)

        def earlier_that_day(tick: datetime) -> int:
            whole = sum(hour < tick.hour for hour in hours) * len(minutes)
            return whole + sum(minute < tick.minute for minute in minutes)

        days = 0
        day = _midnight(first)
        while day < _midnight(last):
            days += 1
            day = _midnight(self.after(day + timedelta(days=1, microseconds=-1)))
        return days * len(minutes) * len(hours) - earlier_that_day(first) + earlier_that_day(last)


def _values(field: Sequence[int | str], size: int) -> list[int]:
    return list(range(size)) if "*" in field else [int(one) for one in field]


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _whole(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
