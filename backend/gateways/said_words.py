"""What a process that speaks tells of its words, told on in the places and the time of the whole text."""

from __future__ import annotations

from collections import deque

from backend.gateways.spoken_text import WordPlaces
from backend.ports.speech import SAMPLE_BYTES, SAMPLE_RATE, OnSaid

_BYTES_A_SECOND = SAMPLE_RATE * SAMPLE_BYTES


class SaidWords:
    """Made for one text and told of its pieces in turn; tells `on_said`."""

    def __init__(self, text: str, spoken: str, on_said: OnSaid) -> None:
        """`spoken` is what the pieces are cut from."""
        self._places = WordPlaces(text, spoken)
        self._on_said = on_said
        self._piece, self._begun = 0, 0
        """Where the piece stands in the spoken text, and where its audio begins, in bytes."""
        self._made = 0
        self._told = 0

    def hear(self, said: deque[tuple[int, float]], size: int) -> None:
        """So many bytes of the piece come now; what ends in them is told, and taken from `said`."""
        self._made += size
        while said and self._begun + said[0][1] * _BYTES_A_SECOND <= self._made:
            self._tell(*said.popleft())

    def end(self, length: int, said: deque[tuple[int, float]]) -> None:
        """That was all the audio of the piece, which has so many characters."""
        while said:
            self._tell(*said.popleft())
        self._piece += length
        self._begun = self._made

    def _tell(self, characters: int, seconds: float) -> None:
        end = self._places.last(self._piece + characters)
        if end > self._told:
            self._told = end
            self._on_said(end, min(self._made, self._begun + seconds * _BYTES_A_SECOND) / _BYTES_A_SECOND)
