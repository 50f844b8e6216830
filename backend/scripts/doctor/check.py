"""One look at one thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at and found; `advice` says what to do unless all is well."""

    name: str
    status: Literal["ok", "warn", "fail"]
    found: str
    advice: str = ""
