"""Several things out of plain sentences: `I'd like to quit smoking and to sleep better` holds two."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from backend.gateways.offline_hearing import asks, closed, opened, plain_words, sentences_in
from backend.gateways.offline_phrases import word_list

_WISHES = 15
MOST_THINGS = 30
LONGEST_THING = 300
_BULLET = re.compile(r"^[ ]*(?:[-*•·–—]|\(?\d{1,2}[.):]|\(?[a-h][.)])[ ]+", re.IGNORECASE)
_INLINE_NUMBER = re.compile(r"(?:(?<=^)|(?<=[\s:,;]))\(?\d{1,2}[.)][ ]+")
_VERY = (
    r"(?:(?:also|really|just|mostly|mainly|still|finally|only|simply|truly|most of all|most|very much|so much|always|"
    r"definitely|actually|kind of|maybe|do|would|currently) )*"
)
_SELF = rf"(?:(?:i|we)(?:'d|'ve| would| have)? {_VERY}|(?:i'm|i am|we're|we are|i've been|i have been) {_VERY})"
_LEADS = tuple(
    re.compile(lead, re.IGNORECASE)
    for lead in (
        rf"{_SELF}(?:wanna|gonna|gotta|wanted|want|need|needed|wish|hope|aim|plan|intend|long|dream|looking "
        rf"forward|trying|try|hoping|looking|wanting|wishing|planning|aiming|working|dreaming|here|had better|better)\b"
        rf" ?{_VERY}(?:(?:for you|you) to )?(?:for|to|of|on|that|about)?\b",
        rf"(?:i|we)(?:'d| would) {_VERY}(?:like|love|prefer)\b ?{_VERY}(?:(?:for you|you) to )?(?:for|to)?\b",
        rf"{_SELF}(?:have|got|ought) to\b",
        r"(?:i|we) (?:should|must|shall|will) ",
        rf"{_SELF}(?:struggle|struggling|suffer|suffering|fight|fighting|problems?|trouble|difficult(?:y|ies)|issues?)"
        r" (?:with|from)\b",
        r"(?:i|we) have (?:a )?(?:problems?|trouble|difficult(?:y|ies)|issues?) with\b",
        r"what (?:i|we)(?:'d| would)? (?:really )?(?:want|like|need|wish|hope)(?: most| for)?(?: is)?(?: to)?\b",
        r"(?:it would|it'd|would) be (?:so |really )?(?:nice|great|lovely|wonderful|good) (?:to|if (?:i|we) could)\b",
        r"if only (?:i|we) could\b",
        r"(?:i|we) could\b",
        r"(?:please )?(?:(?:can|could|would|will) you )?(?:please )?help (?:me|us)(?: please)?(?: to| with| in)?\b",
        r"(?:(?:can|could|would|will) you )?(?:please )?do something (?:about|against|with|for)\b",
        r"(?:some |your |a bit of )?help (?:with|in|to)\b",
        r"(?:to )?be able to\b",
        r"(?:really |just |also )*(?:want|wanna|would like|would love|need|wish|hope)(?: to| for)?\b",
        rf"(?:i|we) {_VERY}(?:like|love|enjoy|prefer)\b(?: to\b)?",
        r"to\b",
        r"(?:for|about)\b",
        r"(?:a|the|some|one) (?:session|lesson|plan|text|script|course|class) (?:for|about|on|to)\b",
    )
)
_WISH = re.compile(rf"(?:i|we) {_VERY}wish (?:i|we) (?:was|were)\b", re.IGNORECASE)
_ABLE = re.compile(
    r"(?:(?:i|we) )?(?:just |really |simply |often )*(?:can't|cannot|can not|couldn't|could not)\b", re.IGNORECASE
)
_FEELING = re.compile(
    r"(?:i'm|i am|i feel|i've been|i have been|i get|feeling|being)"
    r"((?: (?:always|so|very|often|too|really|constantly|quite|a bit|a little|just|usually|feeling|totally|completely|"
    r"kind of|sort of|rather|pretty))*) ",
    re.IGNORECASE,
)
_REASON = re.compile(r",? (?:because|since i|as i|cause|cuz|but i|but it|so i)\b.*$", re.IGNORECASE)
_BREAK = re.compile(
    r"(\s*[,;]?\s*\b(?:and also|and then|as well as|along with|and|plus)\b\s*|\s*&\s*|\s*[,;]\s*|\s+\bbut also\b\s*)",
    re.IGNORECASE,
)
_NEW = re.compile(
    r"(?:to|also|not|can't|cannot|can|i|i'd|i'm|we|maybe|perhaps|finally|then|help|my goals?|stop)\b", re.IGNORECASE
)
_TOLD_WITH = {"struggling", "struggle", "lost", "crying", "hurt", "alone"}
_ABOUT = {"about", "with", "of", "for", "at", "in", "on", "to", "from", "by", "like"}


def things(text: str, wanted: Sequence[str] = ()) -> tuple[str, ...]:
    """The things that a text lists, each a clean phrase. `wanted` are the words by which the list is called."""
    remarks = [remark for line in text.split("\n") for remark in _remarks(line)]
    told = [(remark, is_wish(remark, wanted)) for remark, _ in remarks]
    said_so = any(wish for _, wish in told)
    found: list[str] = []
    for (remark, whole), (_, wish) in zip(remarks, told, strict=True):
        if whole:
            found.append(_clean(remark, wanted))
        elif wish or not said_so or _goes_on(remark):
            found += _split(remark, wanted)
    return unique(found)[:MOST_THINGS]


def unique(found: Sequence[str]) -> tuple[str, ...]:
    """The things without blank ones and without those that are there already."""
    kept = {thing.casefold(): thing for thing in reversed(found) if plain_words(thing)}
    return tuple(dict.fromkeys(kept[thing.casefold()] for thing in found if thing.casefold() in kept))


def is_wish(sentence: str, wanted: Sequence[str] = ()) -> bool:
    """Whether a sentence says that the person wants something."""
    text = opened(_BULLET.sub("", sentence), "opening", "greeting", "refusing opening")
    lead = re.match(r"(?:my|our|the|one|another|a)\b", text, re.IGNORECASE)
    return (_named_lead(text, wanted) is not None if lead else False) or any(
        pattern.match(text) for pattern in (_WISH, _ABLE, *_LEADS[:_WISHES])
    )


def _remarks(line: str) -> list[tuple[str, bool]]:
    """The sentences of a line, and whether each is one thing as it stands, as a line of a list is."""
    if len(_INLINE_NUMBER.findall(line)) > 1:
        before, *numbered = _INLINE_NUMBER.split(line)
        return [(part, False) for part in [before] if plain_words(part)] + [(part, True) for part in numbered]
    bullet = _BULLET.match(line)
    if bullet:
        return [(line[bullet.end() :], True)] if plain_words(line[bullet.end() :]) else []
    return [(sentence, False) for sentence in sentences_in(line) if not asks(sentence) and not _only_leads(sentence)]


def _only_leads(sentence: str) -> bool:
    return sentence.rstrip().endswith(":") and not _split(sentence.rstrip(" :"), ())


def _goes_on(remark: str) -> bool:
    """Whether a sentence without a wish in it continues one: `Also more energy.`"""
    text = opened(remark, "opening")
    first = plain_words(text[:80])[:1]
    begun = len(text) < len(remark) and bool(
        re.match(
            r"(?:and|also|plus|then|next|finally|last|second|third|another|besides|maybe)",
            remark.strip(),
            re.IGNORECASE,
        )
    )
    return begun or bool(first and (first[0] in word_list("deeds") or first[0] in word_list("more of it")))


def _named_lead(text: str, wanted: Sequence[str]) -> int | None:
    """Where the words after `my goals are` begin."""
    lead = _named_leads(tuple(wanted)).match(text)
    return lead.end() if lead else None


@lru_cache(maxsize=256)
def _named_leads(wanted: tuple[str, ...]) -> re.Pattern[str]:
    called = "|".join(
        re.escape(name) + ("" if name.endswith("s") else "s?") for name in (*wanted, *sorted(word_list("aim")))
    )
    return re.compile(
        rf"(?:(?:my|our|the|one|another|a|first|second|third|next|last|main|big|biggest|most important|other|only)\s+)*"
        rf"(?:{called}|thing|one|list)(?: (?:number )?\d)?(?:\s+of mine|\s+here|\s+list)?\s*"
        r"(?:(?:is|are|would be|should be|will be)\b(?:\s+that\b)?(?:\s+to\b)?|:|=)\s*:?\s*",
        re.IGNORECASE,
    )


def _unled(text: str, wanted: Sequence[str] = ()) -> str:
    """The text without `I would like to`, `my goal is` and what else leads to the thing itself."""
    for _ in range(6):
        before = text
        text = opened(text, "opening", "greeting")
        text = text[_named_lead(text, wanted) or 0 :]
        text = _WISH.sub("be", text, count=1) if _WISH.match(text) else text
        text = _told_of(text)
        for lead in _LEADS:
            found = lead.match(text)
            if found and (found.end() < len(text) or found.end() == len(text)):
                text = text[found.end() :].lstrip(" ,:")
        if text == before:
            break
    return text


def _told_of(text: str) -> str:
    """What a person wants who tells what they lack: `I can't sleep` wants to be able to."""
    lack = _ABLE.match(text)
    if lack:
        rest = text[lack.end() :].strip()
        return rest if rest.lower().startswith("stop ") else f"be able\u00a0to {rest}" if rest else ""
    feeling = _FEELING.match(text)
    if feeling:
        rest = text[feeling.end() :]
        first = plain_words(rest[:60])[:1]
        if first and first[0] in word_list("sorrow") and first[0] not in _TOLD_WITH:
            return f"feel less {rest}"
    return text


def _split(sentence: str, wanted: Sequence[str]) -> list[str]:
    pieces = _BREAK.split(_unled(sentence, wanted), maxsplit=MOST_THINGS)
    found = [pieces[0]]
    for mark, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        if not piece.strip():
            continue
        if not found[-1].strip() or _begins_new(found[-1], piece, is_comma="," in mark or ";" in mark):
            found.append(piece)
        else:
            found[-1] += mark + piece
    return [clean for clean in (_clean(thing, wanted) for thing in found) if clean]


def _begins_new(before: str, piece: str, *, is_comma: bool) -> bool:
    """Whether a piece after a comma or an `and` is a thing of its own, or goes on with the one before."""
    piece = opened(piece, "opening") or piece
    said = plain_words(piece)
    if not said or said[0] in word_list("joined on"):
        return False
    if _NEW.match(piece) or (is_wish(piece) and said[0] not in word_list("owner")):
        return True
    led = plain_words(_unled(before)) or plain_words(before)
    if _REASON.search(before):
        return said[0] in word_list("deeds")
    if len(led) > 1 and led[0] in word_list("deeds"):
        return _begins_deed(led, said, is_comma=is_comma)
    is_owned = said[0] in word_list("owner") and bool(led) and led[0] not in word_list("owner")
    return is_comma or not is_owned


def _begins_deed(led: Sequence[str], said: Sequence[str], *, is_comma: bool) -> bool:
    """The same, where the thing before is something to do."""
    if said[0].endswith("ing") and len(said[0]) > 4:
        return led[0].endswith("ing")
    if said[0] in word_list("more of it"):
        is_state = led[0] in word_list("state") and any(word in word_list("more of it") for word in led)
        return is_comma or not is_state
    if said[0] in word_list("deeds"):
        return True
    if said[0] in word_list("owner") or not is_comma:
        return False
    return len(said) > 2 or not any(word in _ABOUT for word in led)


def _clean(thing: str, wanted: Sequence[str]) -> str:
    text = closed(_REASON.sub("", _unled(thing, wanted)), "closing").strip(" \"“”'").replace("\u00a0", " ")
    text = " ".join(text.split())[:LONGEST_THING]
    first = text.split(" ", 1)[0]
    is_plain = any(first.lower() in word_list(kind) for kind in ("deeds", "more of it", "empty", "owner"))
    lower = is_plain or (first.endswith("ing") and len(first) > 4)
    return text[:1].lower() + text[1:] if lower and first not in {"I", "I'm"} and not first.isupper() else text
