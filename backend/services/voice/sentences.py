"""Sentences of an answer that is still being written: what can be spoken already. Pure."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

_LINE_ENDS = frozenset("\n\r\v\f\x85\u2028\u2029")
_ENDS = frozenset(".!?…．؟।॥‼⁇⁈⁉")
_WIDE_ENDS = frozenset("。！？｡")
"""After these no space follows."""
_CLOSERS = frozenset("\"'”’»›)]}」』）】》*_`")
_SURE_CLOSERS = frozenset("”»›)]}」』）】》")
"""These close what was opened even when a space stands before them, as in « Ah ! »."""
_CLAUSE_ENDS = frozenset(",;:—–،؛")
_CLAUSE_ENDS_WITHOUT_SPACE = frozenset("—，、；：")
_ABBREVIATION = re.compile(
    r"(?:^|[^\w.])(?:(?:mr|mrs|ms|mx|dr|prof|st|sr|jr|mt|vs|etc|approx|cf|bzw|usw|ca|nr)|(?:[^\W\d_]\.)+[^\W\d_])\.$",
    re.IGNORECASE,
)
_INITIAL = re.compile(r"(?:^|[^\w.])([^\W\d_])\.$")
_LONGEST_ABBREVIATION = 16

LONGEST_FIRST = 90
"""The first words shall be heard soon: a first sentence of more characters goes out clause by clause."""
SHORTEST_FIRST = 25
LONGEST = 250
SHORTEST_CLAUSE = 80
LONGEST_WORD = 400


@dataclass(frozen=True, slots=True)
class Sentence:
    """`text` is `answer[begin:end]`: it begins and ends with something else than a space."""

    begin: int
    end: int
    text: str


class Sentences:
    """Of one answer. However it is cut into pieces, the sentences are the same, and every word is in one of them."""

    def __init__(self) -> None:
        self._begin = 0
        self._first = True
        self._chars: list[str] = []
        self._forget()

    def push(self, text: str) -> list[Sentence]:
        """More of the answer; the sentences that are whole by now."""
        found: list[Sentence] = []
        todo = deque(text)
        while todo:
            char = todo.popleft()
            cut = self._cut_before(char)
            if cut:
                left = self._chars[cut:]
                found.append(self._take(cut))
                todo.appendleft(char)
                todo.extendleft(reversed(left))
            else:
                self._add(char)
        return found

    def rest(self) -> list[Sentence]:
        """What is left when the answer is whole."""
        return [self._take(len(self._chars))] if self._chars else []

    def _cut_before(self, char: str) -> int:
        """How much of what waits is a sentence, now that this follows; 0 when nothing is."""
        if not self._chars:
            return 0
        if char in _LINE_ENDS:
            return len(self._chars)
        if char.isspace():
            return 0
        if self._end:
            return self._end if self._ends_before(char) else 0
        return self._too_long()

    def _ends_before(self, char: str) -> bool:
        if self._spaced:
            follows = char not in _SURE_CLOSERS
        else:
            follows = self._wide and char not in _CLOSERS and char not in _ENDS and char not in _WIDE_ENDS
        return follows and self._worded and not self._abbreviated()

    def _abbreviated(self) -> bool:
        tail = "".join(self._chars[max(0, self._end - _LONGEST_ABBREVIATION) : self._end])
        initial = _INITIAL.search(tail)
        return bool(_ABBREVIATION.search(tail)) or (initial is not None and initial[1].isupper())

    def _too_long(self) -> int:
        size = len(self._chars)
        if self._first and size > LONGEST_FIRST and self._clause >= SHORTEST_FIRST:
            return self._clause
        if size > LONGEST and (self._clause >= SHORTEST_CLAUSE or self._word):
            return self._clause if self._clause >= SHORTEST_CLAUSE else self._word
        return size if size >= LONGEST_WORD else 0

    def _add(self, char: str) -> None:
        if char.isspace():
            self._add_space(char)
            return
        before = self._chars[-1] if self._chars else ""
        if before in _CLAUSE_ENDS_WITHOUT_SPACE:
            self._clause = len(self._chars)
        self._chars.append(char)
        self._worded = self._worded or char.isalpha()
        is_end = char in _ENDS or char in _WIDE_ENDS
        goes_on = bool(self._end) and (not self._spaced or char in _SURE_CLOSERS)
        if is_end or (goes_on and char in _CLOSERS):
            self._end = len(self._chars)
            self._wide = char in _WIDE_ENDS or (goes_on and self._wide)
        else:
            self._end = 0
        self._spaced = False

    def _add_space(self, char: str) -> None:
        if not self._chars:
            self._begin += 1
            return
        if not self._chars[-1].isspace():
            self._word = len(self._chars)
            if self._chars[-1] in _CLAUSE_ENDS:
                self._clause = len(self._chars)
        self._chars.append(char)
        self._spaced = True

    def _take(self, size: int) -> Sentence:
        text = "".join(self._chars[:size]).rstrip()
        sentence = Sentence(self._begin, self._begin + len(text), text)
        self._first = self._first and not any(char.isalnum() for char in text)
        self._begin += size
        self._chars = []
        self._forget()
        return sentence

    def _forget(self) -> None:
        self._end = 0  # where the sentence ends, if it does
        self._wide = False
        self._spaced = False  # whether a space was the last
        self._worded = False
        self._clause = 0  # where the last clause ends
        self._word = 0  # where the last word ends that a space follows
