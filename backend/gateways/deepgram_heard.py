"""What Deepgram's messages of a live conversation mean. Nothing about their shape is taken for granted."""

from __future__ import annotations

import json
from dataclasses import dataclass

from backend.gateways.answer import BadAnswer, is_list, is_object
from backend.gateways.text_cleaner import clean
from backend.ports import HeardEvent, SpeechBegan, SpeechEnded, WordsHeard

LONGEST_PIECE = 20_000
"""Characters of one message: many times what can be said between two of them."""
LONGEST_SECONDS = 1e7


@dataclass(frozen=True, slots=True)
class Heard:
    """One event; `asked` where it answers that a turn be written down."""

    event: HeardEvent
    asked: bool = False


def heard(message: object) -> Heard | None:
    """The event of a message, None where it holds none for us. Errors: `BadAnswer`, `ValueError`, `RecursionError`."""
    if not isinstance(message, str | bytes):
        raise BadAnswer("a message is no text")
    told: object = json.loads(message)
    if not is_object(told):
        raise BadAnswer("a message is no object")
    kind = told.get("type")
    if kind == "Results":
        return _words(told)
    if kind == "SpeechStarted":
        return Heard(SpeechBegan(_seconds(told.get("timestamp"))))
    if kind == "UtteranceEnd":
        return Heard(SpeechEnded(_seconds(told.get("last_word_end"))))
    if kind == "Error":
        raise BadAnswer(f"it says: {_complaint(told)}")
    return None  # metadata, and what later versions may tell


def _words(told: dict[str, object]) -> Heard | None:
    channel = told.get("channel")
    alternatives: object = channel.get("alternatives") if is_object(channel) else None
    best: object = alternatives[0] if is_list(alternatives) and alternatives else None
    text: object = best.get("transcript") if is_object(best) else None
    if not is_object(best) or not isinstance(text, str):
        raise BadAnswer("a message holds no transcript")
    if len(text) > LONGEST_PIECE:
        raise BadAnswer(f"a transcript is longer than {LONGEST_PIECE} characters")
    asked = told.get("from_finalize") is True
    ends = asked or told.get("speech_final") is True
    text = clean(text).strip()
    if not text and not ends:
        return None
    final = ends or told.get("is_final") is True
    return Heard(WordsHeard(text, final, ends, _end(told, best.get("words"))), asked)


def _end(told: dict[str, object], words: object) -> float:
    """Where the last word ends; without words, where the piece does."""
    last = words[-1] if is_list(words) and words else None
    if is_object(last):
        return _seconds(last.get("end"))
    return _seconds(told.get("start")) + _seconds(told.get("duration"))


def _seconds(value: object) -> float:
    if type(value) not in (int, float) or not -LONGEST_SECONDS < value < LONGEST_SECONDS:  # type: ignore[operator]
        raise BadAnswer("a message holds no time where there should be one")
    return max(0.0, float(value))  # type: ignore[arg-type] — looked at above; -1 stands for none


def _complaint(told: dict[str, object]) -> str:
    words = (told.get(name) for name in ("description", "message", "variant"))
    return next((one for one in words if isinstance(one, str) and one.strip()), "an error without words")
