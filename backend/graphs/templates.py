"""The texts in `backend/prompts/templates`, filled with values."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from itertools import pairwise
from string import Template


def render(template: str, /, **values: str) -> str:
    """A template with its values, which are never read as templates. A line with a blank value is left out."""
    kept = [line for line, names in _lines(template) if all(values[placeholder].strip() for placeholder in names)]
    lines = [line for line, after in pairwise([*kept, ""]) if line or after]
    return "\n".join(Template(line).substitute(values) for line in lines)


@cache
def template_text(name: str) -> str:
    """The text of a template as it is written."""
    return files("backend.prompts").joinpath("templates", f"{name}.md").read_text("utf-8")


@cache
def _lines(name: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((line, tuple(Template(line).get_identifiers())) for line in template_text(name).splitlines())
