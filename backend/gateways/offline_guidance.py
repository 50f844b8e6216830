"""The purpose of a script's part turned into words to the listener: `Settle the body` into `Let your body settle`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from backend.gateways.offline_hearing import forms, plain_words, same, sentences_in
from backend.gateways.offline_phrases import capital, sections, word_list
from backend.gateways.offline_plan import OfflinePlan

_CONDITION = re.compile(r"(?:in an?|if|when|for an?|for)\s+([^,;:]{3,80}),?\s+(?=\w+\s)(.+)", re.IGNORECASE | re.DOTALL)
_IN_PLACE_OF = re.compile(r",?\s*\binstead of\b(.*?)[.!]?$", re.IGNORECASE)
_BREAK = re.compile(r"((?:,|;)\s*(?:and\s+)?(?:then\s+)?|\s+and\s+(?:then\s+)?)", re.IGNORECASE)
_FOR_THE_WRITER = re.compile(
    r",?\s*\b(?:such as|in the (?:tone|style|spirit)|that suits?|that fits?|following|according to|of the plan"
    r"|for example|from the plan"
    r"|with (?:\w+ ){1,2}(?:questions?|examples?|suggestions?|exercises?|tasks?))\b.*$",
    re.IGNORECASE,
)
_SAY_THAT = re.compile(
    r"(?:say|tell you|tell|explain|remind you|mention|state|assure you|make clear) that (.+)", re.IGNORECASE
)
_SAY_WHAT = re.compile(
    r"(?:say|tell you|tell|ask|explain|describe|show|name|point out) "
    r"((?:what|why|how|where|when|which|who)\b.+)",
    re.IGNORECASE,
)
_LET = re.compile(r"(?:let|have|make|invite|allow|ask|encourage|help) you(?: to)? ([a-z].+)", re.IGNORECASE)
_DIRECTED = re.compile(r"([a-z]+) (?:the|your|a|an) ([a-z]+(?: and (?:the )?[a-z]+)?)", re.IGNORECASE)


def clauses(purpose: str, plan: OfflinePlan) -> list[str]:
    """What a part is to do, one thing each, said to the listener; what holds for other plans is left out."""
    found: list[str] = []
    replaced: list[str] = []
    for sentence in sentences_in(purpose):
        condition = _CONDITION.fullmatch(sentence)
        holds = plan.fits(condition[1]) if condition else None
        if holds is False:
            continue
        text = condition[2] if condition and holds else sentence
        instead = _IN_PLACE_OF.search(text) if holds else None
        if instead:
            replaced += [
                min(forms(word), key=len)
                for word in plain_words(instead[1])
                if word not in word_list("empty") and len(word) > 4
            ]
            text = text[: instead.start()]
        found += orders(addressed(text))
    return [clause for clause in found if not any(root in clause.lower() for root in replaced)]


def relevant(text: str, plan: OfflinePlan) -> str:
    """A text of a part without what holds for other plans: `quick; for sleep, ever slower`."""
    kept: list[str] = []
    for piece in text.split(";"):
        condition = _CONDITION.fullmatch(piece.strip())
        told = plain_words(" ".join(plan.choices.values()))
        if condition and not any(same(word, other) for word in plain_words(condition[1]) for other in told):
            continue
        if condition:
            return condition[2]
        kept.append(piece)
    return ";".join(kept)


def addressed(text: str) -> str:
    """A text about the listener as one to them: `what the student knows` becomes `what you know`."""
    people = _people()
    text = re.sub(
        rf"\b(?:the|an?|each|every|your|this) (?:{people})['’]s\b|\b(?:the|their|your) (?:{people})s['’](?=\s)",
        "your",
        text,
        flags=re.IGNORECASE,
    )
    text = re.sub(rf"\b(?:the|an?|each|every|this) (?:{people})s?\b( \w+)?", _as_you, text, flags=re.IGNORECASE)
    for old, new in (
        ("they're", "you're"),
        ("they|them|he or she|him or her", "you"),
        ("their|his or her", "your"),
        ("theirs", "yours"),
        ("themselves|himself or herself", "yourself"),
    ):
        text = re.sub(rf"\b(?:{old})\b", new, text, flags=re.IGNORECASE)
    return text


def moves_in(clause: str) -> list[tuple[int, str]]:
    """The moves that a clause calls for, each with the place of the word that does, in their order."""
    said = plain_words(clause)
    found: list[tuple[int, str]] = []
    for move in _moves():
        places = [
            place
            for place, word in enumerate(said)
            if any(same(word, trigger) for trigger in word_list(f"move {move}"))
        ]
        if places:
            found.append((places[0], move))
    return sorted(found)


def guidance(clause: str) -> tuple[str, dict[str, str]] | None:
    """How a clause is said to the listener: the kind of phrase and its values; None when it is for the writer alone."""
    text = _FOR_THE_WRITER.sub("", clause).strip(" .,;:")
    said = plain_words(text)
    if clause.rstrip().endswith("?"):
        return "", {"text": capital(text) + "?"}
    if len(said) < 2 or any(word in word_list("for the writer") for word in said):
        return None
    for pattern, kind in ((_SAY_THAT, ""), (_LET, ""), (_SAY_WHAT, "script: notice")):
        match = pattern.fullmatch(text)
        if match:
            return kind, {"rest": match[1]} if kind else {"text": f"{capital(match[1])}."}
    return _ordered(text, said)


def _ordered(text: str, said: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The same for an order, or for the name of a thing."""
    directed = _DIRECTED.fullmatch(text)
    if directed and said[0] in word_list("moving by itself"):
        return "script: let", {"thing": directed[2], "deed": said[0]}
    if said[0] in word_list("leading") and said[1] == "you":
        return "script: with me", {"rest": text[:1].lower() + text[1:]}
    if said[0] in word_list("showing") and len(said) > 2:
        return "script: topic", {"rest": text.split(" ", 1)[1]}
    if said[0] in word_list("guiding") or said[0] in word_list("deeds"):
        return "", {"text": f"{capital(text)}."}
    return "script: topic", {"rest": text[:1].lower() + text[1:]}


@cache
def _people() -> str:
    return "|".join(sorted(word_list("person"), key=len, reverse=True))


@cache
def _moves() -> tuple[str, ...]:
    return tuple(name.removeprefix("move: ") for name in sections() if name.startswith("move: "))


def _as_you(match: re.Match[str]) -> str:
    verb = (match[1] or "").strip()
    if not verb:
        return "you"
    irregular = {"has": "have", "is": "are", "was": "were", "does": "do", "goes": "go"}
    if verb in irregular:
        return f"you {irregular[verb]}"
    if verb.endswith("s") and not verb.endswith("ss") and verb not in word_list("adverb"):
        verb = (
            f"{verb[:-3]}y"
            if verb.endswith("ies")
            else verb[:-2]
            if verb.endswith(("shes", "ches", "xes", "sses"))
            else verb[:-1]
        )
    return f"you {verb}"


def orders(sentence: str) -> list[str]:
    """The orders in a sentence, one each: `drop what was read, and suggest the next three` are two."""
    pieces = _BREAK.split(sentence.strip())
    found = [pieces[0]]
    for mark, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        first, before = plain_words(piece)[:1], plain_words(found[-1])
        is_order = bool(first) and (first[0] in word_list("guiding") or first[0] in word_list("deeds"))
        is_open = all(word == "you" or word in word_list("deeds") or word in word_list("guiding") for word in before)
        # `clear and refreshed` is no order, nor is what an enumeration after a colon holds.
        is_order = is_order and plain_words(piece)[1:2] not in {("and",), ("or",), ()} and ":" not in found[-1]
        if is_order and not is_open:
            found.append(piece)
        else:
            found[-1] += mark + piece
    return [re.sub(r"^(?:then|and)\s+", "", piece, flags=re.IGNORECASE) for piece in found if plain_words(piece)]
