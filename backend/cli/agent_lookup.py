"""From what a person types to the agent they mean."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any
from uuid import UUID

from backend.cli.api_client import ApiClient
from backend.cli.failures import CommandFailed


def find_agent(api: ApiClient, name_or_id: str) -> dict[str, Any]:
    """The agent of this id, or of this name; archived ones only when no other has the name.

    Errors: `CommandFailed` when there is none, with names that are alike, or when there are several, with their ids.
    """
    agent_id = _as_id(name_or_id)
    if agent_id is not None:
        return api.get(f"/agents/{agent_id}")
    for status in (None, "archived"):
        found = named(api, name_or_id, status)
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(one["id"] for one in found)
            raise CommandFailed(f"{len(found)} agents are named {name_or_id}; say which by id: {ids}.")
    names = [one["name"] for one in api.pages("/agents")]
    alike = get_close_matches(name_or_id, names, n=3, cutoff=0.5)
    hint = f"Do you mean {' or '.join(alike)}?" if alike else "`numen agents list` shows them all."
    raise CommandFailed(f"There is no agent named {name_or_id}. {hint}")


def named(api: ApiClient, name: str, status: str | None = None) -> list[dict[str, Any]]:
    """The agents of exactly this name; without a status those that are not archived."""
    return [one for one in api.pages("/agents", q=name[:200], status=status) if one["name"] == name]


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
