"""Models retire; contracts stay. Which model a turn runs on, and what the agent's people should know about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files

from backend.ports import Clock

PROVIDER = "openai"


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The model a contract asks for and the one a turn uses; they differ when the first has `retired`."""

    asked: str
    used: str
    retired: bool


class ModelCatalog:
    """Knows when the models of provider `openai` end: by a dated table, and by what the server itself says.

    `fallback_model` takes the place of a retired one. Days are UTC; a model is retired from its last date on.
    """

    def __init__(self, fallback_model: str, clock: Clock) -> None:
        self._fallback = fallback_model
        self._clock = clock
        self._table = _shipped_table()
        self._ends = self._table
        self._alive: frozenset[str] = frozenset()

    def resolve(self, provider: str, model: str) -> ModelChoice:
        """The model to use. A retired fallback is used all the same: there is nothing better to turn to."""
        retired = self._is_retired(provider, model)
        return ModelChoice(asked=model, used=self._fallback if retired else model, retired=retired)

    def warnings(self, provider: str, model: str) -> list[str]:
        """Sentences for the people who keep the agent, from the day the end is known; usually none."""
        ends = self._end(provider, model)
        if ends is None:
            return []
        if not self._is_retired(provider, model):
            return [] if self._has_come(ends) else [f"{model} ends on {ends}; from then on {self._then(model)}"]
        return [f"{model} ended on {ends}; {self._then(model)}"]

    def learn(self, listing: Mapping[str, str | None]) -> None:
        """Take over what the server lists now: model to ISO date of its end, or None where it names no end.

        An end replaces the table's; a model listed without one is served there, whatever the table says. An empty
        listing means that the server did not answer, and changes nothing. A date that is none counts as no date.
        """
        if not listing:
            return
        told = {model: _date(ends) for model, ends in listing.items()}
        self._ends = self._table | {model: ends for model, ends in told.items() if ends is not None}
        self._alive = frozenset(model for model, ends in told.items() if ends is None)

    def _end(self, provider: str, model: str) -> date | None:
        return self._ends.get(model) if provider == PROVIDER else None

    def _is_retired(self, provider: str, model: str) -> bool:
        ends = self._end(provider, model)
        return ends is not None and model not in self._alive and self._has_come(ends)

    def _has_come(self, day: date) -> bool:
        return day <= self._clock.now().date()

    def _then(self, model: str) -> str:
        if model == self._fallback:
            return "it is this deployment's NUMEN_LLM_MODEL too, so set another there"
        return f"turns run on {self._fallback}"


def _shipped_table() -> dict[str, date]:
    table: dict[str, list[str]] = json.loads(files("backend.services").joinpath("retired_models.json").read_bytes())
    return {model: date.fromisoformat(day) for day, models in table.items() for model in models}


def _date(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text[:10]) if text else None
    except ValueError:
        return None
