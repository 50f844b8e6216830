"""When words end, from the times of characters that ElevenLabs sends along with the audio."""

from __future__ import annotations

from collections import deque

from backend.gateways.answer import is_list
from backend.gateways.word_ends import word_ends
from backend.ports.speech import OnSaid

LONGEST_SECONDS = 3600.0


class AlignedWords:
    """Made for one answer to one text. What does not fit the text is not believed, nor is anything after it."""

    def __init__(self, text: str, on_said: OnSaid) -> None:
        self._text = text
        self._on_said = on_said
        self._ends = deque(word_ends(text))
        self._place = 0
        self._seconds = 0.0
        self._believed = True
        self._untold: list[tuple[int, float]] = []

    def take(self, alignment: object) -> None:
        """The times of the next characters, counted from the beginning of the audio; may be anything."""
        if alignment is None or not self._believed:
            return
        characters: object = getattr(alignment, "characters", None)
        seconds: object = getattr(alignment, "character_end_times_seconds", None)
        if not is_list(characters) or not is_list(seconds) or len(characters) != len(seconds):
            self._believed = False
            return
        self._believed = all(self._fits(*pair) for pair in zip(characters, seconds, strict=True))

    def tell(self) -> None:
        """The audio of what was taken is on its way."""
        untold, self._untold = self._untold, []
        for characters, seconds in untold:
            self._on_said(characters, seconds)

    def _fits(self, character: object, seconds: object) -> bool:
        """Go on by one character, if it is the next one of the text and its time is one."""
        if not isinstance(character, str) or not isinstance(seconds, int | float):
            return False
        if not self._seconds <= seconds <= LONGEST_SECONDS:  # NaN, too
            return False
        self._seconds = float(seconds)
        if not character or character.isspace():
            return True  # there are more and fewer of these than in the text
        while self._text[self._place : self._place + 1].isspace():
            self._place += 1
        if not self._text.startswith(character, self._place):
            return False
        self._place += len(character)
        while self._ends and self._ends[0] <= self._place:
            self._untold.append((self._ends.popleft(), self._seconds))
        return True
