"""The agents of a server, to find the one that a file means."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Self

from backend.cli.agent_lookup import named
from backend.cli.api_client import ApiClient

Agent = dict[str, Any]
_FEW = 5


class KnownAgents:
    """Agents by name, archived ones too."""

    def __init__(self, agents: Iterable[Agent]) -> None:
        self._by_name: dict[str, list[Agent]] = {}
        for one in agents:
            self._by_name.setdefault(one["name"], []).append(one)

    @classmethod
    def read(cls, api: ApiClient, names: Collection[str], *, all_of_them: bool = False) -> Self:
        """The agents of these names: a few are asked for one by one, for many the whole list is read."""
        archived: tuple[str | None, ...] = (None, "archived")
        if len(names) > _FEW or all_of_them:
            return cls(one for status in archived for one in api.pages("/agents", status=status))
        return cls(one for name in dict.fromkeys(names) for status in archived for one in named(api, name, status))

    def in_service(self, name: str | None = None) -> list[Agent]:
        """Those of this name, or all, that are not archived."""
        found = self._named(name) if name is not None else [one for some in self._by_name.values() for one in some]
        return [one for one in found if one["status"] != "archived"]

    def archived(self, name: str) -> list[Agent]:
        """Those of this name that are archived."""
        return [one for one in self._named(name) if one["status"] == "archived"]

    def identified(self, name: str, agent_id: str | None) -> Agent | None:
        """The one of this name and id."""
        return next((one for one in self._named(name) if one["id"] == agent_id), None)

    def _named(self, name: str) -> list[Agent]:
        return self._by_name.get(name, [])
