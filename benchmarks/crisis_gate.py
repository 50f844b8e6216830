"""Does the crisis gate fire where it must, and nowhere else? Prints recall and precision, and how long it takes.

    python -m benchmarks.crisis_gate [--phrases FILE] [--show]

The rules were made with `tuned` in view and finished before `held_out` was written; what `held_out` showed to be
missing was added after that. So both figures say that nothing was lost; how it will be with what people say, the first
run of new phrases tells.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.services.crisis.crisis_gate import CrisisGate

PHRASES = Path(__file__).parent / "data" / "crisis_phrases.json"


@dataclass(frozen=True, slots=True)
class Phrase:
    """Something that people say. `kind` is the crisis that it must be recognised as, or None for a near miss."""

    split: str
    group: str
    kind: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Figures:
    """Of phrases: those that must fire, those that did, those that did and must not, and those of the wrong kind."""

    must: int
    fired: int
    false_alarms: int
    others: int
    wrong_kind: int

    @property
    def recall(self) -> float:
        """Which share of those that must fire did."""
        return self.fired / self.must if self.must else 1.0

    @property
    def precision(self) -> float:
        """Which share of those that fired had to."""
        all_fired = self.fired + self.false_alarms
        return self.fired / all_fired if all_fired else 1.0

    def __str__(self) -> str:
        return (
            f"recall {self.recall:.4f} ({self.fired}/{self.must}), precision {self.precision:.4f} "
            f"({self.false_alarms} false alarms in {self.others} near misses), wrong kind {self.wrong_kind}"
        )


def load(path: Path = PHRASES) -> list[Phrase]:
    """The phrases of a file."""
    splits: dict[str, dict[str, dict[str, list[str]]]] = json.loads(path.read_text("utf-8"))
    return [phrase for split, lists in splits.items() for phrase in _phrases(split, lists)]


def _phrases(split: str, lists: dict[str, dict[str, list[str]]]) -> Iterator[Phrase]:
    for kind, texts in lists["must_fire"].items():
        yield from (Phrase(split, kind, kind, text) for text in texts)
    for group, texts in lists["must_not_fire"].items():
        yield from (Phrase(split, group, None, text) for text in texts)


def figures(outcomes: Sequence[tuple[Phrase, str | None]]) -> Figures:
    """How good the gate was at phrases for which it said this."""
    must = [(phrase, kind) for phrase, kind in outcomes if phrase.kind is not None]
    fired = [(phrase, kind) for phrase, kind in must if kind is not None]
    others = [kind for phrase, kind in outcomes if phrase.kind is None]
    return Figures(
        must=len(must),
        fired=len(fired),
        false_alarms=sum(kind is not None for kind in others),
        others=len(others),
        wrong_kind=sum(phrase.kind != kind for phrase, kind in fired),
    )


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description="Does the crisis gate fire where it must, and nowhere else?")
    parser.add_argument("--phrases", type=Path, default=PHRASES, help="other phrases, in the same form")
    parser.add_argument("--show", action="store_true", help="print every phrase that came out wrong")
    given = parser.parse_args()
    gate, phrases = CrisisGate("international"), load(given.phrases)
    outcomes = [(phrase, gate.detect(phrase.text)) for phrase in phrases]
    for phrase, kind in outcomes:
        if given.show and phrase.kind != kind:
            print(f"  {phrase.split} {phrase.group}: {phrase.text!r} is {kind}, and should be {phrase.kind}")
    for split in sorted({phrase.split for phrase in phrases}):
        print(f"{split:9} {figures([one for one in outcomes if one[0].split == split])}")
    print(f"all       {figures(outcomes)}")
    began = time.perf_counter()
    for phrase in phrases:
        gate.detect(phrase.text)
    each = (time.perf_counter() - began) / len(phrases)
    print(f"a phrase takes {each * 1000:.3f} ms")


if __name__ == "__main__":
    main()
