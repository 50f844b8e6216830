"""New knowledge takes the place of old: "I moved to Lisbon" closes "I live in Porto", and nothing else.

Careful on purpose: what is wrongly closed is hidden, what is wrongly kept is only ranked lower. Something old is closed
when the new says another value of an attribute that has one at a time, or says itself that it is no more so, and when
nothing else would be lost with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from backend.services.memory.claims import Claim, claims_of, opinion_of
from backend.services.memory.clauses import Clause, clauses_of, stem, stems

_MOST_WORDS = 14
"""Telling words of a memory: one with more carries more than the one thing that changed."""
_LONGEST_READ = 1000
"""Characters: who says more than that at once tells a story."""
_MOST_UNREAD = 2
"""Telling words outside the clauses that were understood."""
_MOST_IN_A_CLAUSE = 8
_ALIKE = 0.35
_MUCH_ALIKE = 0.55
_ENDS = re.compile(
    r"""(?:have\ |has\ |am\ |is\ )?
    (?: quit | stopped | stop | gave\ up | given\ up | dropped(?:\ out\ of)? | abandoned | used\ to | done\ with
      | cancell?ed
      | finished | completed | off )\ (?P<what>.+)""",
    re.VERBOSE,
)
_DISPOSED = re.compile(
    r"(?:have |has )?(?:sold|closed|got rid of|gave away|given away|cancell?ed|lost|gave up|quit|broke up with)"
    r" (?P<what>.+)"
)
_JOB_ENDED = re.compile(
    r"""(?:have\ |has\ |was\ |were\ |got\ |is\ |am\ )?
    (?: (?:quit|left|lost|resigned\ from)\ (?:my|their|his|her|the)\ (?:job|position|work)\b
      | (?:retired|resigned|laid\ off|fired|unemployed|between\ jobs|out\ of\ work)\b )
    (?:\ (?:at|from|with|as)\ (?P<what>.+))?""",
    re.VERBOSE,
)
_LEFT = re.compile(
    r"(?:have |has )?(?:left|quit|closed|fired|cancell?ed|dropped) (?P<what>.+)|.*\blast day (?:at|with) (?P<there>.+)"
)
_PARTED = re.compile(r"(?P<who>\w+) & i (?:have )?(?:just )?(?:broke|broken|split|separated|divorced|fell|parted)\b")
_CLOSE = stems("girlfriend boyfriend partner wife husband fiance fiancee friend")
_SWAPS = (
    re.compile(r"\b(?:switched|changed|went|converted|gone|moved) from (?P<old>.+?) to (?P<new>.+)"),
    re.compile(r"\b(?:replaced|swapped|traded|exchanged) (?P<old>.+?) (?:in |out )?(?:with|for|by) (?P<new>.+)"),
    re.compile(r"(?P<new>.+?) (?:instead of|rather than) (?P<old>.+)"),
)
_SWITCHED_TO = re.compile(r"(?:have |has )?(?:switched|converted|changed|migrated|upgraded)(?: over)? to (?P<new>.+)")
_USED_BY = {"car": "driv", "bike": "rid", "motorbike": "rid", "bicycle": "rid"}
_BY_NOW = re.compile(r"\b(?:down|up) to\b|^(?:started|reached|turned|is|am|are|weigh)\b")
_TAIL = re.compile(
    r"""\s+(?: and | but | because | since | due | after | when | last | this | next | earlier
      | (?:in|on)\ (?: \d | january | february | march | april | may | june | july | august | september | october
      | november
        | december | spring | summer | autumn | winter | (?:mon|tues|wednes|thurs|fri|satur|sun)days? ) )\b.*""",
    re.VERBOSE,
)
_PRESENT = re.compile(r"\b(?:now|anymore|these days|nowadays|from now on|again|currently)\b")
_HAVING = stems(
    "use drink eat take drive ride play smoke go follow wear keep subscribe visit attend own train exercise"
) | {
    "have",
    "has",
}
_HABITS = stems(
    "drive drink eat use take wake get go sleep study work commute leave start finish teach attend support follow wear "
    "sit live earn pay cost weigh prefer smoke subscribe cook shop bank vote"
)
_MEASURES = stems("weigh cost earn pay measure") | {"is", "am", "are"}
_AMOUNT = re.compile(
    r"\b(\d[\d.,]*(?:st|nd|rd|th)?|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth)\s+(\w+)"
)
_PAPERS = stems("membership subscription account contract policy")
_TYPED_STEM = re.compile(r"\d|@")
_PROBES = {
    stem(attribute): said
    for attribute, said in {
        "residence": "live in",
        "employer": "work at",
        "job": "work as",
        "age": "am years old",
        "call": "am called",
        "study": "study",
        "marital": "am single, engaged, married or divorced",
        "diet": "am vegetarian or vegan",
        "employment": "work at",
    }.items()
}


@dataclass(frozen=True, slots=True)
class Statement:
    """Something that was said, by whom ("" for the person whose memory it is), and when it was true."""

    text: str
    speaker: str
    said_at: datetime


def supersedes(new: Statement, old: Statement, likeness: float) -> bool:
    """Whether `new` takes the place of all that `old` says; both are of one namespace.

    `likeness` is the cosine of their vectors. Never when `old` is the later one.
    """
    if not _comes_after(new, old):
        return False
    before = [one for one in clauses_of(old.text, old.speaker) if one.content]
    told = stems(old.text)
    if (
        not before
        or len(told) > _MOST_WORDS
        or len(told.difference(*(stems(one.said) for one in before))) > _MOST_UNREAD
    ):
        return False
    after = [one for one in clauses_of(new.text, new.speaker) if not one.irreal]
    return all(any(_closes(one, other, likeness) for one in after) for other in before)


def revises(new: Statement, old: Statement, likeness: float) -> bool:
    """Whether `new` takes the place of some of what `old` says: "I moved to Lisbon", and "I live in Porto with cats".

    Nothing is hidden for that; asked about it, the newer comes first.
    """
    if not _comes_after(new, old) or len(old.text) > _LONGEST_READ:
        return False
    before = [one for one in clauses_of(old.text, old.speaker) if one.content]
    after = [one for one in clauses_of(new.text, new.speaker) if not one.irreal]
    return any(_closes(one, other, likeness) for other in before for one in after)


def _comes_after(new: Statement, old: Statement) -> bool:
    return new.said_at >= old.said_at and new.text != old.text


def may_supersede(statement: Statement) -> bool:
    """Whether it says anything that could take the place of something else."""
    if len(statement.text) > _LONGEST_READ:
        return False
    said = clauses_of(statement.text, statement.speaker)
    return any(_may_close(one) for one in said if not one.irreal)


def _may_close(clause: Clause) -> bool:
    return bool(
        clause.changes
        or clause.negated
        or claims_of(clause)
        or opinion_of(clause)
        or any(_endings(clause))
        or clause.verb == "prefer"
        or (clause.verb in _MEASURES and any(_TYPED_STEM.search(one) for one in clause.content))
        or (_BY_NOW.search(clause.rest) and _AMOUNT.search(clause.rest))
        or any(pattern.match(clause.rest) for pattern in (_JOB_ENDED, _DISPOSED, _LEFT, _SWITCHED_TO))
        or _PARTED.match(clause.said)
        or any(pattern.search(clause.said) for pattern in _SWAPS)
    )


def probes(new: Statement) -> list[str]:
    """Texts near which the memories lie that this one could take the place of."""
    found: dict[str, None] = {}
    for clause in clauses_of(new.text, new.speaker):
        if clause.irreal:
            continue
        for claim in (one for one in claims_of(clause) if one.single):
            said = _PROBES.get(claim.attribute)
            found[f"I {said}" if said else f"My {claim.attribute} is"] = None
        for what in _endings(clause):
            found[f"I {what}"] = None
        if _JOB_ENDED.match(clause.rest):
            found["I work at"] = None
    return list(found)[:4]


def _closes(new: Clause, old: Clause, likeness: float) -> bool:
    if new.adds or old.irreal:
        return False
    if _other_value(new, old) or _left(new, old) or _swapped(new, old, likeness):
        return True
    if new.subject != old.subject:
        return False
    return _ended(new, old) or _job_ended(new, old) or _turned(new, old) or _otherwise(new, old, likeness)


def _other_value(new: Clause, old: Clause) -> bool:
    known = claims_of(old)
    return any(_replaces(claim, other) for claim in claims_of(new) for other in known)


def _replaces(new: Claim, old: Claim) -> bool:
    if new.subject != old.subject or not new.single or not _one_attribute(new, old):
        return False
    if not new.value:
        return True
    kinds = {new.kind, old.kind} - {""}
    alternatives = len(kinds) < 2 or kinds == {"name", "thing"}
    return alternatives and bool(old.value) and not new.value <= old.value and not old.value <= new.value


def _one_attribute(new: Claim, old: Claim) -> bool:
    return new.attribute == old.attribute or (new.loose and old.attribute.endswith(f" {new.attribute}"))


def _endings(clause: Clause) -> Iterator[str]:
    """What is no more so, as it was said."""
    said = f" {clause.said} "
    if " no longer " in said or (clause.negated and " anymore" in said):
        yield re.sub(r"^(?:am|is|are)? ?not ", "", clause.rest)
    elif match := _ENDS.match(clause.rest):
        yield match["what"]


def _ended(new: Clause, old: Clause) -> bool:
    """No longer, not any more, quit, stopped; sold and given away."""
    if old.past or old.negated:
        return False
    for what in _endings(new):
        gone = _gone(what)
        if _same_claim(replace(new, rest=what, negated=False), old) or (gone and _is_all_of(gone, old)):
            return True
    match = _DISPOSED.match(new.rest)
    gone = _gone(match["what"]) if match else frozenset[str]()
    used = {_USED_BY.get(one) for one in gone}
    return bool(gone) and ((gone <= old.content and old.verb in _HAVING) or old.verb in used)


def _is_all_of(gone: frozenset[str], old: Clause) -> bool:
    return gone <= old.content and (
        old.verb in gone or old.verb in _HAVING or old.rest.startswith(("am ", "is ", "are "))
    )


def _left(new: Clause, old: Clause) -> bool:
    """As "I left Acme", "it was my last day at Acme"; "Nora and I broke up"."""
    if (match := _PARTED.match(new.said)) is not None:
        owner, _, thing = old.subject.partition("'s ")
        return owner == new.speaker and bool(_CLOSE & stems(thing)) and stems(match["who"]) <= stems(old.said)
    match = _LEFT.match(new.rest)
    return match is not None and _is_value(_gone(match["what"] or match["there"]), new.speaker, old)


def _gone(what: str) -> frozenset[str]:
    """What is no more: "my membership of the club" is the club."""
    return stems(_TAIL.sub("", what)) - _PAPERS


def _is_value(gone: frozenset[str], owner: str, old: Clause) -> bool:
    return bool(gone) and any(gone <= one.value for one in claims_of(old) if one.subject == owner)


def _same_claim(denied: Clause, old: Clause) -> bool:
    """As "I don't work for Acme any more" denies "I am employed by Acme"."""
    known = {(one.attribute, one.value) for one in claims_of(old)}
    return any((one.attribute, one.value) in known for one in claims_of(denied) if one.value)


def _job_ended(new: Clause, old: Clause) -> bool:
    match = _JOB_ENDED.match(new.rest)
    if match is None:
        return False
    named = stems(match["what"] or "")
    return any(
        one.attribute in {"employer", "job"} and (not named or bool(named & one.value)) for one in claims_of(old)
    )


def _swapped(new: Clause, old: Clause, likeness: float) -> bool:
    """As "I switched from tea to coffee", "I replaced Windows with Linux", "by bike instead of the bus"."""
    if old.past or old.negated or opinion_of(old) is not None:
        return False
    for pattern in _SWAPS:
        if (match := pattern.search(new.said)) is not None:
            gone = _gone(_PRESENT.sub("", match["old"]))
            same = new.subject == old.subject and bool(gone) and gone <= old.content
            return same or _is_value(gone, new.subject, old)
    if new.subject == old.subject and (match := _SWITCHED_TO.match(new.rest)) is not None:
        return likeness >= _MUCH_ALIKE and old.verb in _HAVING and not stems(match["new"]) <= old.content
    return False


def _turned(new: Clause, old: Clause) -> bool:
    """The same, denied: "I am allergic to nuts", "I am not allergic to nuts"; liked, and disliked."""
    before, after = opinion_of(old), opinion_of(new)
    if before is not None and after is not None:
        return before[1] != after[1] and bool(after[0]) and (after[0] <= before[0] or before[0] <= after[0])
    return new.negated != old.negated and not old.past and not new.past and new.content == old.content


def _otherwise(new: Clause, old: Clause, likeness: float) -> bool:
    """The same sentence with another value in it: "I wake up at six", "I wake up at eight now"."""
    if old.past or new.negated or old.negated or likeness < _ALIKE:
        return False
    if likeness >= _MUCH_ALIKE and _another_amount(new, old):
        return True
    if new.past or new.verb != old.verb or max(len(new.content), len(old.content)) > _MOST_IN_A_CLAUSE:
        return False
    if new.content <= old.content or old.content <= new.content:
        return False
    return _of_one_frame(new, old, likeness)


def _of_one_frame(new: Clause, old: Clause, likeness: float) -> bool:
    if new.verb == "prefer":
        return bool((new.content & old.content) - {new.verb}) or (new.changes and likeness >= _MUCH_ALIKE)
    if _only_numbers_differ(new.content, old.content):
        return new.changes or new.verb in _MEASURES
    return new.changes and new.verb in _HABITS and _frame(new) == _frame(old)


def _another_amount(new: Clause, old: Clause) -> bool:
    """Another number of the same: "I weigh 80 kilos", "I am down to 72 kilos"."""
    if not _BY_NOW.search(new.rest):
        return False
    before, after = (dict(_AMOUNT.findall(one.rest)) for one in (old, new))
    same = {stem(unit) for unit in map(str.strip, before.values())} & {
        stem(unit) for unit in map(str.strip, after.values())
    }
    return bool(same) and set(before) != set(after)


def _only_numbers_differ(new: frozenset[str], old: frozenset[str]) -> bool:
    numbers = {one for one in new | old if _TYPED_STEM.search(one)}
    return new - numbers == old - numbers and bool(new & numbers) and bool(old & numbers)


def _frame(clause: Clause) -> str:
    """The verb and its preposition, if it has one: "take the bus" is not "take off at"."""
    words = clause.rest.split()
    kept = [word for word in words[1:3] if word in {"at", "in", "on", "to", "for", "up", "by", "with", "as"}]
    return " ".join([clause.verb, *kept])
