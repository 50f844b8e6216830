"""A section of the contract as a PATCH carries it: any of its fields, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, Field, GetCoreSchemaHandler, create_model
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True, slots=True)
class Partial:
    """Marks a `dict` that holds some fields of `section`: each one checked, the missing ones left out.

    The value is a plain dict of exactly what was sent. Rules over several fields wait for the merged contract.
    """

    section: type[BaseModel]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Pydantic's hook: checks with a model whose every field may be left out."""
        return core_schema.no_info_after_validator_function(
            _sent,
            handler.generate_schema(partial_model(self.section)),
            serialization=core_schema.plain_serializer_function_ser_schema(_as_it_is),
        )


def unsent() -> Any:
    """Default of a field that may be left out but not be null: `model_fields_set` tells whether it was sent."""
    return None


def _as_it_is(sent: Any) -> Any:
    return sent


def _sent(change: BaseModel) -> dict[str, Any]:
    return change.model_dump(exclude_unset=True)


@cache
def partial_model(section: type[BaseModel]) -> type[BaseModel]:
    """`section` without required fields, defaults, and rules over several fields."""
    fields: Any = {name: _optional(field) for name, field in section.model_fields.items()}
    return create_model(
        f"{section.__name__}Change",
        __config__=section.model_config,
        __doc__=f"Any of the fields of {section.__name__}; what is left out stays as it is.",
        __module__=__name__,
        **fields,
    )


def _optional(field: FieldInfo) -> Any:
    annotation: Any = field.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return Annotated[dict[str, Any], Partial(annotation)], Field(default_factory=unsent)
    kept = Field(description=field.description, json_schema_extra=field.json_schema_extra)
    return Annotated[(annotation, *field.metadata, kept)], Field(default_factory=unsent)
