"""What a model calls the tools of a server: the one place where these names are made."""

from __future__ import annotations

import re
from hashlib import sha256

LONGEST_NAME = 64
BETWEEN = "__"
_UNFIT = re.compile(r"[^A-Za-z0-9_-]")
_MARK = 8


def tool_name(grant: str, tool: str) -> str:
    """`{grant}__{tool}` with letters, digits, `_` and `-` only; one that is too long is cut and marked."""
    name = f"{grant}{BETWEEN}{_UNFIT.sub('_', tool)}"
    return name if len(name) <= LONGEST_NAME else marked_name(grant, tool)


def may_be_of(name: str, grant: str) -> bool:
    """Whether a tool of this grant can have this name, going by how it begins."""
    return name.startswith(f"{grant}{BETWEEN}"[: LONGEST_NAME - _MARK - 1])


def marked_name(grant: str, tool: str) -> str:
    """The name that nothing else has: its end follows from the names of the grant and the tool."""
    mark = sha256(f"{grant}\0{tool}".encode("utf-8", "surrogatepass")).hexdigest()[:_MARK]
    name = f"{grant}{BETWEEN}{_UNFIT.sub('_', tool)}"
    return f"{name[: LONGEST_NAME - _MARK - 1]}_{mark}"
