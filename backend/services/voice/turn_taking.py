"""Whose turn it is: what was heard becomes turns, sounds are words or turn out to be nothing. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from backend.ports import HeardEvent, SpeechBegan, WordsHeard

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|\d+")
_BACKCHANNELS = frozenset({
    "ah", "aha", "ahem", "eh", "er", "erm", "ha", "hah", "haha", "hm", "hmm", "hmmm", "huh", "mh", "mhm", "mm", "mmm",
    "mm-hm", "mm-hmm", "mmhm", "mmhmm", "oh", "ooh", "uh", "uh-huh", "uhhuh", "um", "umm", "äh", "ähm", "öhm",
})  # fmt: skip
"""Sounds with which people show that they listen; who makes them does not want to be let speak."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Somebody may have begun to speak."""


@dataclass(frozen=True, slots=True)
class Understood:
    """What is understood so far of a turn; it may still change."""

    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """A whole turn; the last word ended so many seconds into the audio."""

    text: str
    ended: float


@dataclass(frozen=True, slots=True)
class Nothing:
    """What was heard was no turn: noise, or a sound of listening."""


class TurnTaking:
    """Of one person. With `push_to_talk` a turn ends when they say so (`stop`), and at no other sign."""

    def __init__(self, *, push_to_talk: bool) -> None:
        self._push_to_talk = push_to_talk
        self._stopped = False
        self._pieces: list[str] = []
        self._ended = 0.0

    def stop(self) -> None:
        """The person says that this was all: the next end that is heard is the turn's."""
        self._stopped = True

    def hear(self, event: HeardEvent) -> list[Sound | Understood | Said | Nothing]:
        """What it means, in order."""
        if isinstance(event, SpeechBegan):
            return [Sound()]
        if not isinstance(event, WordsHeard):
            return self._end() if self._pieces and not self._push_to_talk else []
        meaning: list[Sound | Understood | Said | Nothing] = []
        text = " ".join(event.text.split())
        if text:
            self._ended = max(self._ended, event.seconds)
            meaning.append(Understood(" ".join([*self._pieces, text])))
            if event.final:
                self._pieces.append(text)
        if event.ends_turn and (event.asked or self._stopped or not self._push_to_talk):
            meaning += self._end()
        return meaning

    def _end(self) -> list[Sound | Understood | Said | Nothing]:
        text = " ".join(self._pieces)
        self._pieces.clear()
        self._stopped = False
        ended, self._ended = self._ended, 0.0
        return [Said(text, ended)] if text else [Nothing()]


def only_listens(text: str) -> bool:
    """Whether these are sounds of somebody who listens, such as “mm-hm”, and no words."""
    words = _WORD.findall(text.casefold())
    return all(word in _BACKCHANNELS for word in words)
