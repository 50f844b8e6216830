"""What a family of models takes, read from `model_families.json`: parameters differ from model to model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Literal

from pydantic import TypeAdapter

LimitName = Literal["max_tokens", "max_completion_tokens"]


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """One family. `efforts` is empty where the model knows no reasoning effort."""

    limit_name: LimitName
    efforts: tuple[str, ...]
    effort_for_none: str | None
    temperature: Literal["always", "without_reasoning", "never"]
    tools_wire: Literal["chat", "chat_without_reasoning", "responses"]


_FAMILY = TypeAdapter(ModelFamily)
_FAMILIES = TypeAdapter(dict[str, ModelFamily])


@lru_cache(maxsize=1024)
def family_of(model: str) -> ModelFamily:
    """The family of a model, by the longest known prefix of its name; the classic one when nothing is known.

    A router's vendor (`openai/gpt-6-luna`) and the mark of a fine-tune (`ft:gpt-6-luna:team`) are looked through.
    """
    name = model.rsplit("/", 1)[-1].removeprefix("ft:").lower()
    families, classic = _table()
    known = [prefix for prefix in families if _begins(name, prefix)]
    return families[max(known, key=len)] if known else classic


def _begins(name: str, prefix: str) -> bool:
    """Whether the prefix ends where a part of the name ends: `o1` begins `o1-mini`, not `o10`."""
    if not name.startswith(prefix):
        return False
    rest = name[len(prefix) :]
    return not rest or prefix.endswith(".") or not rest[0].isalnum()


@cache
def _table() -> tuple[dict[str, ModelFamily], ModelFamily]:
    data = json.loads(files("backend.gateways").joinpath("model_families.json").read_text("utf-8"))
    return _FAMILIES.validate_python(data["families"]), _FAMILY.validate_python(data["classic"])
