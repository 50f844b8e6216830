"""A script without a model: each part by rule from its purpose, its pacing and the plan."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from string import Template

from backend.gateways.offline_guidance import clauses, guidance, moves_in, relevant
from backend.gateways.offline_hearing import plain_words, same
from backend.gateways.offline_manner import WORDS_PER_TOKEN
from backend.gateways.offline_pacing import Block, OfflinePacing
from backend.gateways.offline_phrases import capital, enumerated, ordered, sections, word_list
from backend.gateways.offline_plan import Aim, OfflinePlan
from backend.models.agent import AgentContract
from backend.ports import ModelRequest
from backend.ports.tasks import Reflect, WritePart

MOST_WORDS = 3000
_MOST_NAMED = 5
_ROUNDS = 3
_SAID_INSTEAD = 4
"""A move that is named so early in a clause is what the clause is about."""
_FROM_TO = re.compile(r"\bfrom (\w+) (?:down |up )?to (\w+)\b", re.IGNORECASE)
_COUNTED = re.compile(r"\bcount(?:ing|s)?\b(.*\bdown\b)?", re.IGNORECASE)
_EACH = re.compile(r"\b(?:each|every|all|any) (?:one )?(?:of )?(?:the |your |these )?(\w+)", re.IGNORECASE)
_HOW_MANY = re.compile(
    r"\b(one|two|three|four|five|six|seven|eight|nine|ten|\d{1,2}) (?:\w+ )?"
    r"(?:questions?|examples?|exercises?|tasks?)\b",
    re.IGNORECASE,
)


def written_part(request: ModelRequest, task: WritePart) -> str:
    """The words of the part, with marks for its pauses: `[pause 4s]`."""
    return _Part(request.contract, task).text()


def reflection(contract: AgentContract, task: Reflect) -> str:
    """What the person wanted and what was made, in the third person."""
    plan = OfflinePlan(task.plan)
    aims = enumerated([_of_them(wish) for wish in plan.wishes])
    choices = enumerated([f"the {_spoken(name)} {value}" for name, value in plan.choices.items()])
    parts = contract.script.parts if contract.script else ()
    made = enumerated([part.name.replace("_", " ") for part in parts]) or "a text"
    values = {"aims": aims, "choices": choices, "name": contract.name, "made": made}
    first = _said("reflect: wanted", values) or _said("reflect: came", values)
    return f"{first} {_said('reflect: made', values) or _said('reflect: made plain', values)}"


class _Part:
    """One part of a script."""

    def __init__(self, contract: AgentContract, task: WritePart) -> None:
        self._contract, self._part = contract, task.part
        self._plan = OfflinePlan(task.plan)
        self._before = task.before
        self._earlier = "\n".join(task.before)
        self._clauses = clauses(task.part.purpose, self._plan)
        self._topics = self._plan.topics or (_spoken(task.part.name),)

    def text(self) -> str:
        pacing = OfflinePacing(relevant(self._part.pacing, self._plan), tuple(self._plan.choices.values()))
        room = int(self._contract.configuration.max_tokens * WORDS_PER_TOKEN)
        return pacing.spoken(self._blocks(), self._part.minutes * 60, min(MOST_WORDS, room))

    def _blocks(self) -> list[Block]:
        """Everything that could be said, in its order."""
        blocks = [block for clause in self._clauses for block in self._clause(clause)]
        about = Block([*self._about()], must=True)
        blocks.insert(1 if blocks and not self._before and blocks[0].least else 0, about)
        moves = [move for clause in self._clauses for _, move in moves_in(clause)]
        if not moves and not any(_works_on(clause, self._plan) for clause in self._clauses):
            blocks += self._aims(self._part.purpose)
        if any(block.works for block in blocks if not block.must):
            blocks += [Block(block.lines, least=0, fills=True) for block in self._aims("")]
        if not any(block.lines for block in blocks):
            blocks = [Block(self._fresh("script: rest"))]
        return blocks

    def _about(self) -> Iterator[str]:
        """What the part is for, by the plan: what is wanted, chosen and told."""
        wanted = [aim.said for aim in self._plan.aims]
        if not self._plan.speaks_of(self._part.purpose) or any(
            _works_on(clause, self._plan) for clause in self._clauses
        ):
            wanted = wanted[:_MOST_NAMED]
        if wanted:
            values = {"aims": enumerated(wanted)}
            kinds = sections()["script: next"]
            yield (
                _filled(kinds[(len(self._before) - 1) % len(kinds)], values)
                if self._before
                else _said("script: first", values)
            )
        chosen = self._plan.named_in(self._part.purpose)
        line = _said(
            "script: chosen",
            {"choices": enumerated([f"{value} for the {_spoken(name)}" for name, value in chosen.items()])},
        )
        if line and line not in self._earlier:
            yield line
        told = _said("script: told", {"note": self._plan.note})
        if told and told not in self._earlier and (not self._before or self._plan.speaks_of_note(self._part.purpose)):
            yield told

    def _clause(self, clause: str) -> Iterator[Block]:
        if _works_on(clause, self._plan):
            yield from self._aims(self._part.purpose)
            return
        moves = moves_in(clause)
        if not moves or moves[0][0] >= _SAID_INSTEAD:
            yield from self._generic(clause)
        counts = [*self._count(clause)]
        if re.search(r"\bsuch as\b|\bor\b", clause):
            first, *others = moves or [(0, "")]
            images = self._alternative([move for _, move in others])
            moves = [first, *images] if first[1] else []
            counts = [] if images else counts
        if any(move in word_list("counting in itself") for _, move in moves):
            counts = []
        for _, move in moves:
            blocks = [*self._move(move, clause)]
            if move in word_list("after counting") and counts:
                # One is brought back by the counting, and awake after it.
                blocks = [Block(blocks[0].lines[:1]), counts.pop(), Block(blocks[0].lines[1:])]
            yield from blocks
        yield from counts

    def _alternative(self, moves: Sequence[str]) -> list[tuple[int, str]]:
        """One of several images, the first that holds nothing which the person wants to be left out."""
        whole = [move for move in moves if not self._is_barred(" ".join([move, *sections()[f"move: {move}"]]))]
        return [(0, move) for move in whole[:1]]

    def _generic(self, clause: str) -> Iterator[Block]:
        told = guidance(clause)
        if told is None:
            return
        kind, values = told
        line = _said(kind, values) if kind else values["text"]
        if line and not self._is_barred(line):
            yield Block([self._with_choices(line)])

    def _with_choices(self, line: str) -> str:
        """The line with what was chosen after the word for it: `at your level, beginner,`."""
        for name, value in self._plan.named_in(line).items():
            thing = _spoken(name).split(" ")[-1]
            if value not in line:
                line = re.sub(rf"\b{re.escape(thing)}\b(?=[.?!,;])", f"{thing}, {value}", line, count=1)
        return line

    def _move(self, move: str, clause: str) -> Iterator[Block]:
        kind = f"move: {move}"
        lines = sections()[kind]
        if any("$Nth" in line for line in lines):
            count = _how_many(clause) or 3
            yield Block(self._numbered(lines, count), least=count, works=True)
        elif move in word_list("told whole"):
            fresh = self._fresh(kind)
            yield Block(fresh, least=len(fresh), whole=True)
        else:
            fresh = self._fresh(kind)
            yield Block(fresh)

    def _numbered(self, lines: Sequence[str], count: int) -> list[str]:
        kept = [line for line in lines if not self._is_barred(line)] or [*lines]
        names = ordered("ordinal")
        return [
            _filled(kept[place % len(kept)], self._values(place) | {"Nth": capital(names[place % len(names)])})
            for place in range(min(count, len(names)))
        ]

    def _count(self, clause: str) -> Iterator[Block]:
        if not _COUNTED.search(clause) or self._is_barred("counting"):
            return
        numbers = ordered("counting")
        told = _FROM_TO.search(clause)
        places = (
            [
                numbers.index(word.lower()) if word.lower() in numbers else int(word) - 1 if word.isdecimal() else -1
                for word in told.groups()
            ]
            if told
            else []
        )
        is_down = bool((match := _COUNTED.search(clause)) and match[1])
        begin, end = (
            places if places and all(0 <= place < len(numbers) for place in places) else (9, 0) if is_down else (0, 4)
        )
        step = 1 if end >= begin else -1
        way = "up" if step > 0 and _brings_back(clause) else "down" if step < 0 else "plain"
        said = [capital(numbers[place]) for place in range(begin, end + step, step)]
        kinds, last = sections()[f"count: {way}"], sections().get(f"count: {way} last", ())
        lines = [_filled(kinds[place % len(kinds)], {"Number": number}) for place, number in enumerate(said)]
        if last:
            lines[-1] = _filled(last[0], {"Number": said[-1]})
        yield Block(lines, least=len(lines), whole=True)

    def _aims(self, purpose: str) -> Iterator[Block]:
        """Lines for each thing that the person wants, in the manner that the purpose asks for."""
        said = plain_words(purpose)
        styles = [style for style in ("vision", "practice") if any(word in word_list(f"aim {style}") for word in said)]
        lines = sections()[f"aim: {(styles or ['thought'])[0]}"]
        aims = self._plan.aims
        for place, aim in enumerate(aims):
            # Each begins with its first line; then they go different ways through the others.
            shift = 1 + place * 5
            rest = [*lines[1:][shift - 1 :], *lines[1:][: shift - 1]] if place else lines[1:]
            own = [_filled(line, self._values(place) | _of(aim)) for line in [lines[0], *rest]]
            own = [own[0], *(line for line in own[1:] if not self._is_barred(line))]
            again = sections()["aim: again"]
            for turn in range(1, _ROUNDS):
                own += [again[(turn - 1) % len(again)], *lines_again(own[1 : len(lines)], turn)]
            yield Block(own, works=styles[:1] == ["practice"], must=True)

    def _values(self, place: int) -> dict[str, str]:
        aims = self._plan.aims
        topic = self._topics[place % len(self._topics)]
        return {
            "topic": topic,
            **(_of(aims[place % len(aims)]) if aims else {"aim": topic, "now": topic, "Now": topic, "me": topic}),
        }

    def _fresh(self, kind: str) -> list[str]:
        """The lines of a kind that may be said, those first that were not said in a part before."""
        lines = [_filled(line, self._values(len(self._before))) for line in sections()[kind]]
        lines = [line for line in lines if not self._is_barred(line)]
        return [line for line in lines if line not in self._earlier] or lines

    def _is_barred(self, line: str) -> bool:
        return any(same(word, barred) for word in plain_words(line) for barred in self._plan.barred if len(barred) > 2)


def _works_on(clause: str, plan: OfflinePlan) -> bool:
    each = _EACH.search(clause)
    return (
        bool(each) and plan.speaks_of(each[1])
        if each
        else bool(re.match(r"work (?:on|with|towards?)\b", clause, re.IGNORECASE)) and plan.speaks_of(clause)
    )


def lines_again(lines: Sequence[str], turn: int) -> list[str]:
    """The same lines in another order."""
    return [line for start in range(turn + 1) for line in lines[start :: turn + 1]]


def _of(aim: Aim) -> dict[str, str]:
    return {"aim": aim.said, "now": aim.now, "Now": capital(aim.now), "me": aim.me}


def _how_many(clause: str) -> int | None:
    for match in _HOW_MANY.finditer(clause):
        word = match[1].lower()
        if word in ordered("counting"):
            return ordered("counting").index(word) + 1
        if word.isdecimal():
            return min(10, max(1, int(word[:3])))
    return None


def _brings_back(clause: str) -> bool:
    return any(move in word_list("after counting") for _, move in moves_in(clause))


def _said(kind: str, values: Mapping[str, str]) -> str:
    return _filled(sections()[kind][0], values)


def _filled(line: str, values: Mapping[str, str]) -> str:
    """The line with its values; empty when one of them is empty."""
    template = Template(line)
    if not all(values.get(name) for name in template.get_identifiers()):
        return ""
    return template.substitute(values)


def _spoken(name: str) -> str:
    words = [word for word in plain_words(name.replace("_", " ")) if word != "id"]
    return " ".join(words) or name


def _of_them(wish: str) -> str:
    for old, new in (
        ("my", "their"),
        ("me", "them"),
        ("myself", "themselves"),
        ("mine", "theirs"),
        ("i am|i'm", "they are"),
        ("i", "they"),
    ):
        wish = re.sub(rf"\b(?:{old})\b", new, wish, flags=re.IGNORECASE)
    return wish
