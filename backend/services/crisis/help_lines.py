"""What is said in a crisis: reviewed texts by kind, with the numbers of one region."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

from backend.errors import Misconfigured
from backend.models.run import CrisisKind

_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)


class HelpLines:
    """The replies of one region. An unknown one is `Misconfigured`, with the known ones named."""

    def __init__(self, region: str) -> None:
        if region not in _lines():
            raise Misconfigured(f"there are no help lines for {region!r}; there are some for {', '.join(_lines())}")
        here = _lines()[region]
        emergency: str = here["emergency"]
        self._values = {
            "emergency": emergency,
            "ambulance": here.get("ambulance", emergency),
            "police": here.get("police", emergency),
            "hint": f" {here['hint']}" if "hint" in here else "",
            "lines": _alternatives(here["lines"]),
        }

    @staticmethod
    def regions() -> tuple[str, ...]:
        """The regions that have help lines: countries by their two letters, and `international`."""
        return tuple(_lines())

    def reply(self, kind: CrisisKind) -> str:
        """The text for a kind of crisis: paragraphs without markup."""
        return Template(_texts()[kind]).substitute(self._values)


def _alternatives(lines: list[str]) -> str:
    """One sentence for each line."""
    return " ".join(f"{line[0].upper()}{line[1:]}." if at == 0 else f"Or {line}." for at, line in enumerate(lines))


@cache
def _lines() -> dict[str, dict[str, Any]]:
    return json.loads(files("backend.services.crisis").joinpath("help_lines.json").read_bytes())


@cache
def _texts() -> dict[str, str]:
    text = files("backend.prompts.templates").joinpath("crisis.md").read_text("utf-8")
    parts = _SECTION.split(text)[1:]
    return {kind.strip(): body.strip() for kind, body in zip(parts[::2], parts[1::2], strict=True)}
