"""The offline provider's wording: every phrase comes from a template, the traits choose among them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from string import Template

from backend.models.agent import AgentContract

TEMPLATES = ("offline.md", "offline_script.md")
CASUAL_BELOW, FORMAL_FROM = 35, 70
SHORTEST_CUT = 5
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_MARKUP = re.compile(r"https?://\S+|[*_#`~|<>\[\]{}\\]+")
_SPACES = re.compile(r"\s+")
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+")


class OfflinePhrases:
    """Phrases in one agent's manner. `turn` (how many answers came before) varies the wording from turn to turn."""

    def __init__(self, contract: AgentContract, turn: int) -> None:
        formality = contract.traits.formality
        self._register = 0 if formality < CASUAL_BELOW else 2 if formality >= FORMAL_FROM else 1
        self._turn = turn

    def say(self, kind: str, **values: str) -> str:
        """One phrase, with its values made speakable; empty when a value is empty."""
        ways = sections()[kind]
        parts = ways[self._turn % len(ways)].split(" | ")
        fitting = {name: speakable(value).rstrip(" .,;:") for name, value in values.items()}
        if not all(fitting.values()):
            return ""
        return Template(parts[min(self._register, len(parts) - 1)]).substitute(fitting)


@cache
def sections() -> dict[str, tuple[str, ...]]:
    """The phrases of the templates by their kind."""
    folder = files("backend.prompts.templates")
    parts = [part for name in TEMPLATES for part in _SECTION.split(folder.joinpath(name).read_text("utf-8"))[1:]]
    return {
        kind.strip(): tuple(line[2:].strip() for line in body.splitlines() if line.startswith("- "))
        for kind, body in zip(parts[::2], parts[1::2], strict=True)
    }


def ways(kind: str) -> tuple[str, ...]:
    """All the ways to say something that has no values in it."""
    return tuple(part for way in sections()[kind] for part in way.split(" | "))


@cache
def word_list(name: str) -> frozenset[str]:
    """The words listed under a name, in small letters."""
    return frozenset(word for line in word_lists(name) for word in line)


@cache
def ordered(name: str) -> tuple[str, ...]:
    """The same in the order in which they are listed."""
    return tuple(word.strip() for line in sections()[f"words: {name}"] for word in line.split(","))


@cache
def word_lists(name: str) -> tuple[frozenset[str], ...]:
    """The same, each line by itself."""
    return tuple(frozenset(word.strip() for word in line.split(",")) for line in sections()[f"words: {name}"])


def speakable(text: str) -> str:
    """Text without what a voice would stumble over: markup, addresses, line ends."""
    return _SPACES.sub(" ", _MARKUP.sub(" ", text)).strip()


def inline(text: str) -> str:
    """A phrase of the contract as it stands inside a sentence: its first letter small, unless it is an acronym."""
    text = text.strip()
    capital_word = len(text) > 1 and text[0].isupper() and (text[1].islower() or text[1] == " ")
    return text[0].lower() + text[1:] if capital_word and not text.startswith(("I ", "I'")) else text


def enumerated(things: Sequence[str], joint: str = "and") -> str:
    """Several things in one phrase: `a, b and c`."""
    *most, last = [*things] or [""]
    return f"{', '.join(most)} {joint} {last}" if most else last


def capital(text: str) -> str:
    """A text as the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def shortened(text: str, room: int) -> str:
    """The first sentences that fit into so many words; where not even one does, it is cut, or nothing is left."""
    kept: list[str] = []
    left = room
    for sentence in _SENTENCE_END.split(text):
        words = sentence.split()
        if len(words) > left:
            break
        left -= len(words)
        kept.append(sentence)
    if kept or room < SHORTEST_CUT:
        return " ".join(kept)
    return f"{' '.join(text.split()[:room])}…"
