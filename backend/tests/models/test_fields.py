"""The kinds of values of the contract."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from backend.models.fields import CronSchedule, LanguageTag, Slug, shown


@pytest.mark.parametrize("tag", ["en", "en-US", "pt-BR", "zh-Hant-TW", "es-419", "de-DE-1996", "sr-Latn"])
def test_registered_language_tags(tag: str) -> None:
    assert TypeAdapter[str](LanguageTag).validate_python(tag) == tag


@pytest.mark.parametrize(
    "tag", ["", "en_US", "english", "qq", "xx", "en-", "én", " en", "en\n", "e" * 40, "en" + "-a" * 900, 5, None]
)
def test_other_language_tags_are_refused(tag: Any) -> None:
    with pytest.raises(ValidationError, match="BCP 47"):
        TypeAdapter[str](LanguageTag).validate_python(tag)


def test_language_tags_need_no_language_data() -> None:
    TypeAdapter[str](LanguageTag).validate_python("pt-BR")
    assert "language_data" not in sys.modules


@pytest.mark.parametrize(
    "schedule", ["0 9 * * 1-5", "*/15 * * * *", "0 0 29 2 *", "@daily", "0 12 * MAR FRI", "0 0 L * *"]
)
def test_schedules(schedule: str) -> None:
    assert TypeAdapter[str](CronSchedule).validate_python(schedule) == schedule


@pytest.mark.parametrize(
    "schedule",
    [
        "",
        "never",
        "* * * *",
        "* * * * * *",
        "61 * * * *",
        "*/0 * * * *",
        "0 0 30 2 *",
        "R * * * *",
        "H * * * *",
        "@reboot",
        "0 " * 200,
        5,
    ],
)
def test_schedules_that_cannot_be_kept_are_refused(schedule: Any) -> None:
    with pytest.raises(ValidationError, match="cron"):
        TypeAdapter[str](CronSchedule).validate_python(schedule)


@pytest.mark.parametrize("slug", ["../x", "a/b", "", "-a", "a" * 65, "a\n", "ä"])
def test_names_for_machines_are_plain(slug: str) -> None:
    with pytest.raises(ValidationError, match="letters"):
        TypeAdapter[str](Slug).validate_python(slug)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ("a", "'a'"),
        (1.5, "1.5"),
        ("\ud800", "'\\ud800'"),
        pytest.param(10**5000, "a number of very many digits", id="huge"),
    ],
)
def test_values_are_shown_on_one_short_line(value: Any, text: str) -> None:
    assert shown(value) == text
    assert len(shown("x" * 500)) == 60
