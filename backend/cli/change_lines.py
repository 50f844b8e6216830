"""A changed field for people: short values in one line, long ones line by line."""

from __future__ import annotations

import json
from difflib import unified_diff
from typing import Any

from backend.cli.screen import printable
from backend.models.agent_versions import FieldChange
from backend.models.contract_changes import LONGEST_VALUE, summarize

_HEADINGS = 3  # unified diffs begin with two file names and the first place


def change_lines(change: FieldChange) -> list[str]:
    """`traits.empathy: 50 → 90`, or the field's name and below it what goes (-) and what comes (+)."""
    sentence = printable(summarize([change]))
    before, after = _lines(change.before), _lines(change.after)
    if all(len(one) <= 1 and len("".join(one)) <= LONGEST_VALUE for one in (before, after)):
        return [sentence]
    name, _, what = sentence.partition(": ")
    heading = sentence if what in ("added", "taken away") else f"{name}:"
    changed = list(unified_diff(before, after, n=1, lineterm=""))[_HEADINGS:]
    return [heading, *(f"  {'…' if one.startswith('@@') else printable(one)}" for one in changed)]


def _lines(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str):
        return value.split("\n")
    text = json.dumps(value, ensure_ascii=False)
    return [text] if len(text) <= LONGEST_VALUE else json.dumps(value, ensure_ascii=False, indent=2).split("\n")
