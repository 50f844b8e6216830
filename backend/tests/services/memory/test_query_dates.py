"""Which times a question names, seen from the moment in which it is asked."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from backend.services.memory.query_dates import date_spans

NOW = datetime(2026, 11, 18, 15, 30, tzinfo=UTC)  # a Wednesday


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("question", "inside", "outside"),
    [
        ("What did I say on 13 October 2025?", "2025-10-14", "2025-10-25"),
        ("What did I say on October 13th, 2025?", "2025-10-13", "2024-10-13"),
        ("What happened on the 3rd of May?", "2026-05-03", "2026-06-20"),
        ("Where was I in May 2024?", "2024-05-20", "2025-05-20"),
        ("Where was I in May?", "2019-05-20", "2026-07-20"),
        ("Which books did I read last summer?", "2026-07-01", "2026-11-01"),
        ("What did I plan in the winter of 2024?", "2025-02-01", "2024-11-01"),
        ("What did we do yesterday?", "2026-11-17", "2026-11-15"),
        ("What did I tell you last week?", "2026-11-11", "2026-11-05"),
        ("What did I do last weekend?", "2026-11-14", "2026-11-09"),
        ("Whom did I meet on Monday?", "2026-11-16", "2026-11-13"),
        ("Where was I three weeks ago?", "2026-10-28", "2026-11-10"),
        ("What did I buy last month?", "2026-10-15", "2026-11-15"),
        ("What did I buy last year?", "2025-06-15", "2026-06-15"),
        ("What was new in 2023?", "2023-07-01", "2024-07-01"),
    ],
)
def test_a_named_time_is_a_span(question: str, inside: str, outside: str) -> None:
    spans = date_spans(question, NOW)
    assert any(start <= day(inside) <= end for start, end in spans)
    assert not any(start <= day(outside) <= end for start, end in spans)


@pytest.mark.parametrize(
    "question",
    ["What is my dog called?", "May I ask something?", "Who is 31 February?", "We march on.", "Room 1999?", ""],
)
def test_no_time_no_span(question: str) -> None:
    assert date_spans(question, NOW) == ()


def test_the_latest_span_comes_first_and_none_is_still_to_come() -> None:
    spans = date_spans("What happened in December?", NOW)
    assert spans[0][0] == day("2025-12-01")
    assert len(spans) == 9
    assert list(spans) == sorted(spans, reverse=True)


def test_a_day_is_more_than_its_month_and_year() -> None:
    [span] = date_spans("What did I say on 2 May 2024, the best day of 2024?", NOW)
    assert span == (day("2024-05-01"), day("2024-05-10"))


def test_a_leap_day_is_only_in_leap_years() -> None:
    years = {start.year for start, _ in date_spans("What happened on 29 February?", NOW)}
    assert years == {2020, 2024}


def test_the_first_of_a_year_and_the_end_of_time_are_days_like_others() -> None:
    assert date_spans("What about last month?", datetime(2026, 1, 1, tzinfo=UTC))[0][0] == day("2025-12-01")
    assert date_spans("999 years ago", NOW)
    assert date_spans("What about 13 October 0000?", NOW) == ()
    assert date_spans("What about 31 December 9999?", NOW) == ()
