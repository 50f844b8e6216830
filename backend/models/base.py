"""What every model of the API has in common: it never changes and never swallows a field it does not know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import InitErrorDetails, PydanticCustomError


class FrozenModel(BaseModel):
    """Immutable, and refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def example(**values: Any) -> ConfigDict:
    """The example of a model, shown in the JSON Schema and on the OpenAPI page."""
    return ConfigDict(json_schema_extra={"examples": [values]})


Problem = tuple[tuple[str | int, ...], str]
"""Where (names and indexes inside the model) and what, written for people."""


def refusal(model: type[BaseModel], problems: Sequence[Problem]) -> ValidationError:
    """A pydantic error for rules over several fields which points at the field to change.

    Raised inside a model validator, its locations are joined to the outer model's.
    """
    return ValidationError.from_exception_data(
        model.__name__,
        [
            InitErrorDetails(type=PydanticCustomError("refused", "{reason}", {"reason": reason}), loc=where, input=None)
            for where, reason in problems
        ],
    )


def by_kind(**models: type[BaseModel]) -> WrapValidator:
    """For a union told apart by `kind`: errors point into the value, without the kind as a step on the way."""

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> BaseModel:
        if not isinstance(value, Mapping):
            return handler(value)
        kind: Any = value.get("kind")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if not isinstance(kind, str) or kind not in models:
            reason = f"must be one of {', '.join(models)}"
            raise refusal(FrozenModel, [(("kind",), reason)])
        return models[kind].model_validate(value)

    return WrapValidator(validate)
