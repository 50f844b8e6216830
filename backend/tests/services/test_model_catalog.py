"""Which model a turn runs on when models end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from backend.services.model_catalog import ModelCatalog, ModelChoice


@dataclass
class SetClock:
    moment: datetime

    def now(self) -> datetime:
        return self.moment


def catalog(day: str, fallback: str = "gpt-6-luna") -> ModelCatalog:
    return ModelCatalog(fallback, SetClock(datetime.fromisoformat(f"{day}T12:00:00+00:00")))


ENDS = {
    "2026-10-23": ["gpt-3.5-turbo", "gpt-4", "gpt-4-turbo", "gpt-4.1-nano", "o1", "o3-mini", "o4-mini"],
    "2026-12-11": ["gpt-5", "gpt-5-mini", "gpt-5-nano", "o3"],
    "2027-01-14": ["gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini"],
    "2027-04-01": ["gpt-5.1"],
}


@pytest.mark.parametrize(("day", "model"), [(day, model) for day, models in ENDS.items() for model in models])
def test_each_known_model_lasts_until_its_day(day: str, model: str) -> None:
    end = datetime.fromisoformat(f"{day}T00:00:00+00:00")
    clock = SetClock(end - timedelta(seconds=1))
    models = ModelCatalog("gpt-6-luna", clock)
    assert models.resolve("openai", model) == ModelChoice(model, model, retired=False)
    assert models.warnings("openai", model) == [f"{model} ends on {day}; from then on turns run on gpt-6-luna"]
    clock.moment = end
    assert models.resolve("openai", model) == ModelChoice(model, "gpt-6-luna", retired=True)
    assert models.warnings("openai", model) == [f"{model} ended on {day}; turns run on gpt-6-luna"]


def test_days_are_counted_in_utc() -> None:
    moment = datetime.fromisoformat("2026-10-23T03:00:00+14:00")
    assert not ModelCatalog("x", SetClock(moment.astimezone(UTC))).resolve("openai", "gpt-4").retired


@pytest.mark.parametrize("model", ["gpt-6-luna", "gpt-6-sol", "gpt-4-anything", "llama3", ""])
def test_other_models_are_used_as_asked(model: str) -> None:
    models = catalog("2030-01-01")
    assert models.resolve("openai", model) == ModelChoice(model, model, retired=False)
    assert models.warnings("openai", model) == []


@pytest.mark.parametrize("provider", ["offline", "ollama", "OpenAI", "openrouter"])
def test_other_providers_keep_their_models(provider: str) -> None:
    models = catalog("2030-01-01")
    models.learn({"gpt-4": "2026-01-01"})
    assert models.resolve(provider, "gpt-4") == ModelChoice("gpt-4", "gpt-4", retired=False)
    assert models.warnings(provider, "gpt-4") == []


def test_the_servers_dates_come_before_the_table() -> None:
    models = catalog("2026-11-22")
    models.learn({"gpt-4": "2026-12-31", "gpt-4o": "2026-11-22", "gpt-6-luna-preview": "2026-11-30T00:00:00Z"})
    assert not models.resolve("openai", "gpt-4").retired
    assert models.warnings("openai", "gpt-4") == ["gpt-4 ends on 2026-12-31; from then on turns run on gpt-6-luna"]
    assert models.resolve("openai", "gpt-4o").retired
    assert "2026-11-30" in models.warnings("openai", "gpt-6-luna-preview")[0]
    assert models.resolve("openai", "o1").retired


def test_what_the_server_lists_without_an_end_is_served_there() -> None:
    models = catalog("2026-11-22")
    models.learn({"gpt-4": None, "gpt-4o-mini": None})
    assert models.resolve("openai", "gpt-4") == ModelChoice("gpt-4", "gpt-4", retired=False)
    assert models.warnings("openai", "gpt-4") == []
    assert models.warnings("openai", "gpt-4o-mini") != []


def test_each_listing_replaces_the_one_before_and_silence_changes_nothing() -> None:
    models = catalog("2026-11-22")
    models.learn({"gpt-4": None})
    models.learn({})
    assert not models.resolve("openai", "gpt-4").retired
    models.learn({"gpt-6-luna": None})
    assert models.resolve("openai", "gpt-4").retired


@pytest.mark.parametrize("date", ["soon", "", "2026-13-45", "0"])
def test_a_date_that_is_none_is_no_date(date: str) -> None:
    models = catalog("2026-11-22")
    models.learn({"gpt-6-luna": date, "gpt-4": date})
    assert not models.resolve("openai", "gpt-6-luna").retired
    assert not models.resolve("openai", "gpt-4").retired


def test_a_retired_fallback_is_said_to_be_one() -> None:
    models = catalog("2026-11-22", fallback="gpt-4")
    assert models.resolve("openai", "o1") == ModelChoice("o1", "gpt-4", retired=True)
    assert models.resolve("openai", "gpt-4") == ModelChoice("gpt-4", "gpt-4", retired=True)
    assert "NUMEN_LLM_MODEL" in models.warnings("openai", "gpt-4")[0]
