"""Which crisis a text speaks of: phrases that say it, less those that only sound like it."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, get_args

from backend.models.run import CrisisKind
from backend.services.crisis.folding import Folding
from backend.services.crisis.phrase_set import LONGEST_FOUND, Found, PhraseSet
from backend.services.crisis.spelling import Spelling

_URGENCY: tuple[CrisisKind, ...] = ("medical_emergency", "suicide", "harm_to_others", "self_harm")
_VOID = "void: "
_REACH = 20
"""Words: a context says something of what stands near it. People write long messages without a full stop."""


@dataclass(frozen=True, slots=True)
class _Group:
    """What its phrases mean, and in which contexts they mean nothing here and now."""

    kind: CrisisKind
    unless: frozenset[str]


@dataclass(frozen=True, slots=True)
class CrisisReader:
    """The rules of the JSON files beside this one, compiled."""

    folding: Folding
    crisis: PhraseSet
    groups: Mapping[str, _Group]
    harmless: PhraseSet
    contexts: PhraseSet
    now: Mapping[str, frozenset[str]]
    light: frozenset[str]

    def read(self, text: str) -> CrisisKind | None:
        """The most urgent kind of crisis in the text, if any."""
        most_urgent: CrisisKind | None = None
        for words in self.folding.sentences(text):
            kind = self._most_urgent(words)
            if kind is not None and (most_urgent is None or _URGENCY.index(kind) < _URGENCY.index(most_urgent)):
                most_urgent = kind
            if most_urgent == _URGENCY[0]:
                break
        return most_urgent

    def _most_urgent(self, words: Sequence[str]) -> CrisisKind | None:
        found = list(self.crisis.find(words))
        if not found:
            return None
        contexts = self._contexts(words)
        elsewhere = {one for one in found if self._is_elsewhere(one, words, contexts)}
        harmless: dict[int, list[Found]] = {}
        for one in (*self.harmless.find(words), *elsewhere):
            harmless.setdefault(one.start, []).append(one)
        for kind in _URGENCY:
            meant = (one for one in found if self.groups[one.label].kind == kind and one not in elsewhere)
            if not all(self._is_harmless(one, words, harmless) for one in meant):
                return kind
        return None

    def _is_harmless(self, crisis: Found, words: Sequence[str], harmless: Mapping[int, Sequence[Found]]) -> bool:
        # Only what begins near enough can reach it, so a text that is full of both is still read in no time.
        near = (other for at in range(crisis.start - LONGEST_FOUND, crisis.end) for other in harmless.get(at, ()))
        return any(self._excuses(other, crisis, words) for other in near)

    def _is_elsewhere(self, crisis: Found, words: Sequence[str], contexts: Mapping[str, Sequence[int]]) -> bool:
        """Whether it is said of another time, or of nobody here. What `is` so cannot be long over."""
        told = set(words[crisis.start : crisis.end])
        return any(
            told.isdisjoint(self.now[one])
            and _is_near(crisis, contexts.get(one, ()))
            and not _is_near(crisis, contexts.get(f"{_VOID}{one}", ()))
            for one in self.groups[crisis.label].unless
        )

    def _excuses(self, harmless: Found, crisis: Found, words: Sequence[str]) -> bool:
        """Whether a harmless phrase says what the words of the other one mean. The longer of the two knows better."""
        return not harmless.within(crisis) and not self.light.issuperset(words[harmless.shared(crisis)])

    def _contexts(self, words: Sequence[str]) -> Mapping[str, Sequence[int]]:
        """Where each context begins, in order."""
        begins: dict[str, list[int]] = {}
        for one in self.contexts.find(words):
            begins.setdefault(one.label, []).append(one.start)
        return begins


def _is_near(crisis: Found, begins: Sequence[int]) -> bool:
    at = bisect_left(begins, crisis.start - _REACH)
    return at < len(begins) and begins[at] <= crisis.end + _REACH


@cache
def crisis_reader() -> CrisisReader:
    """The one reader of this process. A mistake in a file is a `ValueError`."""
    classes, table = _data("word_classes.json"), _data("words.json")
    crisis = _data("crisis_phrases.json")["groups"]
    contexts = _data("contexts.json")
    fillers = table["fillers"]
    groups = {one["name"]: _Group(_kind(one["kind"]), _known(one["unless"], contexts)) for one in crisis}
    crisis_set = PhraseSet({one["name"]: one["phrases"] for one in crisis}, classes, fillers)
    harmless = _data("harmless_phrases.json")["groups"]
    harmless_set = PhraseSet({one["why"]: one["phrases"] for one in harmless}, classes, fillers)
    voids = {f"{_VOID}{name}": one["void"] for name, one in contexts.items()}
    context_set = PhraseSet({name: one["phrases"] for name, one in contexts.items()} | voids, classes, fillers)
    now = {name: frozenset[str](one.get("not_with", ())) for name, one in contexts.items()}
    spelling = Spelling(table, crisis_set.words | harmless_set.words | context_set.words | set(fillers))
    return CrisisReader(
        Folding(spelling), crisis_set, groups, harmless_set, context_set, now, frozenset(table["light"])
    )


def _kind(name: str) -> CrisisKind:
    kinds: tuple[CrisisKind, ...] = get_args(CrisisKind)
    return kinds[kinds.index(name)]  # pyright: ignore[reportArgumentType] — a name that is none fails here


def _known(names: Sequence[str], contexts: Mapping[str, Any]) -> frozenset[str]:
    if unknown := set(names) - set(contexts):
        raise ValueError(f"crisis_phrases.json names contexts that contexts.json does not have: {sorted(unknown)}")
    return frozenset(names)


def _data(name: str) -> dict[str, Any]:
    return json.loads(files("backend.services.crisis").joinpath(name).read_bytes())
