"""Named SQL: one file per store in sql/, `-- name: get` begins a query, placeholders are asyncpg's own $1."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load(store: str) -> Mapping[str, str]:
    """The queries of `sql/{store}.sql` by name."""
    text = (files("backend.stores") / "sql" / f"{store}.sql").read_text("utf-8")
    _, *parts = _NAME.split(text)
    return MappingProxyType({name: sql.strip() for name, sql in zip(parts[::2], parts[1::2], strict=True)})
