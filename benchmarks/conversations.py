"""Conversations with questions and the turns that answer them, in the format of the LoCoMo data set; and how well a
ranking of turns does. No language model is involved.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import mean
from typing import Any

CUTS = (3, 6, 10, 20)
DEPTH = 50
"""How many places a ranking is asked for."""
_ADVERSARIAL = 5
"""The category of questions which have no answer: not counted."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker said; `index` is its place in the whole conversation."""

    id: str
    session: int
    index: int
    speaker: str
    text: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and the ids of the turns that answer it."""

    text: str
    evidence: frozenset[str]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Sessions of two speakers, and what is asked about them one day after the last."""

    id: str
    turns: Sequence[Turn]
    questions: Sequence[Question]

    @property
    def now(self) -> datetime:
        """When it is asked."""
        return max(turn.time for turn in self.turns) + timedelta(days=1)


def load(data: Path, split: Path) -> list[Conversation]:
    """The conversations of `data` whose ids stand in the lines of `split`. Errors: `SystemExit` when one is missing."""
    lines = (line.strip() for line in split.read_text("utf-8").splitlines())
    wanted = [line for line in lines if line and not line.startswith("#")]
    known = {one["sample_id"]: one for one in json.loads(data.read_text("utf-8"))}
    if missing := [one for one in wanted if one not in known]:
        raise SystemExit(f"{data} does not hold {', '.join(missing)}")
    return [_conversation(known[one]) for one in wanted]


def _conversation(document: dict[str, Any]) -> Conversation:
    turns = _turns(document["conversation"])
    known = {turn.id for turn in turns}
    answered = [one for one in document["qa"] if one["category"] != _ADVERSARIAL]
    questions = [Question(one["question"], _evidence(one.get("evidence") or [], known)) for one in answered]
    return Conversation(document["sample_id"], turns, [one for one in questions if one.evidence])


def _turns(sessions: dict[str, Any]) -> list[Turn]:
    numbers = sorted(int(key[8:]) for key in sessions if re.fullmatch(r"session_\d+", key))
    turns: list[Turn] = []
    for number in numbers:
        start = datetime.strptime(sessions[f"session_{number}_date_time"].strip(), "%I:%M %p on %d %B, %Y")  # noqa: DTZ007 — the data names no zone
        for place, said in enumerate(sessions[f"session_{number}"]):
            text = said.get("text", "")
            if said.get("blip_caption"):
                text = f"{text} [shares {said['blip_caption']}]".strip()
            moment = start + timedelta(seconds=20 * place)
            turns.append(Turn(said["dia_id"], number, len(turns), said["speaker"], text, moment))
    return turns


def _evidence(named: Sequence[str], known: set[str]) -> frozenset[str]:
    """Some of the data's own references are malformed ("D8:6; D9:17", "D:11:26", "D30:05")."""
    found = {f"D{session}:{int(turn)}" for one in named for session, turn in re.findall(r"D:?(\d+):0*(\d+)", str(one))}
    return frozenset(found & known)


def scores(question: Question, ranking: Sequence[str]) -> dict[str, float]:
    """recall@k for each of `CUTS`, and the reciprocal rank of the first answer (0 below `DEPTH`)."""
    found = {f"recall@{k}": len(question.evidence & set(ranking[:k])) / len(question.evidence) for k in CUTS}
    first = next((rank for rank, turn in enumerate(ranking[:DEPTH], 1) if turn in question.evidence), None)
    return found | {"MRR": 1 / first if first else 0.0}


def average(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each measure over all questions."""
    return {measure: mean(row[measure] for row in rows) for measure in rows[0]}
