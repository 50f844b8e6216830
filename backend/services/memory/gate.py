"""What is not worth a memory: echoes of the agent's own prompt, small talk, and messages that only ask."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files

from backend.graphs.prompt import contract_prompt
from backend.models.agent import AgentContract
from backend.services.memory.asking import only_asks

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_UNSPACED = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
"""Letters of scripts that put no space between words."""
_STRETCHED = re.compile(r"([^\W\d_])\1{2,}")
_LAUGHTER = re.compile(r"(?:a?(?:ha|he|hi|ja|kk|ax|xa){2,}h?|l+o+l+|w{4,})$")
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+")
_ABOUT_THE_TALK = re.compile(
    r"""(?:the\s+)?(?: (?:user|person|customer)\s+(?:(?:has|is|was|just)\s+)*
        (?: greet(?:s|ed|ing) | sa(?:id|ys)\s+(?:hi|hello|goodbye|thank) | thank(?:s|ed|ing) | ask(?:s|ed|ing)
          | inquir(?:es|ed|ing) | want(?:s|ed)?\s+to\s+know | wonder(?:s|ed|ing) )\b
      | (?:ai\s+)?(?:assistant|chatbot)
        \s+(?:greeted|offered|asked|provided|explained|suggested|responded|replied)\b )""",
    re.IGNORECASE | re.VERBOSE,
)

_WEIGHT = ("filler", "acknowledgement", "greeting", "thanks", "about-the-talk", "question")
_SHINGLE = 3
_SHORTEST_ECHO = 6
"""Words: below that, what a person says may well be in the prompt, as the options of a question are."""
_ECHOED = 0.6
_LONGEST_READ = 8000
_LEAST_WORDS = 2


def worth_keeping(message: str, contract: AgentContract) -> str | None:
    """Why a message (or an extracted fact) is not worth a memory, as a short label; None when it is.

    "empty", "greeting", "thanks", "acknowledgement", "filler", "question" (it only asks), "too-short", "echo" (it
    repeats the contract's own prompt) or "about-the-talk" (it says who asked or answered what, and nothing else).
    """
    folded = unicodedata.normalize("NFKC", message[:_LONGEST_READ])
    text = "\n".join(" ".join(line.split()) for line in folded.splitlines())
    tokens = _tokens(text)
    if not tokens:
        return "empty"
    if _echoes(tokens, contract):
        return "echo"
    refusals = [_refusal(sentence, contract.name) for sentence in _sentences(text)]
    if any(one is None for one in refusals):
        told = [one for one, why in zip(_sentences(text), refusals, strict=True) if why is None]
        return _too_short([word for one in told for word in _tokens(one)], contract)
    reasons = [one for one in refusals if one != "empty"]
    # The weightiest thing it did: who greets, thanks and asks, asks.
    return max(reasons, key=_WEIGHT.index) if reasons else "empty"


def _sentences(text: str) -> list[str]:
    return [one for one in _SENTENCE_END.split(text) if one.strip()]


def _refusal(sentence: str, agent_name: str) -> str | None:
    tokens = _tokens(sentence)
    if not tokens:
        return "empty"
    label = _small_talk(tokens, agent_name)
    if label is not None:
        return label
    if only_asks(sentence):
        return "question"
    if _ABOUT_THE_TALK.match(sentence):
        return "about-the-talk"
    return None


def _small_talk(tokens: Sequence[str], agent_name: str) -> str | None:
    """The weightiest kind of small talk, when the sentence is nothing but that."""
    names = set(_tokens(agent_name))
    found: list[str] = []
    at = 0
    while at < len(tokens):
        length, label = _phrase_at(tokens, at)
        if length == 0:
            if tokens[at] not in names and not _LAUGHTER.match(tokens[at]):
                return None
            length, label = 1, "filler"
        if label != "glue":
            found.append(label)
        at += length
    return max(found, key=_WEIGHT.index) if found else "filler"


def _phrase_at(tokens: Sequence[str], at: int) -> tuple[int, str]:
    phrases, longest = _phrases()
    for length in range(min(longest, len(tokens) - at), 0, -1):
        label = phrases.get(tuple(tokens[at : at + length]))
        if label is not None:
            return length, label
    return 0, ""


@cache
def _phrases() -> tuple[Mapping[tuple[str, ...], str], int]:
    """Phrases of small talk, as their words, to their kind; and the length of the longest."""
    listed: dict[str, list[str]] = json.loads((files("backend.services.memory") / "small_talk.json").read_text("utf-8"))
    phrases = {tuple(_tokens(phrase)): label for label in reversed(listed) for phrase in listed[label]}
    return phrases, max(map(len, phrases))


def _too_short(told: Sequence[str], contract: AgentContract) -> str | None:
    """An interview asks for one thing at a time: there a single word is an answer."""
    if contract.interview is not None:
        return None
    words = sum(max(1, len(_UNSPACED.findall(word)) // 2) for word in told)
    return "too-short" if words < _LEAST_WORDS else None


def _echoes(tokens: Sequence[str], contract: AgentContract) -> bool:
    if len(tokens) < _SHORTEST_ECHO:
        return False
    shingles = list(_shingles(tokens))
    known = _prompt_shingles(contract_prompt(contract))
    return sum(one in known for one in shingles) >= _ECHOED * len(shingles)


@lru_cache(64)
def _prompt_shingles(prompt: str) -> frozenset[tuple[str, ...]]:
    return frozenset(_shingles(_tokens(prompt)))


def _shingles(tokens: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return (tuple(tokens[at : at + _SHINGLE]) for at in range(len(tokens) - _SHINGLE + 1))


def _tokens(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return [_STRETCHED.sub(r"\1", word) for word in _WORD.findall(folded)]
