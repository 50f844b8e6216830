"""The settings of this deployment, and what is wrong with them in words for whoever set them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

from backend.errors import Misconfigured
from backend.settings import Settings

_OPEN = ("NUMEN_HOST", "NUMEN_PORT", "NUMEN_LOG_LEVEL", "NUMEN_LOG_FORMAT", "NUMEN_AUTH", "NUMEN_LLM_PROVIDER")


def read_settings(**given: Any) -> Settings:
    """The settings of the environment and `.env`; what is `given` and not None goes before them.

    Errors: `Misconfigured` naming each variable and what is wrong with it, never the value of a secret.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise Misconfigured("; ".join(_sentences(error))) from error
    except SettingsError as error:
        name = str(error).partition('"')[2].partition('"')[0]
        field = Settings.model_fields.get(name)
        variable = field.alias if field is not None and field.alias else name
        raise Misconfigured(f"{variable} must be JSON, such as the example in .env.example shows.") from error


def _sentences(error: ValidationError) -> Iterator[str]:
    for one in error.errors(include_url=False):
        name = ".".join(str(step) for step in one["loc"])
        said = one["msg"].removeprefix("Value error, ")
        yield said if name in said else f"{name}: {_given(name, one)}{said[:1].lower()}{said[1:]}"


def _given(name: str, error: Mapping[str, Any]) -> str:
    return f"{error['input']!r} does not fit, " if name in _OPEN else ""
