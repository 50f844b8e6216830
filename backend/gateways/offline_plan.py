"""A session's plan as a script speaks of it: what the person wants, said to them, and what they chose and told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from backend.gateways.offline_hearing import plain_words, same
from backend.gateways.offline_phrases import enumerated, speakable, word_list
from backend.gateways.offline_recollection import mirrored
from backend.models.interview_progress import Answer

LONGEST_NOTE_WORDS = 25
_CHOSEN = re.compile(r"[a-z0-9]+(?:[_-][a-z0-9]+){0,4}")
_STATEMENT = re.compile(r"(?:i|i'm|we|he|she|it|they|my \w+ \w+s)\b", re.IGNORECASE)
_BARRING = re.compile(
    r"\b(?:no|not|without|avoid|except|never|don't|leave out|skip|nothing with|hate|dislike)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Aim:
    """One thing that the person wants: as it is said to them, and as true today, of them and by themselves."""

    said: str
    now: str
    me: str


class OfflinePlan:
    """A plan. What was left out of it is not there."""

    def __init__(self, plan: Mapping[str, Answer]) -> None:
        self._things: dict[str, tuple[str, ...]] = {}
        self._texts: dict[str, str] = {}
        self.choices: dict[str, str] = {}
        """What the person chose, by the name of what it is for: the answers that have the form of an option's value."""
        for name, answer in plan.items():
            if isinstance(answer, str):
                self._texts |= {name: speakable(answer)} if speakable(answer) else {}
                if _CHOSEN.fullmatch(answer):
                    self.choices[name] = " ".join(plain_words(answer.replace("_", " ")))
            else:
                things = tuple(speakable(thing).rstrip(" .;,") for thing in answer)
                self._things |= {name: tuple(filter(None, things))} if any(things) else {}
        aimed = [name for name in self._things if _names(name, tuple(word_list("aim")))]
        self._aimed = next(iter([*aimed, *self._things]), None)

    @cached_property
    def wishes(self) -> tuple[str, ...]:
        """What the person wants, in their words."""
        if self._aimed is not None:
            return self._things[self._aimed]
        return tuple(text for name, text in self._texts.items() if name not in self.choices)[:1]

    @cached_property
    def aims(self) -> tuple[Aim, ...]:
        """The same, as a script says it."""
        return tuple(_aim(wish) for wish in self.wishes)

    @cached_property
    def topics(self) -> tuple[str, ...]:
        """What else the person listed; without that, what they want."""
        others = tuple(
            mirrored(thing) for name, things in self._things.items() if name != self._aimed for thing in things
        )
        return others or tuple(aim.said for aim in self.aims)

    @cached_property
    def note(self) -> str:
        """What the person told besides; empty when that is long, or says what they do not want."""
        told = [text for name, text in self._texts.items() if name not in self.choices and text not in self.wishes]
        fit = [text for text in told if not _BARRING.search(text) and len(text.split()) <= LONGEST_NOTE_WORDS]
        return mirrored(fit[0]) if fit else ""

    @cached_property
    def barred(self) -> frozenset[str]:
        """The words for what the person does not want to hear of."""
        clauses = [
            part
            for text in self._texts.values()
            for part in re.split(r"[.,;!]|\bbut\b", text[:1000])
            if _BARRING.search(part)
        ]
        after = [part[match.end() :] for part in clauses for match in [_BARRING.search(part)] if match]
        return frozenset(word for part in after for word in plain_words(part) if word not in word_list("empty"))

    def speaks_of_note(self, text: str) -> bool:
        """Whether a text speaks of what the person told besides."""
        told = [name for name in self._texts if name not in self.choices]
        return any(_names(name, plain_words(text)) for name in told)

    def named_in(self, text: str) -> dict[str, str]:
        """The choices of which a text speaks."""
        return {name: value for name, value in self.choices.items() if _names(name, plain_words(text))}

    def speaks_of(self, text: str) -> bool:
        """Whether a text speaks of what the person wants, or of the plan."""
        said = plain_words(text)
        return (
            "plan" in said
            or (self._aimed is not None and _names(self._aimed, said))
            or any(same(word, aim) for word in said for aim in word_list("aim") if aim not in {"purpose", "task"})
        )

    def fits(self, condition: str) -> bool | None:
        """Whether a condition such as `a session for sleep` holds; None when it does not speak of the plan."""
        said = plain_words(condition)
        named = [value for name, value in self._values().items() if _names(name, said)]
        if not named:
            return None
        wanted = [
            word
            for word in said
            if word not in word_list("empty") and not any(_names(name, (word,)) for name in self._values())
        ]
        told = plain_words(" ".join(named))
        return any(same(word, other) for word in wanted for other in told)

    def _values(self) -> dict[str, str]:
        return self._texts | {name: enumerated(things) for name, things in self._things.items()}


def _names(name: str, said: tuple[str, ...]) -> bool:
    own = [word for word in plain_words(name.replace("_", " ")) if word not in word_list("label")]
    return any(same(word, part) for word in said for part in own)


def _aim(wish: str) -> Aim:
    words, mine = plain_words(wish), wish[:1].lower() + wish[1:]
    said = mirrored(wish)
    first, is_long = words[0] if words else "", len(words) > 1
    if _STATEMENT.match(wish):
        return Aim(said, "a new way opens for you", "a new way opens for me")
    if is_long and first in word_list("deeds"):
        return _deed(said, mine)
    if first in word_list("more of it"):
        return Aim(said, f"there is {said} in your life", f"there is {mine} in my life")
    if any(same(word, burden) for word in words for kind in ("burden", "sorrow") for burden in word_list(kind)):
        return Aim(f"letting go of {said}", f"you let go of {said}", f"I let go of {mine}")
    if first.endswith("ing") and is_long:
        return Aim(said, f"you are {said}", f"I am {mine}")
    verb = "have" if is_long else "find"
    return Aim(said, f"you {verb} {said}", f"I {verb} {mine}")


def _deed(said: str, mine: str) -> Aim:
    """Something to do or to be; `not` is among the deeds."""
    first = plain_words(said)[0]
    if first == "not":
        return Aim(said, f"you do {said}", f"I do {mine}")
    if first in {"be", "are"}:
        return Aim(said, f"you are {said.split(' ', 1)[1]}", f"I am {mine.split(' ', 1)[1]}")
    return Aim(said, f"you {said}", f"I {mine}")
