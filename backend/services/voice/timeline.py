"""Which words of an answer are heard at which moment of its audio. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

from backend.ports.speech import SAMPLE_BYTES, SAMPLE_RATE
from backend.services.voice.sentences import Sentence

BYTES_A_MS = SAMPLE_RATE * SAMPLE_BYTES // 1000

_HEARD_SHARE = 0.7
"""A word of which so much was said is understood."""
_SLOW_LETTER_SECONDS = 0.09
"""Slower than voices speak: of a sentence whose length is not known yet, rather too little was heard than too much."""
_LONGEST_WORD_SECONDS = 2.0
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\s\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")
"""Where no spaces stand between words, each character is one."""
_DIGIT = 4.0
_BETWEEN_WORDS = 1.0
_PAUSES = {",": 3.0, ";": 4.0, ":": 4.0, "—": 4.0, ".": 5.0, "!": 5.0, "?": 5.0, "…": 5.0}
_AFTER_ALL = 3.0
"""In letters, as all of these: voices are silent for a moment after a sentence."""


@dataclass(frozen=True, slots=True)
class _Word:
    """`end` is where it ends in the sentence's text; `began` and `ended` when, in seconds or in letters."""

    end: int
    began: float
    ended: float


class Timeline:
    """Of one answer, while its audio is made: sentence after sentence, each begun, made and completed in turn."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []
        self._begins: list[int] = []
        self._made = 0
        self._marked = False
        self._known_seconds = 0.0
        self._known_letters = 0.0

    @property
    def made(self) -> int:
        """How many bytes of audio there are."""
        return self._made

    def begin(self, sentence: Sentence) -> None:
        """Its audio follows after what is there."""
        self._parts.append(_Part(sentence, self._made))
        self._begins.append(self._made)

    def said(self, characters: int, seconds: float) -> None:
        """A word of the sentence ends after so many of its characters and so many seconds of its audio."""
        self._marked = True
        self._parts[-1].mark(characters, seconds)

    def make(self, size: int) -> None:
        """So many bytes more of the sentence's audio are there."""
        self._made += size
        self._parts[-1].size += size

    def complete(self) -> None:
        """That was all the audio of the sentence, possibly none."""
        part = self._parts[-1]
        part.complete = True
        if part.size:
            self._known_seconds += part.seconds
            self._known_letters += part.words[-1].ended + _AFTER_ALL

    def heard(self, ms: int) -> int:
        """The end, in the answer, of the last word that was heard when so much of the audio was played."""
        place = self._place(ms)
        if ms <= 0 or place < 0:
            return 0
        part = self._parts[place]
        heard = part.heard(ms / 1000 - part.began, self._letter_seconds())
        if heard == 0:
            return self._parts[place - 1].sentence.end if place else 0
        return part.sentence.begin + heard

    def word_began(self, ms: int) -> int:
        """When the word began that is said at this moment, in ms; where that is not known, the moment itself."""
        place = self._place(ms)
        if ms <= 0 or place < 0:
            return max(0, ms)
        part = self._parts[place]
        seconds = part.word_began(ms / 1000 - part.began)
        return ms if seconds is None else min(ms, round((part.began + seconds) * 1000))

    def _place(self, ms: int) -> int:
        """Which sentence is being said in this millisecond; the last one where several begin."""
        return bisect_right(self._begins, ms * BYTES_A_MS + BYTES_A_MS - 1) - 1

    def _letter_seconds(self) -> float | None:
        """How long a letter is, by the sentences that are complete; None when the provider tells the words itself."""
        if self._marked:
            return None
        return self._known_seconds / self._known_letters if self._known_letters else _SLOW_LETTER_SECONDS


class _Part:
    """A sentence and its audio, as far as it is made. Times are seconds from the beginning of its audio."""

    def __init__(self, sentence: Sentence, begin: int) -> None:
        self.sentence = sentence
        self.began = begin / BYTES_A_MS / 1000
        self.size = 0
        self.complete = False
        self._marks: list[_Word] = []

    @property
    def seconds(self) -> float:
        return self.size / BYTES_A_MS / 1000

    @cached_property
    def words(self) -> list[_Word]:
        """With the pauses between them, in letters."""
        found: list[_Word] = []
        at = 0.0
        for word in _WORD.finditer(self.sentence.text):
            ended = at + max(1.0, sum(_DIGIT if char.isdigit() else float(char.isalpha()) for char in word[0]))
            found.append(_Word(word.end(), at, ended))
            at = ended + _PAUSES.get(word[0][-1], 0.0) + _BETWEEN_WORDS
        return found

    def mark(self, characters: int, seconds: float) -> None:
        text = self.sentence.text
        end = min(characters, len(text))
        while end < len(text) and not text[end].isspace() and not text[end].isalnum():
            end += 1  # what closes a word belongs to it
        last = self._marks[-1] if self._marks else _Word(0, 0.0, 0.0)
        if end > last.end:
            self._marks.append(_Word(end, last.ended, max(seconds, last.ended)))

    def heard(self, seconds: float, letter_seconds: float | None) -> int:
        """How many characters were heard then."""
        if self.complete and (seconds >= self.seconds - 0.001):
            return len(self.sentence.text)
        heard = 0
        for word in self._timed(letter_seconds):
            if word.began + _HEARD_SHARE * (word.ended - word.began) > seconds:
                break
            heard = word.end
        return heard

    def word_began(self, seconds: float) -> float | None:
        if not self._marks:
            return None
        began = max((one.ended for one in self._marks if one.ended <= seconds), default=0.0)
        return began if seconds - began <= _LONGEST_WORD_SECONDS else None

    def _timed(self, letter_seconds: float | None) -> list[_Word]:
        """The words that are known to be said: those with marks, the others by their letters."""
        after = self._marks[-1] if self._marks else _Word(0, 0.0, 0.0)
        rest = [one for one in self.words if one.end > after.end]
        if not rest:
            return self._marks
        if self.complete:
            letter_seconds = max(0.0, self.seconds - after.ended) / (rest[-1].ended + _AFTER_ALL - rest[0].began)
        elif letter_seconds is None:
            return self._marks
        at = after.ended - rest[0].began * letter_seconds
        return [
            *self._marks,
            *(_Word(one.end, at + one.began * letter_seconds, at + one.ended * letter_seconds) for one in rest),
        ]
