"""Answers on a screen: aligned columns for people, JSON for programs."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from typing import Any

_LONGEST_CELL = 48


def as_json(document: Any) -> str:
    """Indented, with letters of all languages as they are."""
    return json.dumps(document, indent=2, ensure_ascii=False)


def as_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the last one is never cut."""
    cut = [[*(_cut(cell) for cell in row[:-1]), row[-1]] for row in (header, *rows)]
    widths = [max(_width(row[at]) for row in cut) for at in range(len(header))]
    lines = (
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)) for row in cut
    )
    return "\n".join(line.rstrip() for line in lines)


def _cut(cell: str) -> str:
    return cell if len(cell) <= _LONGEST_CELL else f"{cell[: _LONGEST_CELL - 1]}…"


def _width(text: str) -> int:
    """Columns on a screen: East Asian letters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )
