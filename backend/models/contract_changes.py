"""Merging, comparing and numbering contracts. Pure: the same contracts, the same answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from backend.models.agent import AgentContract, ContractParts
from backend.models.agent_versions import FieldChange
from backend.models.base import refusal
from backend.models.explanation import pointer

METADATA_FIELDS = ("tags", "status")
NOT_BEHAVIOUR = ("/name", "/metadata")
LARGEST_NUMBER = 999_999_999
LONGEST_VALUE = 60
LONGEST_SUMMARY = 500


def merge(contract: AgentContract, changes: Mapping[str, Any]) -> AgentContract:
    """`contract` with `changes` (see `AgentUpdateRequest.changes`), under the old version number and times.

    Sections are merged field by field, lists replaced; null clears what may be absent. The result is checked as a
    whole; pydantic's `ValidationError` points at the fields that do not fit.
    """
    merged = contract.model_dump()
    foreign = [name for name in changes if name not in ContractParts.model_fields and name not in METADATA_FIELDS]
    if foreign:
        raise refusal(AgentContract, [((name,), "is the server's to write") for name in foreign])
    for name, value in changes.items():
        target = merged["metadata"] if name in METADATA_FIELDS else merged
        target[name] = _merged(target[name], value)
    return AgentContract.model_validate(merged)


def _merged(old: Any, new: Any) -> Any:
    if not (_is_object(old) and _is_object(new)):
        return new
    return old | {name: _merged(old.get(name), value) for name, value in new.items()}


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _are_items(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)  # pyright: ignore[reportUnknownVariableType]


def diff(before: AgentContract, after: AgentContract) -> list[FieldChange]:
    """What a person changed between two contracts, in the contract's order; the server's own fields do not count.

    Lists of objects are compared item by item while their length is the same, others as a whole.
    """
    return list(_differences("", _comparable(before), _comparable(after)))


def _comparable(contract: AgentContract) -> dict[str, Any]:
    return contract.model_dump(
        mode="json", include={**dict.fromkeys(ContractParts.model_fields, True), "metadata": set(METADATA_FIELDS)}
    )


def _differences(path: str, before: Any, after: Any) -> Iterator[FieldChange]:
    if _is_object(before) and _is_object(after):
        for name in before | after:
            yield from _differences(path + pointer((name,)), before.get(name), after.get(name))
    elif _are_items(before) and _are_items(after) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _differences(f"{path}/{index}", old, new)
    elif before != after or type(before) is not type(after):
        yield FieldChange(path=path, before=before, after=after)


def changes_behaviour(changes: Sequence[FieldChange]) -> bool:
    """Whether more than the name, the tags or the status is changed."""
    return not all(change.path.startswith(NOT_BEHAVIOUR) for change in changes)


def next_version(version: str, changes: Sequence[FieldChange]) -> str:
    """The number after `version`: minor for behaviour, patch for name, tags or status alone, the same for nothing.

    A number that cannot grow any more (an imported one may be that large) is carried over to the one before it.
    """
    major, minor, patch = (int(number) for number in version.split("."))
    if not changes:
        return version
    if not changes_behaviour(changes) and patch < LARGEST_NUMBER:
        return f"{major}.{minor}.{patch + 1}"
    return f"{major}.{minor + 1}.0" if minor < LARGEST_NUMBER else f"{major + 1}.0.0"


def summarize(changes: Sequence[FieldChange]) -> str:
    """The changes in one line for people: `traits.empathy: 50 → 90; tags: [] → ["night"]`."""
    sentences = [_sentence(change) for change in changes]
    summary = ""
    for index, sentence in enumerate(sentences):
        longer = f"{summary}; {sentence}" if summary else sentence
        if len(longer) > LONGEST_SUMMARY:
            return f"{summary}; and {len(sentences) - index} more"
        summary = longer
    return summary


def _sentence(change: FieldChange) -> str:
    name = change.path.removeprefix("/metadata").strip("/").replace("/", ".").replace("~1", "/").replace("~0", "~")
    if _is_object(change.before) and change.after is None:
        return f"{name}: taken away"
    if _is_object(change.after) and change.before is None:
        return f"{name}: added"
    return f"{name}: {_short(change.before)} → {_short(change.after)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
