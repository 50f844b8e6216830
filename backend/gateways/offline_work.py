"""Work without a model: what rules can honestly do with a text, and a plain word about what they cannot."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template

from backend.gateways.offline_guidance import orders
from backend.gateways.offline_hearing import plain_words, same, sentences_in
from backend.gateways.offline_manner import WORDS_PER_TOKEN
from backend.gateways.offline_phrases import capital, ordered, sections, shortened, speakable, word_list
from backend.gateways.offline_recollection import OfflineRecollection, content
from backend.models.interview_progress import Verdict
from backend.models.workflow import Workflow
from backend.ports import ModelRequest
from backend.ports.tasks import Act, CheckDone, DoStep, MakePlan

LONGEST_GIVEN = 40_000
MOST_SENTENCES, USUAL_SENTENCES = 400, 5
MOST_PLAN_LINES = 7
LONGEST_PROMPT = 600
_NUMBER = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|an?|a single|single"
_LIMIT = re.compile(
    rf"\b(\d{{1,3}}|{_NUMBER})[ -](?:(?:short|plain|simple|key|main|single|clear|brief|important)[ -])?"
    r"(words?|lines?|liners?|sentences?|bullets?(?: points?)?|points?|items?|paragraphs?|takeaways?)\b",
    re.IGNORECASE,
)
_IF_NOTHING = re.compile(
    r"\b(?:if|when)\b[^.!?]*\b(?:nothing|no|none|empty|blank)\b[^.!?]*?\b(?:answer|reply|say|write|return|respond|give|output)"
    r"(?: only| just)?(?: with)?(?: only| just)?(?: the (?:single )?word)? [\"'“]?(\w+)",
    re.IGNORECASE,
)
_GROUPS = re.compile(
    r"\b(?:group|sort|divide|split|classify|organi[sz]e)\b[^.!?]*?\b(?:into|by|under|as) ([^.!?:]+)", re.IGNORECASE
)
_ALTERNATIVES = re.compile(r"\b(?:one|single) word\b[^.!?]*?[:,(] ?((?:[\w-]+,? )+or [\w-]+)", re.IGNORECASE)
_LINE = re.compile(r"^\s*(?:\d{1,3}[.):]|[-*•])\s*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Limit:
    """How much is asked for: so many of which kind (`word`, `line`, `sentence`, `bullet`)."""

    count: int
    kind: str


def step_result(request: ModelRequest, task: DoStep) -> str:
    """The sentences of what is given that matter most to the prompt, no more than it asks for."""
    given = "\n".join(text[:LONGEST_GIVEN].strip() for _, text in task.given if text.strip())
    if not plain_words(given):
        instead = _IF_NOTHING.search(task.prompt)
        if instead and task.given:
            return instead[1]
        return _said("work: nothing given" if task.given else "work: left to do", {"prompt": _brief(task.prompt)})
    return _within(request, _made(task.prompt, given))


def made_plan(request: ModelRequest, task: MakePlan) -> str:
    """A few numbered lines: what the goal and the agent's mission ask for, one thing each."""
    mission = request.contract.identity.mission
    goal = [line for sentence in sentences_in(task.goal[:LONGEST_PROMPT])[:3] for line in orders(sentence)]
    first = plain_words(goal[0])[:1] if goal else ()
    if not first or not (first[0] in word_list("deeds") or first[0] in word_list("guiding")):
        goal = [_said("work: first line", {"goal": _brief(task.goal)})]
    own = (
        []
        if mission.strip() == task.goal.strip()
        else [line for text in sentences_in(mission) for line in orders(text)]
    )
    rounds = (request.contract.workflow or Workflow()).max_iterations
    lines = [capital(line.strip(" .,;")) for line in dict.fromkeys([*goal, *own]) if plain_words(line)]
    lines = lines[: max(1, min(MOST_PLAN_LINES, rounds) - 1)]
    if len(lines) < min(MOST_PLAN_LINES, rounds):
        lines.append(_said("work: last line", {}))
    return "\n".join(f"{number}. {line}." for number, line in enumerate(lines, 1))


def step_done(request: ModelRequest, task: Act) -> str:
    """What can be said of the next line of the plan: that it is not done, and what is known about it."""
    lines = _lines(task.plan) or [_brief(task.goal)]
    line = lines[min(len(task.done), len(lines) - 1)].rstrip(" .") or "…"
    found = OfflineRecollection(request.messages).find(line)
    known = speakable(found.remembered) if found else ""
    return _within(
        request, _said("work: acted with", {"line": line, "found": known}) or _said("work: acted", {"line": line})
    )


def verdict(request: ModelRequest, task: CheckDone) -> Verdict:
    """Done when every line of the plan has a result."""
    lines = _lines(task.plan)
    if len(task.done) < max(1, len(lines)):
        return Verdict(
            done=False, missing=_said("work: missing", {"line": lines[len(task.done)] if lines else task.goal})
        )
    answer = _said("work: reached", {"goal": _brief(task.goal), "results": "\n- ".join(["", *task.done])})
    return Verdict(done=True, answer=_within(request, answer))


def _made(prompt: str, given: str) -> str:
    sentences = [_LINE.sub("", sentence).strip() for sentence in sentences_in(given)[:MOST_SENTENCES]]
    sentences = list(dict.fromkeys(sentence for sentence in sentences if plain_words(sentence)))
    sentences = [sentence for sentence in sentences if not sentence.endswith(":")] or sentences  # headings tell nothing
    groups = _grouped(prompt, sentences)
    if groups:
        return groups
    limit = _limit(prompt)
    if limit.kind == "word":
        return _words(prompt, given, limit.count)
    chosen = _best(prompt, sentences, limit.count)
    if limit.kind == "bullet":
        return "\n".join(f"- {sentence}" for sentence in chosen)
    return ("\n" if limit.kind == "line" else " ").join(
        sentence if sentence[-1] in ".!?…" else f"{sentence}." for sentence in chosen
    )


def _limit(prompt: str) -> _Limit:
    """What the prompt asks for; of several the narrowest."""
    found: list[_Limit] = []
    for match in _LIMIT.finditer(prompt):
        number, kind = match[1].lower(), match[2].lower()
        if number in {"a", "an"} and not re.search(
            r"\b(?:in|as|to|into|with|give|write|answer)(?: \w+)? $", prompt[: match.start()], re.IGNORECASE
        ):
            continue
        count = (
            int(number)
            if number.isdecimal()
            else 1
            if number in {"a", "an", "single", "a single"}
            else _counted(number)
        )
        if count and not re.match(r" each\b| per\b", prompt[match.end() :]):
            found.append(_Limit(count, _kind(kind)))
    return min(
        found, key=lambda limit: (limit.kind != "word", limit.count), default=_Limit(USUAL_SENTENCES, "sentence")
    )


def _kind(named: str) -> str:
    if named.startswith("word"):
        return "word"
    if named.startswith("line"):
        return "line"
    return "sentence" if named.startswith(("sentence", "paragraph")) else "bullet"


def _counted(number: str) -> int:
    numbers = ordered("counting")
    return numbers.index(number) + 1 if number in numbers else 0


def _best(prompt: str, sentences: Sequence[str], count: int) -> list[str]:
    """The sentences that share most with the prompt and with the other sentences, in the order of the text."""
    wanted = content(prompt)
    meant = [content(sentence) for sentence in sentences]
    common = Counter(stem for stems in meant for stem in stems)
    scores = [
        (2 * len(wanted & stems) + sum(common[stem] - 1 for stem in stems) / (1 + len(stems)), -place)
        for place, stems in enumerate(meant)
    ]
    kept = sorted(-place for _, place in sorted(scores, reverse=True)[:count])
    return [sentences[place] for place in kept]


def _words(prompt: str, given: str, count: int) -> str:
    """So many words: one of those to choose from if the prompt names some, otherwise the text's most frequent ones."""
    said = [word for word in plain_words(given) if word not in word_list("empty")]
    offered = _ALTERNATIVES.search(prompt)
    for word in plain_words(offered[1]) if offered and count == 1 else ():
        if word != "or" and any(same(word, other) for other in said):
            return word
    if count > 12:
        sentences = sentences_in(given)
        return shortened(" ".join(_best(prompt, sentences, max(1, count // 12))), count)
    wanted = plain_words(prompt)
    common = Counter(said)
    best = sorted(common, key=lambda word: (-(common[word] + 2 * (word in wanted)), said.index(word)))
    return " ".join(best[:count]) or " ".join(plain_words(given)[:count])


def _grouped(prompt: str, sentences: Sequence[str]) -> str:
    """The sentences under the names of the groups that stand in them; empty when the prompt asks for none."""
    asked = _GROUPS.search(prompt)
    if not asked:
        return ""
    names = [
        name
        for part in re.split(r",|\band\b|\bor\b", asked[1].split(", one")[0])
        if (name := part.strip()) and len(name.split()) <= 3
    ]
    groups: dict[str, list[str]] = {name: [] for name in names}
    others: list[str] = []
    for sentence in sentences:
        said = plain_words(sentence)
        fitting = [name for name in names if any(same(word, part) for part in plain_words(name) for word in said)]
        (groups[fitting[0]] if fitting else others).append(sentence if sentence[-1] in ".!?" else f"{sentence}.")
    if len(names) < 2 or not any(groups.values()):
        return ""
    rows = [*groups.items(), (_said("work: other group", {}), others)]
    return "\n".join(
        line for name, found in rows if found for line in (f"{capital(name)}:", *(f"- {text}" for text in found))
    )


def _lines(plan: str) -> list[str]:
    return [_LINE.sub("", line).strip() for line in plan.splitlines() if plain_words(line)]


def _brief(text: str) -> str:
    told = speakable(text[:LONGEST_PROMPT])
    return (f"{told}…" if len(text) > LONGEST_PROMPT else told).rstrip(" .;:?") or "…"


def _within(request: ModelRequest, text: str) -> str:
    """The text within the agent's limit, line by line."""
    room = max(1, int(request.contract.configuration.max_tokens * WORDS_PER_TOKEN))
    if len(text.split()) <= room:
        return text
    kept: list[str] = []
    for line in text.splitlines():
        if len(line.split()) > room:
            kept.append(shortened(line, room))
            break
        room -= len(line.split())
        kept.append(line)
    return "\n".join(line for line in kept if line) or text[:200]


def _said(kind: str, values: Mapping[str, str]) -> str:
    template = Template(sections()[kind][0])
    return template.substitute(values) if all(values.get(name) for name in template.get_identifiers()) else ""
