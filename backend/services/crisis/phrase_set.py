"""Phrases written for people to review, found in a sentence in time that grows with its length and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

START, END = "^", "$"
_SYMBOL = re.compile(r"[()|?]|\{\w+\}|[^\s()|?{}]+")
_GAP = re.compile(r"_([1-9])?")
_ANY = ""
_NO_GAP = frozenset({START, END, "not", "never", "no"})
LONGEST_FOUND = 40
"""Words: fillers may stand between the words of a phrase, but not without end."""
_MOST_NODES = 20_000


@dataclass(frozen=True, slots=True)
class Found:
    """A phrase of the group `label` at `words[start:end]`; the ends of the sentence are no words of it."""

    label: str
    start: int
    end: int

    def within(self, other: Found) -> bool:
        """Whether all of it lies in the other one, which is longer."""
        longer = other.end - other.start > self.end - self.start
        return longer and other.start <= self.start and self.end <= other.end

    def shared(self, other: Found) -> slice:
        """Where the two have words in common."""
        return slice(max(self.start, other.start), max(self.start, other.start, min(self.end, other.end)))


class _Node:
    """A state of the search: where in which phrases it may be. Its moves are worked out when they are needed."""

    __slots__ = ("labels", "moves", "places")

    def __init__(self, places: frozenset[int], labels: frozenset[str]) -> None:
        self.places = places
        self.labels = labels
        self.moves: dict[str, _Node | None] = {}


class PhraseSet:
    """Groups of phrases, compiled into one automaton.

    A phrase is words with spaces between: `(a|b c)` is one of these, `word?` or `(…)?` may be missing, `{name}` stands
    for the alternatives of that name in `classes`, `_` is any one word that denies nothing and `_3` up to three, `^`
    and `$` are the ends of a sentence. `fillers` may stand anywhere inside. A mistake in a phrase is a `ValueError`.
    """

    def __init__(
        self, groups: Mapping[str, Iterable[str]], classes: Mapping[str, Sequence[str]], fillers: Iterable[str] = ()
    ) -> None:
        self._classes = classes
        self._edges: list[dict[str, set[int]]] = [{}]
        self._joins: list[int | None] = [None]
        self._shared: dict[tuple[int, str], set[int]] = {}
        self._labels: dict[int, set[str]] = {}
        for label, phrases in groups.items():
            for phrase in phrases:
                for end in self._compiled(phrase):
                    self._labels.setdefault(end, set()).add(label)
        self.words = frozenset(word for edges in self._edges for word in edges if word != _ANY)
        self._fillers = frozenset(fillers)
        self._root, self._known = (
            _Node(frozenset({0}), frozenset()),
            dict[tuple[frozenset[int], frozenset[str]], _Node](),
        )

    def find(self, words: Sequence[str]) -> Iterator[Found]:
        """What stands in a sentence; one that goes on after it may have ended is found with each of its ends."""
        alphabet = self.words | self._fillers | _NO_GAP
        known = [word if word in alphabet else _ANY for word in words]
        for start, first in enumerate(known):
            node = self._after(self._root, first) if first in self.words else None
            at = start + 1
            while node is not None:
                for label in node.labels:
                    yield Found(label, start + (first == START), at - (known[at - 1] == END))
                if at == len(known) or at - start == LONGEST_FOUND:
                    break
                node = self._after(node, known[at])
                at += 1

    def _after(self, node: _Node, word: str) -> _Node | None:
        if word in node.moves:
            return node.moves[word]
        places = {place for one in node.places for place in self._edges[one].get(word, ())}
        if word not in _NO_GAP:
            places |= {place for one in node.places for place in self._edges[one].get(_ANY, ())}
        waiting = node.places if word in self._fillers else frozenset[int]()
        node.moves[word] = after = self._node(self._joined(places), waiting) if places or waiting else None
        return after

    def _node(self, reached: frozenset[int], waiting: frozenset[int]) -> _Node:
        if len(self._known) >= _MOST_NODES:  # a text made for this could fill the memory
            self._root, self._known = _Node(frozenset({0}), frozenset()), {}
        labels = frozenset(label for place in reached for label in self._labels.get(place, ()))
        places = reached | waiting
        return self._known.setdefault((places, labels), _Node(places, labels))

    def _joined(self, reached: set[int]) -> frozenset[int]:
        places = set(reached)
        waiting = list(reached)
        while waiting:
            place = self._joins[waiting.pop()]
            if place is not None and place not in places:
                places.add(place)
                waiting.append(place)
        return frozenset(places)

    def _compiled(self, phrase: str) -> set[int]:
        symbols = _SYMBOL.findall(phrase)
        ends, at = self._sequence(symbols, 0, {0})
        if at != len(symbols) or 0 in ends:
            raise ValueError(f"{phrase!r} is no phrase: a bracket is missing, or nothing in it is needed")
        return ends

    def _sequence(self, symbols: Sequence[str], at: int, places: set[int]) -> tuple[set[int], int]:
        while at < len(symbols) and symbols[at] not in {"|", ")"}:
            before = places
            places, at = self._one(symbols, at, places)
            if at < len(symbols) and symbols[at] == "?":
                places, at = places | before, at + 1
        return places, at

    def _one(self, symbols: Sequence[str], at: int, places: set[int]) -> tuple[set[int], int]:
        symbol = symbols[at]
        if symbol == "(":
            return self._alternatives(symbols, at + 1, places)
        if symbol == "?":
            raise ValueError(f"{' '.join(symbols)!r}: nothing stands before a question mark")
        if symbol.startswith("{"):
            return self._class(symbol[1:-1], places), at + 1
        if gap := _GAP.fullmatch(symbol):
            return self._gap(int(gap[1]) if gap[1] else 0, places), at + 1
        return self._step(symbol, places), at + 1

    def _alternatives(self, symbols: Sequence[str], at: int, places: set[int]) -> tuple[set[int], int]:
        ends: set[int] = set()
        while True:
            reached, at = self._sequence(symbols, at, places)
            ends |= reached
            if at == len(symbols):
                raise ValueError(f"{' '.join(symbols)!r}: a bracket is not closed")
            at += 1
            if symbols[at - 1] == ")":
                return self._join(ends), at

    def _class(self, name: str, places: set[int]) -> set[int]:
        if name not in self._classes:
            raise ValueError(f"there is no class {{{name}}}; there are {', '.join(sorted(self._classes))}")
        symbols = ["(", *_SYMBOL.findall("|".join(self._classes[name])), ")"]
        return self._once(f"{{{name}}}", places, lambda: self._alternatives(symbols, 1, places)[0])

    def _gap(self, most: int, places: set[int]) -> set[int]:
        if most == 0:
            return self._step(_ANY, places)
        ends = set(places)
        for _ in range(most):
            places = self._step(_ANY, places)
            ends |= places
        return ends

    def _step(self, word: str, places: set[int]) -> set[int]:
        return self._once(word, places, lambda: self._new_step(word, places))

    def _new_step(self, word: str, places: set[int]) -> set[int]:
        end = self._place()
        for place in places:
            self._edges[place].setdefault(word, set()).add(end)
        return {end}

    def _once(self, symbol: str, places: set[int], made: Callable[[], set[int]]) -> set[int]:
        """Phrases with the same beginning share it: the ends of a symbol behind a place that nothing else leads to."""
        if len(places) > 1:
            return made()
        [place] = places
        if (place, symbol) not in self._shared:
            self._shared[place, symbol] = made()
        return set(self._shared[place, symbol])

    def _join(self, ends: set[int]) -> set[int]:
        """One place for many, which keeps the automaton small; those that lead on already are left alone."""
        free = {end for end in ends if end != 0 and self._joins[end] is None and not self._edges[end]}
        if len(free) < 2:
            return ends
        end = self._place()
        for place in free:
            self._joins[place] = end
        return ends - free | {end}

    def _place(self) -> int:
        self._edges.append({})
        self._joins.append(None)
        return len(self._edges) - 1
