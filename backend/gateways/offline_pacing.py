"""How long a script's part takes when it is spoken: which lines fit into its minutes, and the pauses between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from backend.gateways.offline_hearing import plain_words
from backend.gateways.offline_phrases import word_list

SECONDS_PER_WORD = 0.6
SLOW, EVEN, QUICK = 4.0, 2.5, 1.2
LONGEST_PAUSE, SHORTEST_PAUSE = 15.0, 0.5
MOST_STRETCHED = 2.2
TASK_FACTOR, QUESTION_FACTOR = 2.0, 1.6


@dataclass(slots=True)
class Block:
    """Lines that belong together.

    The first `least` are said if there is time for them, those of a block that `must` be said in any case. A `whole`
    block is said whole or not at all; one that `fills` comes last, when there is time that nothing else takes.
    """

    lines: list[str]
    least: int = 1
    whole: bool = False
    must: bool = False
    fills: bool = False
    works: bool = False
    """Whether the listener has something to do after each line, which takes longer."""
    taken: int = field(default=0)


class OfflinePacing:
    """The pace of one part, by what its contract says about it."""

    def __init__(self, pacing: str, tones: Sequence[str]) -> None:
        said = plain_words(pacing)
        slow = sum(word in word_list("slow") for word in said)
        quick = sum(word in word_list("quick") for word in said)
        self._base = SLOW if slow > quick else QUICK if quick > slow else EVEN
        if "slower" in said or "long" in said:
            self._base += 1.5
        changes = any(word in {"gradually", "increasingly", "ever"} for word in said)
        self._trend = 0.0 if not changes else -0.5 if quick > slow else 0.5
        mood = [word for tone in tones for word in plain_words(tone)]
        if any(word in word_list("quick") for word in mood):
            self._base *= 0.75

    def pause(self, line: str, part_done: float, *, works: bool = False) -> float:
        """The seconds of silence after a line; `part_done` runs from 0 to 1."""
        factor = TASK_FACTOR if works else QUESTION_FACTOR if line.endswith("?") else 1.0
        return self._base * factor * (1 + self._trend * (2 * part_done - 1))

    def spoken(self, blocks: Sequence[Block], seconds: float, most_words: int) -> str:
        """As much of the blocks as fits, with marks for the pauses, which stretch or shrink to fill the time."""
        self._choose(blocks, seconds, most_words)
        lines = [(line, block.works) for block in blocks for line in block.lines[: block.taken]]
        pauses = [
            self.pause(line, place / max(1, len(lines) - 1), works=works) for place, (line, works) in enumerate(lines)
        ][:-1]
        left = seconds - sum(_seconds(line) for line, _ in lines)
        stretch = min(MOST_STRETCHED, max(0.1, left / sum(pauses))) if pauses else 1.0
        marks = [f"[pause {_rounded(pause * stretch):g}s]" for pause in pauses] + [""]
        paragraphs: list[str] = []
        place = 0
        for block in blocks:
            said = [
                f"{line} {mark}".strip() for line, mark in zip(block.lines[: block.taken], marks[place:], strict=False)
            ]
            place += len(said)
            paragraphs += [" ".join(said)] if said else []
        return "\n\n".join(paragraphs)

    def _choose(self, blocks: Sequence[Block], seconds: float, most_words: int) -> None:
        """Give every block its least, then one line each in turn while there is time."""
        words = time = 0.0
        for block in sorted(blocks, key=lambda block: (not block.must, not block.whole)):
            least = block.lines[: block.least]
            cost = sum(self._cost(block, line) for line in least)
            if time + cost > seconds and time and not block.must:
                continue
            block.taken = len(least)
            time += cost
            words += sum(len(line.split()) for line in least)
        for fills in (False, True):
            growing = [block for block in blocks if not block.whole and block.fills == fills]
            time, words = self._grow(growing, (time, words), (seconds, most_words))

    def _grow(self, growing: list[Block], taken: tuple[float, float], room: tuple[float, float]) -> tuple[float, float]:
        """Add lines, one to each block in turn; `taken` and `room` are seconds and words. Gives what is taken then."""
        time, words = taken
        seconds, most_words = room
        while growing:
            for block in [*growing]:
                line = block.lines[block.taken] if block.taken < len(block.lines) else None
                more = len(line.split()) if line else 0
                if line is None or time + self._cost(block, line) > seconds or words + more > most_words:
                    growing.remove(block)
                    continue
                block.taken += 1
                time += self._cost(block, line)
                words += more
        return time, words

    def _cost(self, block: Block, line: str) -> float:
        return _seconds(line) + self.pause(line, 0.5, works=block.works)


def _seconds(line: str) -> float:
    return len(line.split()) * SECONDS_PER_WORD


def _rounded(seconds: float) -> float:
    return min(LONGEST_PAUSE, max(SHORTEST_PAUSE, round(seconds * 2) / 2))
