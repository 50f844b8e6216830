"""The times that a question names: days, months, seasons, years, and words such as `last week`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

Span = tuple[datetime, datetime]
"""From and to, both included, in UTC."""

_MONTHS = {
    "january": 1, "february": 2, "march": 3, "april": 4, "may": 5, "june": 6,
    "july": 7, "august": 8, "september": 9, "october": 10, "november": 11, "december": 12,
}  # fmt: skip
_WEEKDAYS: dict[str, int] = {
    "monday": 0, "tuesday": 1, "wednesday": 2, "thursday": 3, "friday": 4, "saturday": 5, "sunday": 6,
}  # fmt: skip
_SEASONS = {"spring": 3, "summer": 6, "fall": 9, "autumn": 9, "winter": 12}
_UNITS = {"day": 1, "week": 7, "month": 30, "year": 365}
_COUNTS = {
    "a": 1, "an": 1, "one": 1, "two": 2, "a couple of": 2, "three": 3, "a few": 3, "four": 4, "five": 5, "six": 6,
    "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12,
}  # fmt: skip

_MONTH, _WEEKDAY = "|".join(_MONTHS), "|".join(_WEEKDAYS)
_DAY_OF_MONTH = (
    re.compile(rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? (?P<month>{_MONTH})\b,?(?: (?P<year>\d{{4}}))?"),
    re.compile(rf"\b(?P<month>{_MONTH}) (?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b,?(?: (?P<year>\d{{4}}))?"),
)
_IN_MONTH = re.compile(
    rf"\b(?:in|of|during|since|by|early|late|mid|last|this)[ -](?P<month>{_MONTH})\b,?(?: (?P<year>\d{{4}}))?"
    rf"|\b(?P<bare_month>{_MONTH}),? (?P<bare_year>\d{{4}})"
)
_IN_SEASON = re.compile(
    rf"\b(?:in|during|this|last|over) (?:the )?(?P<season>{'|'.join(_SEASONS)})\b(?: of)?(?: (?P<year>\d{{4}}))?"
)
_IN_YEAR = re.compile(r"\b(?P<year>20\d\d)\b")
_ON_WEEKDAY = re.compile(rf"\b(?:on|last|this) (?P<weekday>{_WEEKDAY})\b")
_AGO = re.compile(
    rf"\b(?P<count>\d{{1,3}}|{'|'.join(sorted(_COUNTS, key=len, reverse=True))}) (?P<unit>{'|'.join(_UNITS)})s? ago\b"
)
_DAY, _WEEK = timedelta(days=1), timedelta(days=7)
_YEARS_BACK = 10
_LAST_YEAR = 9999


def date_spans(query: str, now: datetime) -> tuple[Span, ...]:
    """The times a question of this moment names, latest first: days, else months, seasons, words, years.

    Without a year it may be that of each of the last ten. Spans are wider than what they name, because things are told
    of a little later.
    """
    text = query.lower()
    for found in (_days(text, now), _months(text, now), _seasons(text, now), _relative(text, now), _years(text)):
        spans = {(start, end) for start, end in found if start <= now}
        if spans:
            return tuple(sorted(spans, reverse=True))
    return ()


def _days(text: str, now: datetime) -> Iterator[Span]:
    for pattern in _DAY_OF_MONTH:
        for match in pattern.finditer(text):
            for year in _years_of(match["year"], now):
                start = _moment(year, _MONTHS[match["month"]], int(match["day"]))
                if start is not None:
                    yield start - _DAY, start + 8 * _DAY


def _months(text: str, now: datetime) -> Iterator[Span]:
    for match in _IN_MONTH.finditer(text):
        for year in _years_of(match["year"] or match["bare_year"], now):
            start = _moment(year, _MONTHS[match["month"] or match["bare_month"]])
            if start is not None:
                yield start, start + 38 * _DAY


def _seasons(text: str, now: datetime) -> Iterator[Span]:
    for match in _IN_SEASON.finditer(text):
        for year in _years_of(match["year"], now):
            start = _moment(year, _SEASONS[match["season"]])
            if start is not None:
                yield start, start + 99 * _DAY


def _years(text: str) -> Iterator[Span]:
    for match in _IN_YEAR.finditer(text):
        start = datetime(int(match["year"]), 1, 1, tzinfo=UTC)
        yield start, start + 380 * _DAY


def _relative(text: str, now: datetime) -> Iterator[Span]:
    for words, span in _said_of_now(now).items():
        if re.search(rf"\b(?:{words})\b", text):
            yield span
    today = _midnight(now)
    for match in _ON_WEEKDAY.finditer(text):
        back = (today.weekday() - _WEEKDAYS[match["weekday"]] - 1) % 7 + 1
        yield today - back * _DAY, today - (back - 3) * _DAY
    for match in _AGO.finditer(text):
        count, size = match["count"], _UNITS[match["unit"]]
        middle = today - size * (int(count) if count.isdigit() else _COUNTS[count]) * _DAY
        slack = max(1, size // 2) * _DAY
        yield middle - slack, middle + slack + _DAY


def _said_of_now(now: datetime) -> Mapping[str, Span]:
    today = _midnight(now)
    monday, month = today - today.weekday() * _DAY, today.replace(day=1)
    year = month.replace(month=1)
    return {
        "today|tonight|this morning|this afternoon": (today, now),
        "yesterday|last night": (today - _DAY, now),
        "this week": (monday, now),
        "this month": (month, now),
        "this year": (year, now),
        "last week": (monday - _WEEK, monday + 3 * _DAY),
        "(?:last|past|this) weekend": (monday - 3 * _DAY, now if today.weekday() >= 5 else min(now, monday + 3 * _DAY)),
        "last month": ((month - _DAY).replace(day=1), month + _WEEK),
        "last year": (year.replace(year=year.year - 1), year + 2 * _WEEK),
    }


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _years_of(year: str | None, now: datetime) -> Sequence[int]:
    return [int(year)] if year else range(now.year - _YEARS_BACK + 1, now.year + 1)


def _moment(year: int, month: int, day: int = 1) -> datetime | None:
    try:
        return datetime(year, month, day, tzinfo=UTC) if year < _LAST_YEAR else None
    except ValueError:  # there is no such day
        return None
