"""The kinds of values which the contract is made of.

Each kind checks the type as well as the range, so that `true` or `"5"` never passes for a number, and answers with
the value that came, what is allowed, and in which unit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import langcodes
from croniter import croniter
from pydantic import AfterValidator, AwareDatetime, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, JsonValue
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

LONGEST_SHOWN = 60
LONGEST_JSON = 20_000
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
ESCAPED_NUL = re.compile(r"(?<!\\)(\\\\)*\\u0000")
CONTROL = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]")
LANGUAGE = re.compile(r"[A-Za-z0-9]{1,8}(-[A-Za-z0-9]{1,8})*")
LONGEST_LANGUAGE = 35
LONGEST_CRON = 100
CRON_FIELDS = 5
DICE = re.compile(r"(?<![A-Za-z])[RrHh](?![A-Za-z])")  # croniter's random and hashed fields: no schedule to rely on


def shown(value: Any) -> str:
    """A value as it may stand in a message: short, on one line."""
    if isinstance(value, int) and value.bit_length() > LONGEST_SHOWN:
        return "a number of very many digits"  # which Python would refuse to write down
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    text = UNSTORABLE.sub("\ufffd", text)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"


def refused(reason: str) -> PydanticCustomError:
    """The error of one field, in words for people."""
    return PydanticCustomError("refused", "{reason}", {"reason": reason})


@dataclass(frozen=True, slots=True)
class Between:
    """A number from `low` to `high`, both allowed. On `int` whole numbers only; on `float` whole ones too."""

    low: float
    high: float

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Pydantic's hook: the check."""
        check = self._whole if source is int else self._decimal
        return core_schema.no_info_plain_validator_function(check, metadata={"whole": source is int})

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Pydantic's hook: the published schema."""
        whole = schema.get("metadata", {}).get("whole", False)
        return {"type": "integer" if whole else "number", "minimum": self.low, "maximum": self.high}

    def _whole(self, value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # JSON knows one kind of number: 5.0 is 5
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            raise refused(f"must be a whole number from {self.low:g} to {self.high:g}, not {shown(value)}")
        return value

    def _decimal(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            raise refused(f"must be a number from {self.low:g} to {self.high:g}, not {shown(value)}")
        return float(value)


@dataclass(frozen=True, slots=True)
class Text:
    """Text of at most `longest` characters; `visible` refuses blank text, `line` refuses control characters."""

    longest: int
    visible: bool = False
    line: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Pydantic's hook: the check."""
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Pydantic's hook: the published schema."""
        allowed = r"[^\u0000-\u001f\u007f\u0085\u2028\u2029]" if self.line else r"[^\u0000]"
        published: JsonSchemaValue = {"type": "string", "maxLength": self.longest, "pattern": f"^{allowed}*$"}
        if self.visible:
            published |= {"minLength": 1, "pattern": rf"^{allowed}*[^\s\u0000-\u001f\u007f\u0085]{allowed}*$"}
        return published

    def _check(self, value: Any) -> str:
        if not isinstance(value, str):
            raise refused(f"must be text, not {shown(value)}")
        if len(value) > self.longest:
            raise refused(f"must have at most {self.longest} characters, not {len(value)}")
        if UNSTORABLE.search(value):
            raise refused("must not contain NUL characters or halves of surrogate pairs")
        if self.visible and not value.strip():
            raise refused("must not be empty or blank")
        if self.line and CONTROL.search(value):
            raise refused("must be one line without control characters")
        return value


@dataclass(frozen=True, slots=True)
class Matching:
    """Text of a given form; `meaning` says the form in words."""

    pattern: str
    meaning: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Pydantic's hook: the check."""
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Pydantic's hook: the published schema."""
        return {"type": "string", "pattern": f"^{self.pattern}$"}

    def _check(self, value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(self.pattern, value):
            raise refused(f"must be {self.meaning}, not {shown(value)}")
        return value


def _is_language(value: str) -> bool:
    # The length comes first: langcodes walks the parts of a tag recursively.
    if len(value) > LONGEST_LANGUAGE or not LANGUAGE.fullmatch(value):
        return False
    return langcodes.tag_is_valid(value)


def _is_cron(value: str) -> bool:
    if len(value) > LONGEST_CRON or not value.isascii():
        return False
    if not value.startswith("@") and len(value.split()) != CRON_FIELDS:
        return False
    if DICE.search(value):
        return False
    return croniter.is_valid(value, strict=True)


def _known(check: Callable[[str], bool], meaning: str) -> Callable[[Any], str]:
    def validate(value: Any) -> str:
        if not isinstance(value, str) or not check(value):
            raise refused(f"must be {meaning}, not {shown(value)}")
        return value

    return validate


@dataclass(frozen=True, slots=True)
class Language:
    """A BCP 47 language tag whose parts are registered, such as `en`, `pt-BR` or `zh-Hant`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Pydantic's hook: the check."""
        meaning = "a BCP 47 language tag such as en, en-US or pt-BR"
        return core_schema.no_info_plain_validator_function(_known(_is_language, meaning))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Pydantic's hook: the published schema."""
        return {"type": "string", "format": "bcp47", "maxLength": LONGEST_LANGUAGE, "examples": ["en-US"]}


@dataclass(frozen=True, slots=True)
class Cron:
    """A schedule of five cron fields (minute, hour, day, month, weekday; UTC) that has a next time."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Pydantic's hook: the check."""
        meaning = "a cron schedule of five fields (minute hour day month weekday, UTC) such as 0 9 * * 1-5"
        return core_schema.no_info_plain_validator_function(_known(_is_cron, meaning))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Pydantic's hook: the published schema."""
        return {"type": "string", "format": "cron", "maxLength": LONGEST_CRON, "examples": ["0 9 * * 1-5"]}


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise refused("is too far away to be written in UTC") from error


def storable(value: JsonValue) -> JsonValue:
    """Refuse JSON that cannot be stored: too long, NaN or infinite numbers, NUL, halves of surrogate pairs."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise refused("must be plain JSON with finite numbers") from error
    if len(text) > LONGEST_JSON:
        raise refused(f"must have at most {LONGEST_JSON} characters as JSON, not {len(text)}")
    if ESCAPED_NUL.search(text) or UNSTORABLE.search(text):
        raise refused("must not contain NUL characters or halves of surrogate pairs")
    return value


@dataclass(frozen=True, slots=True)
class NotEmpty:
    """A list of at least one item. Looks at the items first, so that a faulty one does not count as missing."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Pydantic's hook: the check."""
        return core_schema.no_info_after_validator_function(_not_empty, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Pydantic's hook: the published schema."""
        return {**handler(schema), "minItems": 1}


def _not_empty(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise refused("must have at least one item")
    return values


def _no_twins(values: tuple[str, ...]) -> tuple[str, ...]:
    twins = sorted({value for value in values if values.count(value) > 1})
    if twins:
        raise refused(f"must not name the same twice: {shown(', '.join(twins))}")
    return values


Percent = Annotated[int, Between(0, 100)]
Share = Annotated[float, Between(0, 1)]
Line = Annotated[str, Text(255, visible=True, line=True)]
ShortText = Annotated[str, Text(1000)]
LongText = Annotated[str, Text(20_000)]
LanguageTag = Annotated[str, Language()]
CronSchedule = Annotated[str, Cron()]
Utc = Annotated[AwareDatetime, AfterValidator(_utc)]
"""A moment with its time zone, kept in UTC."""
Slug = Annotated[
    str, Matching(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", "1 to 64 letters, digits, - or _, the first a letter or digit")
]
SemanticVersion = Annotated[
    str,
    Matching(
        r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})",
        "a semantic version of three numbers such as 1.4.0",
    ),
]
Tags = Annotated[
    tuple[Annotated[str, Text(64, visible=True, line=True)], ...],
    Field(max_length=50, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_no_twins),
]
