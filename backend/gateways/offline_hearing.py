"""The words of a message: where each stands, in which forms it counts as another, and what kind of remark they make."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from backend.gateways.offline_phrases import word_list

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_STOP = re.compile(r"[,;:.!?\n()–—]| - ")
_ENDINGS = ("ing", "ed", "es", "s", "er", "est", "ly")
_LONGEST_PHRASE, _LONGEST_REMARK = 7, 30
_MOST_PHRASES, _LONGEST_OPENING = 8, 100
_SENTENCE = re.compile(r"(?:[^.!?\n]|[.!?](?=[^\s.!?]))+[.!?…]*")
_TAG = re.compile(r"[,\s]+(?:ok|okay|right|please|alright|all right|you know|isn't it|thanks)\s*\?+$", re.IGNORECASE)
_AUXILIARY = r"(?:do|does|did|is|are|am|can|could|may|might|would|will|shall|should|have|has|was|were)"
_MEASURE = r"(?:kinds?|sorts?|types?|about|exactly|much|many|long)"
_ASKING = re.compile(
    rf"(?:{_AUXILIARY} (?:you|i|we|it|this|that|they|there|he|she|anyone|someone)\b(?! to\b)"
    rf"|(?:what|who|why|how|when|where|which|whose)(?:'s|'re)? (?:{_AUXILIARY}|{_MEASURE})\b"
    r"|(?:what's|who's|how's|where's|why|what|how|who|when|where|how come|why not)\b\W*$"
    r"|(?:why|how come)\b|what's |who's )",
    re.IGNORECASE,
)
_REQUEST = re.compile(r"(?:can|could|may|would|will|shall) (?:you|i|we|it)\b|(?:how|what) about\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Word:
    """A word in small letters, where it stands in its text, and whether a mark separates it from the word before."""

    text: str
    start: int
    end: int
    stops: bool = False


def straightened(text: str) -> str:
    """The text with one kind of apostrophe and of space; places stay as they are."""
    return text.replace("’", "'").replace("‘", "'").replace("\t", " ").replace("\u00a0", " ").replace("\r", " ")


def words_in(text: str) -> list[Word]:
    """The words of a text."""
    found: list[Word] = []
    end = 0
    for match in _WORD.finditer(text):
        found.append(Word(match[0].lower(), match.start(), match.end(), bool(_STOP.search(text, end, match.start()))))
        end = match.end()
    return found


def plain_words(text: str) -> tuple[str, ...]:
    """The words of a text in small letters."""
    return tuple(_WORD.findall(straightened(text).lower()))


@lru_cache(maxsize=20_000)
def forms(word: str) -> frozenset[str]:
    """The forms by which a word is the same as another: `worrying`, `worried` and `worry` share one."""
    word = word.removesuffix("'s")
    found = {word}
    if len(word) >= 5:
        if word.endswith(("ies", "ied")):
            found.add(f"{word[:-3]}y")
        for ending in _ENDINGS:
            base = word.removesuffix(ending)
            if base != word and len(base) >= 3:
                found |= {base, base.removesuffix("e")}
                if base[-1] == base[-2]:
                    found.add(base[:-1])
        if word.endswith("ly"):
            found.add(word[:-1])
    return frozenset(found | ({word[:-1]} if word.endswith("e") and len(word) > 3 else set()))


def same(one: str, other: str) -> bool:
    """Whether two words are forms of the same."""
    return one == other or not forms(one).isdisjoint(forms(other))


@cache
def _phrases(kind: str) -> frozenset[tuple[str, ...]]:
    return frozenset(plain_words(phrase) for phrase in word_list(kind))


def made_of(said: Sequence[str], *kinds: str) -> bool:
    """Whether the words are phrases of these lists and nothing else."""
    if len(said) > _LONGEST_REMARK:
        return False
    reached = [True] + [False] * len(said)
    for end in range(1, len(said) + 1):
        starts = range(max(0, end - _LONGEST_PHRASE), end)
        reached[end] = any(
            reached[start] and any(tuple(said[start:end]) in _phrases(kind) for kind in kinds) for start in starts
        )
    return bool(said) and reached[-1]


def begins_with(said: Sequence[str], kind: str) -> int:
    """How many words at the beginning are a phrase of the list, the longest."""
    lengths = range(min(_LONGEST_PHRASE, len(said)), 0, -1)
    return next((length for length in lengths if tuple(said[:length]) in _phrases(kind)), 0)


def ends_with(said: Sequence[str], kind: str) -> int:
    """How many words at the end are a phrase of the list, the longest."""
    lengths = range(min(_LONGEST_PHRASE, len(said)), 0, -1)
    return next((length for length in lengths if tuple(said[-length:]) in _phrases(kind)), 0)


def opened(text: str, *kinds: str) -> str:
    """The text without such phrases at its beginning, of which nobody says many."""
    for _ in range(_MOST_PHRASES):
        found = words_in(text[:_LONGEST_OPENING])
        said = [word.text for word in found]
        length = max((begins_with(said, kind) for kind in kinds), default=0)
        if not length:
            break
        text = text[found[length - 1].end :]
    return text.lstrip(" ,;:.!–—-\n")


def closed(text: str, kind: str) -> str:
    """The text without such phrases at its end, and without marks there."""
    for _ in range(_MOST_PHRASES):
        text = text.rstrip(" ,;:.!?…–—-\n")
        tail = max(0, len(text) - _LONGEST_OPENING)
        found = words_in(text[tail:])
        length = ends_with([word.text for word in found], kind)
        if not length or length == len(found):
            break
        text = text[: tail + found[-length].start]
    return text.rstrip(" ,;:.!?…–—-\n")


def sentences_in(text: str) -> list[str]:
    """The sentences and lines of a text, each with its marks."""
    return [found.strip() for found in _SENTENCE.findall(text) if _WORD.search(found)]


def asks(sentence: str) -> bool:
    """Whether a sentence is a question, and no wish in the form of one."""
    sentence = _TAG.sub("", sentence.strip())
    if wishes(sentence):
        return False
    return sentence.endswith("?") or bool(_ASKING.match(opened(sentence, "opening", "refusing opening")))


def begins_question(sentence: str) -> bool:
    """Whether a sentence has the first word of a question."""
    return bool(
        re.match(rf"(?:{_AUXILIARY}|what|who|why|how|when|where|which|whose)\b", sentence.strip(), re.IGNORECASE)
    )


def wishes(sentence: str) -> bool:
    """Whether a sentence asks for something: `could you …`, `what about …`."""
    return bool(_REQUEST.match(opened(sentence, "opening", "refusing opening")))


def agrees(text: str) -> bool:
    """Whether a text as a whole says yes to what was read back."""
    said = plain_words(text)
    rest = said[begins_with(said, "no") :]
    if made_of(said, "agreed", "politeness") and not made_of(said, "politeness"):
        return True
    if len(rest) < len(said) and rest and made_of(rest, "agreed", "politeness"):
        return not made_of(rest, "politeness")
    doubts = any(word in word_list("denying") or word in word_list("doubt") for word in said)
    return bool(begins_with(said, "assent")) and not doubts


def refuses(text: str) -> bool:
    """Whether a text as a whole says no to what was read back."""
    said = plain_words(text)
    said = said[begins_with(said, "politeness") :] or said
    return not agrees(text) and (
        bool(begins_with(said, "no")) or any(word in word_list("doubt") for word in said) or said[:1] == ("not",)
    )


def declines(text: str) -> bool:
    """Whether a text says that there is nothing to tell."""
    said = plain_words(text)
    return made_of(said, "declining", "politeness", "thanks") and not made_of(said, "politeness", "thanks")


def is_small_talk(text: str) -> bool:
    """Whether a text says nothing about anything."""
    said = plain_words(text)
    return not said or made_of(said, "greeting", "thanks", "farewell", "small talk", "politeness")


def is_assent(text: str) -> bool:
    """Whether a text only says yes, with or without small talk around it."""
    return made_of(plain_words(text), "assent", "greeting", "thanks", "small talk", "politeness")
