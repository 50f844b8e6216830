"""What a clause claims: one attribute of somebody, its value, and whether another value takes its place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from backend.services.memory.clauses import Clause, stem, stems

_NUMBER = r"(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
_ORGANISATION = (
    r"(?:company|firm|start-?up|bank|agency|studio|practice|hospital|clinic|university|school|department|office)"
)
_AM = r"(?:am\ |are\ |is\ )?"
_HAVE = r"(?:have\ |has\ )?"


@dataclass(frozen=True, slots=True)
class _Frame:
    """How an attribute's value is told; `new`: it says that it was otherwise before."""

    attribute: str
    pattern: re.Pattern[str]
    new: bool = False


def _frame(attribute: str, pattern: str, *, new: bool = False) -> _Frame:
    return _Frame(stem(attribute), re.compile(pattern, re.VERBOSE), new)


_FRAMES = (
    _frame(
        "residence",
        rf"""{_AM}(?:liv(?:e|es|ing)|based|resid(?:e|es|ing)|located|settled|at\ home)
        \ (?:down\ )?(?:in|at|near)\ (?P<place>.+)""",
    ),
    _frame(
        "residence",
        rf"""{_HAVE}(?:moved|made\ the\ move|relocated|settled)(?:\ (?:back|down|out|over))*
        \ (?:to|in|into)\ (?P<place>.+)""",
        new=True,
    ),
    _frame("employer", rf"{_AM}(?:work(?:s|ing)?|employed)(?:\ as\ .+?)?\ (?:at|for|by|with)\ (?P<value>.+)"),
    _frame(
        "employer",
        rf"""{_HAVE}(?:started|begun|got|took|taken|accepted|landed)(?:\ (?:an?|my|the))?(?:\ new)?
        \ (?:job|work|position|role|career)\ (?:at|with|for|in)\ (?P<value>.+)""",
        new=True,
    ),
    _frame("employer", rf"{_HAVE}joined\ (?P<value>.*\b{_ORGANISATION}\b.*)", new=True),
    _frame("employer", r"(?:was|were|got|ha(?:ve|s)\ been)\ hired\ (?:by|at)\ (?P<value>.+)", new=True),
    _frame("job", rf"{_AM}work(?:s|ing)?\ as\ (?P<value>.+?)(?:\ (?:at|for|in|with)\ .+)?"),
    _frame("job", rf"{_HAVE}bec(?:a|o)me\ an?\ (?P<value>.+)", new=True),
    _frame(
        "job",
        rf"""{_HAVE}(?:started|begun|got|took)(?:\ (?:an?|my|the))?(?:\ new)?(?:\ (?:job|work|position|role))?
        \ as\ an?\ (?P<value>.+)""",
        new=True,
    ),
    _frame(
        "age",
        rf"(?:am|is|are|{_HAVE}turned)\ (?P<number>\d{{1,3}}|{_NUMBER})(?:\ years?)?(?:\ of\ age)?(?:\ old)?",
    ),
    _frame("name", rf"{_HAVE}changed\ (?:my|their|his|her)\ name\ to\ (?P<value>.+)", new=True),
    _frame("call", r"(?:please\ )?calls?\ me\ (?P<value>.+)"),
    _frame("call", r"(?:go\ by|prefers?\ to\ be\ called)\ (?P<value>.+)"),
    _frame("birthday", r"(?:was|were)\ born\ on\ (?P<value>.+)"),
    _frame("study", rf"{_AM}stud(?:y|ies|ying)\ (?P<value>(?!(?:for|at|in|hard|with)\b).+)"),
)
_COUNT = re.compile(rf"(?:have|has|own|owns) (?P<number>{_NUMBER}) (?P<thing>\w+)")
_OPINION = re.compile(
    r"""(?P<verb>(?:am\ |is\ |are\ )?(?:not\ )?(?: can\ not\ stand | can\ not\ bear | a\ (?:big\ |huge\ )?fan\ of
      | fond\ of | into
      | likes? | loves? | enjoys? | adores? | hates? | dislikes? | detests? ))\ (?P<thing>.+)""",
    re.VERBOSE,
)
_AGAINST = re.compile(r"\b(?:hates?|dislikes?|detests?|can not stand|can not bear)\b")
_IS = re.compile(
    r"""(?:is|are|starts?|begins?|leaves?|departs?|ends?|costs?)(?:\ (?:due|scheduled|set|called|down|up))*
    (?:\ (?:to|at|on|in|for|by))?\ (?P<value>.+)""",
    re.VERBOSE,
)
_REBOOKED = re.compile(
    r"""(?:(?:was|were|is|are|got|ha(?:s|ve)\ been|been)\ )?
    (?: moved | rescheduled | postponed | pushed | changed | brought | shifted | raised | increased | lowered | cut
      | reduced | extended | dropped | rose | fell | grew | went | relocated | switched | renamed )
    (?:\ (?:back|forward|up|down))?(?:\ from\ (?P<old>.+?))?\ (?:to|for|until)\ (?P<value>.+)""",
    re.VERBOSE,
)
_CHANGED = re.compile(r"(?:has |have )?changed(?: \w+)?$")
_I_CHANGED = re.compile(
    r"(?:have |has )?(?P<verb>changed|got|have|has)(?: (?:an?|my|the|their))?(?P<fresh> new)?"
    r" (?P<thing>[\w ]+?)(?: to (?P<value>.+))?$"
)
_REARRANGED = re.compile(
    r"""(?:moved|pushed|postponed|rescheduled|changed|switched|shifted|raised|increased|lowered|cut|reduced|extended)
    (?:\ back|\ forward)?\ (?:my|our|the)\ (?P<thing>[\w ]+?)(?:\ from\ .+?)?\ (?:to|until|for)\ (?P<value>.+)""",
    re.VERBOSE,
)
_IS_MINE = re.compile(r"is (?:my|our)(?P<fresh> new)? (?P<thing>[\w ]+)$")
_CHANGED_TO = re.compile(
    r"(?:have |has )?(?:switched|changed|upgraded|converted|migrated)(?: over)? to"
    r" (?:an? |the )?(?P<value>.+ )?(?P<thing>\w+)$"
)
_TYPED = re.compile(
    r"""\d | @ | \b(?: one | two | three | four | five | six | seven | eight | nine | ten | eleven | twelve | noon
      | midnight
      | (?:mon|tues|wednes|thurs|fri|satur|sun)day | january | february | march | april | may | june | july
      | august | september
      | october | november | december )\b""",
    re.VERBOSE,
)
_CUT = re.compile(
    r"\s+(?:with|near|by|since|because|due|from|until|when|after|for|where|which|who|in|as|next to|close to)\s.*"
)
_SOURCE = re.compile(r"\s+(?:since|because|due to|until|where|which|who)\s.*")
_QUALIFIERS = frozenset({"new", "current", "present", "actual", "own", "latest"})
_POSSESSED = frozenset({"a", "an", "my", "our", "this", "that", "his", "her", "their", "your"})


_IN_STATE = re.compile(r"(?:am|is|are|got|get|became|have(?: got| become)?|has|went|eats?) (?P<state>.+)")


@dataclass(frozen=True, slots=True)
class Claim:
    """`value` as stems; empty, it says only that what was is no more. `single`: there is one value at a time. `kind`: a
    name, a time or number, a thing ("a Volvo") or what else it is said to be ("red"): only values of one kind are
    alternatives. `loose`: "the deadline" may be that of the project.
    """

    subject: str
    attribute: str
    value: frozenset[str]
    single: bool
    changes: bool
    kind: str = ""
    loose: bool = False


def claims_of(clause: Clause) -> tuple[Claim, ...]:
    """What the clause claims; nothing when it is not meant so (`if`, `would`, …) or denied."""
    if clause.irreal or clause.negated:
        return ()
    found = [*_framed(clause), *_states(clause), *_owned(clause), *_moved(clause), *_counted(clause)]
    return tuple(dict.fromkeys(found))


def opinion_of(clause: Clause) -> tuple[frozenset[str], bool] | None:
    """What it is about, and whether it is liked."""
    match = None if clause.irreal else _OPINION.match(clause.rest)
    if match is None:
        return None
    verb = match["verb"].replace("can not", "cannot")
    against, denied = bool(_AGAINST.search(match["verb"])), " not " in f" {verb} "
    return stems(_SOURCE.sub("", match["thing"])), against == denied


def _framed(clause: Clause) -> Iterator[Claim]:
    for frame in _FRAMES:
        match = frame.pattern.fullmatch(clause.rest)
        if match is not None and (value := _value(match.groupdict(), clause.names)):
            owner = clause.speaker if frame.attribute == "call" else clause.subject
            yield Claim(owner, frame.attribute, value, single=True, changes=frame.new or clause.changes)


def _value(parts: Mapping[str, str], names: frozenset[str]) -> frozenset[str]:
    if "place" in parts:
        return _place(parts["place"], names)
    if "number" in parts:
        return stems(parts["number"])
    return stems(_CUT.sub("", f" {parts['value']}"))


def _place(text: str, names: frozenset[str]) -> frozenset[str]:
    """The stems of what is written as a place's name; nothing for "a small flat"."""
    words = _CUT.sub("", f" {text}").split()
    if words and words[0] in _POSSESSED:
        words = re.findall(r"(?:called|named) (\S+)", text)
    return stems(" ".join(word for word in words if word.strip(",") in names))


def _states(clause: Clause) -> Iterator[Claim]:
    match = _IN_STATE.match(clause.rest)
    if match is None:
        return
    said = match["state"]
    for group, states in _lexicon()["states"].items():
        found = [one for one in states if re.match(rf"{re.escape(one)}\b", said)]
        if found:
            value = frozenset({max(found, key=len).removeprefix("a ")})
            yield Claim(clause.subject, group, value, single=True, changes=clause.changes)


def _owned(clause: Clause) -> Iterator[Claim]:
    """As "my X is Y", of X's owner; "I changed my X (to Y)"."""
    owner, _, thing = clause.subject.partition("'s ")
    if thing:
        yield from _said_of(clause, owner, thing)
        return
    match = _I_CHANGED.match(clause.rest)
    if match is not None and (match["fresh"] or match["verb"] == "changed"):
        attribute = _attribute(match["thing"])
        if attribute and (attribute.rpartition(" ")[2] in _one_at_a_time() or attribute == "study"):
            value, kind = stems(match["value"] or ""), _kind(match["value"] or "", clause.names)
            yield Claim(clause.subject, attribute, value, single=True, changes=True, kind=kind)


def _moved(clause: Clause) -> Iterator[Claim]:
    """As "the airline moved my flight to 2 pm", "Julia is my new doctor", "I switched to a Pixel phone"."""
    owner = clause.speaker
    if (match := _REARRANGED.search(clause.rest)) and _TYPED.search(match["value"]):
        yield Claim(
            owner, _attribute(match["thing"]), _stems_of(match["value"]), single=True, changes=True, kind="typed"
        )
    elif (match := _IS_MINE.match(clause.rest)) and (name := stems(clause.subject.removeprefix(f"{owner}'s "))):
        attribute, changes = _attribute(match["thing"]), clause.changes or match["fresh"] is not None
        single = _is_single(attribute, "name", changes=changes)
        yield Claim(owner, attribute, name, single=single, changes=changes, kind="name")
    elif (match := _CHANGED_TO.match(clause.rest)) and match["value"]:
        kind = _kind(match["value"], clause.names)
        kind = "thing" if kind == "plain" else kind
        yield Claim(owner, _attribute(match["thing"]), stems(match["value"]), single=True, changes=True, kind=kind)


def _said_of(clause: Clause, owner: str, thing: str) -> Iterator[Claim]:
    attribute = _attribute(thing)
    if not attribute:
        return
    if _CHANGED.fullmatch(clause.rest):
        yield Claim(owner, attribute, frozenset(), single=True, changes=True)
        return
    rebooked = _REBOOKED.match(clause.rest)
    match = rebooked or _IS.match(clause.rest)
    if match is None:
        return
    value, kind = _stems_of(match["value"]), _kind(match["value"], clause.names)
    if (rebooked and kind == "plain") or (_is_somebody(attribute) and (rebooked or kind != "name")):
        return
    changes = clause.changes or rebooked is not None
    if value:
        loose = changes and clause.said.startswith("the ")
        single = _is_single(attribute, kind, changes=changes)
        yield Claim(owner, attribute, value, single=single, changes=changes, kind=kind, loose=loose)


def _is_somebody(attribute: str) -> bool:
    """Who somebody is, is a name; all else that is said of them is about them."""
    head = attribute.rpartition(" ")[2]
    return head in _many() or head in _people()


def _stems_of(value: str) -> frozenset[str]:
    return stems(_SOURCE.sub("", value))


def _kind(value: str, names: frozenset[str]) -> str:
    if _TYPED.search(value):
        return "typed"
    if any(word in names for word in re.findall(r"[\w'-]+", value)):
        return "name"
    return "thing" if value.startswith(("a ", "an ")) else "plain"


def _is_single(attribute: str, kind: str, *, changes: bool) -> bool:
    head = attribute.rpartition(" ")[2]
    if attribute.startswith(("favorit", "best ", "main ")):
        return True
    if head in _many():
        return changes
    if kind == "plain":
        return head in _described()
    return head in _one_at_a_time() or kind == "typed" or changes


def _attribute(thing: str) -> str:
    """A "new email address" is an "email", an "office phone" is no "phone"; what follows "of" or "for" counts."""
    plain = re.sub(r"\bfavou?rites?\b|\bbest-loved\b", "favorite", thing)
    words = [word for word in plain.split() if word not in _QUALIFIERS]
    text = " ".join(words)
    aliases: dict[str, str] = _lexicon()["aliases"]
    for name in sorted(aliases, key=len, reverse=True):
        if text == name or text.endswith(f" {name}"):
            text = text[: len(text) - len(name)] + aliases[name]
            break
    head, _, scope = re.sub(r"\b(?:for|of|at|in|on|from)\b", "|", text).partition("|")
    kept = [stem(word) for word in head.split() if word not in {"the", "a", "my", "our"}]
    return " ".join([*sorted(stems(scope)), *kept])


def _counted(clause: Clause) -> Iterator[Claim]:
    match = _COUNT.match(clause.rest)
    if match is not None:
        thing = {"children": "child", "kids": "kid"}.get(match["thing"], match["thing"])
        yield Claim(clause.subject, f"count {stem(thing)}", stems(match["number"]), single=True, changes=clause.changes)


@cache
def _lexicon() -> Mapping[str, Any]:
    return json.loads((files("backend.services.memory") / "attributes.json").read_text("utf-8"))


@cache
def _one_at_a_time() -> frozenset[str]:
    return frozenset(stem(word.split()[-1]) for word in _lexicon()["one at a time"])


@cache
def _described() -> frozenset[str]:
    return frozenset(stem(word) for word in _lexicon()["described"])


@cache
def _people() -> frozenset[str]:
    return frozenset(stem(word) for word in _lexicon()["people"])


@cache
def _many() -> frozenset[str]:
    return frozenset(stem(word) for word in _lexicon()["many"])
