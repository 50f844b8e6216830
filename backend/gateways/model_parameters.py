"""Which parameters of a contract a model is sent, and under which name: known families, and what refusals taught."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from backend.gateways.answer import is_object
from backend.gateways.model_family import LimitName, ModelFamily, family_of
from backend.ports import ModelRequest

WireName = Literal["chat", "responses"]

CONTRACT_NAMES = {
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "temperature": "temperature",
    "reasoning_effort": "reasoning_effort",
    "reasoning": "reasoning_effort",
    "stream_options": "stream_options",
    "store": "store",
}
"""The parameters that may be left out, by the names the wires give them. Prompt and tools are not among them."""

MODELS_REMEMBERED = 1024
_REFUSAL = re.compile(
    r"unsupported|not support|unrecogni[sz]ed|unknown|unexpected|not permitted|extra_forbidden|extra inputs|not allowed"
    r"|invalid (?:parameter|argument|field)|no longer|deprecated|only the default|use '\w+' instead",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Lessons:
    """What one model has refused so far, under the wire's own names; an effort is refused by its value."""

    refused: set[str] = field(default_factory=set[str])
    efforts_refused: set[str] = field(default_factory=set[str])
    needs_responses: bool = False


@dataclass(frozen=True, slots=True)
class Parameters:
    """What one call sends. None means left out; `left_out` names what the contract asked for in vain."""

    wire: WireName
    limit_name: LimitName | None
    max_tokens: int
    temperature: float | None
    effort: str | None
    usage_in_stream: bool
    store_field: bool
    left_out: tuple[str, ...]


class ModelParameters:
    """Chooses the parameters of each call to one provider, and remembers refusals for as long as the process lives."""

    def __init__(self) -> None:
        self._lessons: OrderedDict[str, Lessons] = OrderedDict()

    def of(self, request: ModelRequest) -> Parameters:
        """The parameters for this call."""
        family = family_of(request.model)
        lessons = self._lessons.get(request.model) or Lessons()
        asked = request.contract.configuration
        wire = _wire(family, lessons, bool(request.tools), asked.reasoning_effort)
        left_out: list[str] = []
        limit_name = _limit_name(family, lessons, wire)
        if limit_name is None:
            left_out.append("max_tokens")
        effort = _effort(family, lessons, wire, asked.reasoning_effort)
        if effort is None and (asked.reasoning_effort != "none" or family.efforts):
            left_out.append("reasoning_effort")
        temperature = asked.temperature if _takes_temperature(family, lessons, effort) else None
        if temperature is None:
            left_out.append("temperature")
        return Parameters(
            wire=wire,
            limit_name=limit_name,
            max_tokens=asked.max_tokens,
            temperature=temperature,
            effort=effort,
            usage_in_stream="stream_options" not in lessons.refused,
            store_field="store" not in lessons.refused,
            left_out=tuple(left_out),
        )

    def learn(self, model: str, body: Mapping[str, Any], error: object) -> bool:
        """Take the lesson of a refused request (the body sent, the provider's error): whether there was a new one."""
        lessons = self._lessons.get(model) or Lessons()
        learned = _learn(lessons, body, error)
        if learned:
            self._lessons[model] = lessons
            self._lessons.move_to_end(model)
            if len(self._lessons) > MODELS_REMEMBERED:
                self._lessons.popitem(last=False)
        return learned


def _wire(family: ModelFamily, lessons: Lessons, tools: bool, effort: str) -> WireName:
    if lessons.needs_responses:
        return "responses"
    if not tools or family.tools_wire == "chat":
        return "chat"
    if family.tools_wire == "chat_without_reasoning":
        return "chat" if effort == "none" else "responses"
    return "responses"


def _limit_name(family: ModelFamily, lessons: Lessons, wire: WireName) -> LimitName | None:
    if wire == "responses":
        return None if "max_output_tokens" in lessons.refused else family.limit_name
    other: LimitName = "max_tokens" if family.limit_name == "max_completion_tokens" else "max_completion_tokens"
    return next((name for name in (family.limit_name, other) if name not in lessons.refused), None)


def _effort(family: ModelFamily, lessons: Lessons, wire: WireName, asked: str) -> str | None:
    own_name = "reasoning" if wire == "responses" else "reasoning_effort"
    effort = family.effort_for_none if asked == "none" else asked
    if effort not in family.efforts or own_name in lessons.refused or effort in lessons.efforts_refused:
        return None
    return effort


def _takes_temperature(family: ModelFamily, lessons: Lessons, effort: str | None) -> bool:
    if "temperature" in lessons.refused or family.temperature == "never":
        return False
    return family.temperature == "always" or effort in {None, "none"}


def _learn(lessons: Lessons, body: Mapping[str, Any], error: object) -> bool:
    code = str(error.get("code")) if is_object(error) else ""
    text = _text(error)
    if "/v1/responses" in text and not lessons.needs_responses and "input" not in body:
        lessons.needs_responses = True
        return True
    if not _REFUSAL.search(f"{code} {text}"):
        return False
    name = _named(error, text, body)
    if name is None:
        return False
    if name in {"reasoning_effort", "reasoning"} and "value" in f"{code} {text}".lower():
        effort = body[name]["effort"] if name == "reasoning" else body[name]
        lessons.efforts_refused.add(effort)
    else:
        lessons.refused.add(name)
    return True


def _text(error: object) -> str:
    """The refusal's words; servers that validate strictly answer with a structure, which names the field as well."""
    message = error.get("message") if is_object(error) else error
    return message if isinstance(message, str) else str(error)


def _named(error: object, text: str, body: Mapping[str, Any]) -> str | None:
    """The parameter of the sent body that the refusal names: by `param`, or else first in its words."""
    param = error.get("param") if is_object(error) else None
    if isinstance(param, str) and (name := param.partition(".")[0]) in CONTRACT_NAMES and name in body:
        return name
    if isinstance(param, str) and param:
        return None
    sent = [name for name in CONTRACT_NAMES if name in body]
    places = {name: place.start() for name in sent if (place := re.search(rf"(?<!\w){name}(?!\w)", text))}
    return min(places, key=lambda name: places[name]) if places else None
