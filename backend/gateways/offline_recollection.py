"""What a person said earlier, found again by rule: in the thread, and in the memories and summary of the prompt."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from backend.gateways.offline_phrases import word_list, word_lists
from backend.ports import PromptMessage

LONGEST_MIRRORED_WORDS = 30
LONGEST_HEARD = 4000
"""Characters of a message that are listened to: rules gain nothing from more, and would take long over it."""
_QUOTED_LINE = re.compile(r'^- ("(?:[^"\\]|\\.)*")( \(\d{1,2} \w+ \d{4}\))?$', re.MULTILINE)
_MOST_TOLD = 4
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_FACT = re.compile(
    r"\bmy ([\w' -]{1,40}?)(?:'s| is| are| was| were) (?:called |named )?([^,;.!?\n]{1,120})", re.IGNORECASE
)
_NAMED = re.compile(r"\b(?:call me|i am called|i'm called|they call me) ([^,;.!?\n]{1,60})", re.IGNORECASE)
_ASKED_FACT = re.compile(r"\b(?:what|who|when|where|which|how|know|remember)\b.*?\bmy ([\w' -]{1,60})", re.IGNORECASE)
_ABOUT_ME = re.compile(r"\b(?:know|remember) (?:about )?me\b|\babout me\b", re.IGNORECASE)
_AND_MORE = re.compile(r"\s+(?:and|but|because|so|now)\b.*$", re.IGNORECASE)
_QUESTION_WORDS = {"what", "who", "when", "where", "which", "why", "how", "do", "does", "did", "is", "are", "am", "can",
                   "could", "would", "will", "should", "have", "has", "was", "were"}  # fmt: skip
_FIRST_PERSON = {"i", "i'm", "my", "me", "mine", "am"}
_MIRROR = {
    "i": "you", "i'm": "you are", "i've": "you have", "i'll": "you will", "i'd": "you would", "my": "your",
    "me": "you", "mine": "yours", "myself": "yourself", "am": "are", "you": "me", "your": "my", "yours": "mine",
    "yourself": "myself",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """A fact (`thing` is `value`), a sentence the person said, or a line the agent remembers; the others are empty."""

    thing: str = ""
    value: str = ""
    sentence: str = ""
    remembered: str = ""


class OfflineRecollection:
    """All that was said to the agent before the message it answers."""

    def __init__(self, messages: Sequence[PromptMessage]) -> None:
        said = [message.content[:LONGEST_HEARD] for message in messages[:-1] if message.role == "user"]
        self._sentences = [sentence for text in said for sentence in sentences(text) if not is_question(sentence)]
        system = messages[0].content if messages and messages[0].role == "system" else ""
        quoted = list(_quoted(system))
        self._remembered = [text for text, _ in quoted]
        self._memories = [text for text, is_dated in quoted if is_dated]  # best match first; the summary has no dates

    def asked_for(self, question: str) -> bool:
        """Whether the question is about the person themselves, so that the answer is what they said."""
        return is_question(question) and any(word.lower() in _FIRST_PERSON for word in words(question))

    def find(self, question: str) -> Found | None:
        """What answers the question, the newest first; None when it was never said."""
        wanted = _ASKED_FACT.search(question)
        if wanted:
            fact = self._fact(_thing(wanted[1]))
            if fact:
                return fact
        if _ABOUT_ME.search(question) and not wanted:
            return self._anything()
        return self._closest(question)

    def _fact(self, thing: str) -> Found | None:
        for sentence in reversed(self._sentences):
            for match in reversed(list(_FACT.finditer(sentence))):
                if _thing(match[1]) == thing:
                    return Found(thing=thing, value=_AND_MORE.sub("", match[2]).strip())
            named = _NAMED.search(sentence) if thing == "name" else None
            if named:
                return Found(thing=thing, value=_AND_MORE.sub("", named[1]).strip())
        return None

    def _anything(self) -> Found | None:
        about = [sentence for sentence in self._sentences if any(w.lower() in _FIRST_PERSON for w in words(sentence))]
        if about:
            return Found(sentence=about[-1])
        told = self._memories[:_MOST_TOLD] or self._remembered[:1]
        return Found(remembered=" ".join(_ended(text) for text in told)) if told else None

    def _closest(self, question: str) -> Found | None:
        wanted = content(question)
        best = max(
            ((len(wanted & content(sentence)), place) for place, sentence in enumerate(self._sentences)),
            default=(0, 0),
        )
        if best[0]:
            return Found(sentence=self._sentences[best[1]])
        # "I moved to Lisbon" answers "Where do I live?" without a common word, and what fits best comes first.
        wanted |= _related(wanted)
        matching = [text for text in self._remembered if wanted & content(text)]
        return Found(remembered=matching[0]) if matching else None


def _related(wanted: set[str]) -> set[str]:
    """The stems of the words that speak of the same things as these stems."""
    return {stem for group in _related_groups() if wanted & group for stem in group}


@cache
def _related_groups() -> tuple[frozenset[str], ...]:
    return tuple(frozenset(_stem(word) for word in line) for line in word_lists("related"))


def _ended(text: str) -> str:
    return text if text.rstrip().endswith((".", "!", "?", "…")) else f"{text.rstrip()}."


def _quoted(system: str) -> Iterator[tuple[str, bool]]:
    """The quoted lines of the prompt, the thread's summary and the memories, and whether each has a date."""
    for match in _QUOTED_LINE.finditer(system):
        try:
            text = json.loads(match[1])
        except ValueError:
            continue
        if isinstance(text, str) and text.strip():
            yield text, match[2] is not None


def sentences(text: str) -> list[str]:
    """The sentences of a text, without blank ones."""
    return [found.strip() for found in _SENTENCE.findall(text) if words(found)]


def words(text: str) -> list[str]:
    """The words of a text as they are written."""
    return _WORD.findall(text)


def content(text: str) -> set[str]:
    """The words that carry the meaning, cut to their stems."""
    return {_stem(word) for word in (found.lower() for found in words(text)) if word not in word_list("empty")}


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    return word.removesuffix("e") if len(word) > 3 else word


def _thing(text: str) -> str:
    """What a fact is about, for comparing: small letters, without filling words at the end."""
    kept = [word.lower() for word in words(text)]
    while kept and kept[-1] in {"again", "please", "is", "was", "then", "now"}:
        kept.pop()
    return " ".join(kept)


def is_question(text: str) -> bool:
    """Whether a sentence asks: by its mark, or by its first word."""
    first = words(text)[:1]
    return text.rstrip().endswith("?") or bool(first and first[0].lower() in _QUESTION_WORDS)


def mirrored(sentence: str) -> str:
    """The sentence as one says it back: `I lost my keys` becomes `you lost your keys`. Long ones are cut."""
    turned: list[str] = []
    previous = ""
    for token in sentence.rstrip(".!?… ").split()[:LONGEST_MIRRORED_WORDS]:
        bare = token.strip(",;:\"'“”()").lower().replace("’", "'")
        other = _MIRROR.get(bare)
        if bare == "was" and previous == "i":
            other = "were"
        turned.append(token if other is None else re.sub(re.escape(token.strip(",;:\"'“”()")), other, token))
        previous = bare
    text = " ".join(turned)
    first = turned[0] if turned else ""
    # Only the first word of a sentence has a capital for being first; a name would have one anyway, and keeps it.
    is_plain = first.lower() in word_list("empty") or first.lower() in _MIRROR
    return text[:1].lower() + text[1:] if is_plain and not first.startswith("I") else text
