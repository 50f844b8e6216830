"""What a person asks to be changed in an interview: `remove the smoking goal`, `the notes should be: no ocean`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from backend.gateways.offline_choices import names, nouns, ordinal
from backend.gateways.offline_hearing import closed, opened, plain_words, same
from backend.gateways.offline_lists import things, unique
from backend.gateways.offline_phrases import word_list
from backend.models.interview import Interview, InterviewField
from backend.models.interview_progress import Answer, InterviewProgress

_VERB = re.compile(
    r"\b(?:remove|delete|drop|scrap|forget|skip|cancel|erase|strike|take|leave|get rid of|add|include|append|put|"
    r"replace|swap|exchange|change|switch|turn|make|set)\b",
    re.IGNORECASE,
)
_BEFORE_A_VERB = re.compile(
    r"(?:^|[,;:.!–—-]|\b(?:and|but|then|so|also|please|actually|rather|instead|just|no|yes|wait|oh|to|you|we|i|could|can|"
    r"let's|okay|ok|hmm|well|would|sorry|should|me|ought))\s*$",
    re.IGNORECASE,
)
_REMOVE = re.compile(
    r"(?:remove|delete|drop|scrap|forget|skip|cancel|erase|strike|get rid of|(?:take|leave) (?:out|off|away|aside))\b"
    r"(?: (?:about|off|out))?\s*:?\s*(?P<what>.+)",
    re.IGNORECASE,
)
_NO_LONGER = re.compile(
    r"(?:i )?(?:don't|do not|no longer) (?:want|need) (?P<what>.+?)(?: any ?more| any longer)?\W*$|"
    r"(?:no|without) (?P<which>.+)",
    re.IGNORECASE,
)
_TAKE_OFF = re.compile(r"(?:take|leave|strike) (?P<what>.+?) (?:off|out|away|aside)\b", re.IGNORECASE)
_ADD = re.compile(
    r"(?P<verb>add|include|append|put)\b\s*(?:in\b(?! the| my))?\s*(?P<mark>[:,–—-])?\s*(?P<what>.+)", re.IGNORECASE
)
_REPLACE = re.compile(
    r"(?:(?:replace|swap|exchange)\b (?P<what>.+?) (?:by|with|for|against)|"
    r"(?:change|switch|turn|set)\b (?P<which>.+?) (?:to|into)) ?:? ?(?P<by>\S.*)",
    re.IGNORECASE,
)
_INSTEAD = re.compile(r"instead of (?P<what>[^,;]+)[,;] ?(?P<by>\S.*)", re.IGNORECASE)
_RATHER = re.compile(r"(?P<by>\S.*?),? (?:instead of|rather than) (?P<what>\S.*)", re.IGNORECASE)
_IS = re.compile(
    r"\s*(?:(?:list )?(?:is|are|should (?:be|say|read)|(?:shall|must|would|will) be|can be)\b\s*[:=]?|[:=])"
    r"\s*(?P<told>\S.*)",
    re.IGNORECASE,
)
_ANOTHER = {"another", "more", "other", "new", "additional", "extra", "further"}
_BY_THE_WAY = {
    "the",
    "my",
    "a",
    "an",
    "our",
    "your",
    "also",
    "please",
    "to",
    "in",
    "on",
    "into",
    "as",
    "list",
    "of",
    "one",
    "goal",
}


class OfflineChanges:
    """The answers of an interview while a message changes them; `answers` and `passed` hold what is new."""

    def __init__(self, interview: Interview, progress: InterviewProgress) -> None:
        self._fields = [field for field in interview.fields if field.kind != "choice"]
        self._choices = [field for field in interview.fields if field.kind == "choice"]
        self._progress = progress
        self.answers: dict[str, Answer] = {}
        self.passed: list[str] = []

    def known(self, field: InterviewField) -> Answer | None:
        """The answer as it stands now."""
        return self.answers.get(field.name, self._progress.answers.get(field.name))

    def items(self, field: InterviewField) -> tuple[str, ...]:
        """The things of a list as they stand now."""
        known = self.known(field)
        return () if known is None else (known,) if isinstance(known, str) else known

    def extend(self, field: InterviewField, more: Sequence[str]) -> None:
        """Add things to a list."""
        if more:
            self.answers[field.name] = unique([*self.items(field), *more])

    def take(self, sentence: str) -> str:
        """Do what a sentence asks for, and give back what is left of it."""
        rest: list[str] = []
        for piece in _commands(sentence):
            if not self._done(piece):
                rest.append(piece)
        return "".join(rest).rstrip(" ,;–—-")

    def _done(self, piece: str) -> bool:
        text = opened(piece, "opening", "refusing opening") or piece
        removing = _REMOVE.match(text) or _TAKE_OFF.match(text)
        if removing and self._remove(closed(removing["what"], "closing")):
            return True
        adding = _ADD.match(text)
        if adding and self._add(adding["verb"].lower(), adding["what"], is_marked=bool(adding["mark"])):
            return True
        changing = _REPLACE.match(text) or _INSTEAD.match(text) or _RATHER.match(text)
        if changing:
            parts = changing.groupdict()
            if self._replace(parts["what"] or parts["which"] or "", parts["by"]):
                return True
        return self._set(text) or self._do_without(opened(piece, "opening"))

    def _do_without(self, text: str) -> bool:
        """Take `no notes`, and `I don't want the smoking goal any more`."""
        without = _NO_LONGER.match(text)
        what = closed(without["what"] or without["which"], "closing") if without else ""
        is_known = self._progress.read_back or self._named(plain_words(what)) is not None
        return bool(what) and is_known and self._remove(what)

    def _remove(self, what: str) -> bool:
        said = plain_words(what)
        field = self._named(said)
        kept = _content(said, field)
        if field is not None and not kept and not field.required and not self._places(field, what):
            self.passed.append(field.name)
            return True
        for listed in self._lists(field):
            places = self._places(listed, what)
            if places:
                left = tuple(thing for place, thing in enumerate(self.items(listed)) if place not in places)
                self._keep(listed, left)
                return True
        return False

    def _keep(self, field: InterviewField, left: tuple[str, ...]) -> None:
        if left or field.required:
            self.answers[field.name] = left
        else:
            self.passed.append(field.name)

    def _add(self, verb: str, what: str, *, is_marked: bool) -> bool:
        field, told = self._directed(what)
        if any(names(choice, plain_words(what)) for choice in self._choices) and not is_marked and field is None:
            return False
        if field is None and verb != "put" and not self._asks_for_text():
            field = next(iter(self._lists(None, known=False)), None)
        if field is None or not plain_words(told):
            return False
        if field.kind == "list":
            self.extend(field, things(closed(told, "closing"), nouns(field)))
        else:
            old = self.known(field)
            new = closed(told, "closing")
            self.answers[field.name] = f"{old.rstrip('.')}. {new}" if isinstance(old, str) and old else new
        return True

    def _directed(self, what: str) -> tuple[InterviewField | None, str]:
        """The field that something is to be added to, if it is named first or last, and what is to be added."""
        for match in re.finditer(r"[^\W_]+(?:'[^\W_]+)?", what[:80]):
            word = match[0].lower()
            field = self._named([word])
            if field is not None:
                return field, what[match.end() :].lstrip(" :,-–—")
            if word not in _BY_THE_WAY | _ANOTHER:
                break
        last = re.search(
            r" (?:to|in|into|on|as|for) (?:(?:the|my|a|an|another|our) )*([^\W_]+)(?: list)?\W*$", what[-80:]
        )
        field = self._named([last[1].lower()]) if last else None
        if last and field:
            return field, what[: len(what) - len(what[-80:]) + last.start()]
        return None, what

    def _replace(self, what: str, by: str) -> bool:
        field = self._named(plain_words(what))
        if field is not None and field.kind == "text":
            self.answers[field.name] = closed(by, "closing")
            return True
        for listed in self._lists(field):
            places, new = self._places(listed, what), things(closed(by, "closing"), nouns(listed))
            if places and new:
                self.answers[listed.name] = _exchanged(self.items(listed), places, new)
                return True
            if field is not None and new and not _content(plain_words(what), field):
                self.answers[listed.name] = new
                return True
        return False

    def _set(self, text: str) -> bool:
        """Take `the notes are …`, `goals: …`, `the second goal should be …`."""
        words = list(re.finditer(r"[^\W_]+(?:'[^\W_]+)?", text[:80]))[:6]
        for place, match in enumerate(words):
            before = [word[0].lower() for word in words[:place]]
            field = self._named([match[0].lower()])
            if field is None:
                if match[0].lower() in _BY_THE_WAY | _ANOTHER or _is_ordinal(match[0].lower()):
                    continue
                return False
            told = _IS.fullmatch(text, match.end())
            return bool(told) and self._tell(field, before, told["told"])  # pyright: ignore[reportOptionalSubscript]
        return False

    def _tell(self, field: InterviewField, before: Sequence[str], told: str) -> bool:
        if field.kind == "text":
            self.answers[field.name] = closed(told, "closing")
            return True
        new = things(closed(told, "closing"), nouns(field))
        places = self._places(field, " ".join([*before, nouns(field)[-1]]))
        if not new:
            return False
        if places:
            self.answers[field.name] = _exchanged(self.items(field), places, new)
        elif _ANOTHER.intersection(before) or any(map(_is_ordinal, before)) or "one" in before:
            self.extend(field, new)
        else:
            self.answers[field.name] = new
        return True

    def _asks_for_text(self) -> bool:
        return any(field.kind == "text" and field.name == self._progress.asked for field in self._fields)

    def _named(self, said: Sequence[str]) -> InterviewField | None:
        return next((field for field in self._fields if names(field, said)), None)

    def _lists(self, field: InterviewField | None, *, known: bool = True) -> list[InterviewField]:
        """The lists that are meant: the named one, otherwise all, the one that was asked for first."""
        if field is not None:
            return [field] if field.kind == "list" else []
        lists = [other for other in self._fields if other.kind == "list" and (not known or self.items(other))]
        return sorted(lists, key=lambda other: other.name != self._progress.asked)

    def _places(self, field: InterviewField, what: str) -> set[int]:
        """The places of the things in a list that are spoken of."""
        items = self.items(field)
        places: set[int] = set()
        for part in re.split(r",|\band\b|&", what):
            said = [word for word in plain_words(part) if not names(field, [word])]
            at = ordinal(said, len(items))
            if at is not None:
                places.add(at)
                continue
            wanted = _content(plain_words(part), field)
            scores = [sum(any(same(word, other) for other in plain_words(thing)) for word in wanted) for thing in items]
            best = max(scores, default=0)
            places |= {
                place for place, score in enumerate(scores) if best and score == best and 2 * best >= len(wanted)
            }
        return places


def _content(said: Sequence[str], field: InterviewField | None) -> list[str]:
    kept = [
        word
        for word in said
        if word not in word_list("empty") and word not in _BY_THE_WAY | {"part", "bit", "no", "not"}
    ]
    return [word for word in kept if word not in word_list("aim") and (field is None or not names(field, [word]))]


def _exchanged(items: Sequence[str], places: set[int], new: Sequence[str]) -> tuple[str, ...]:
    """The things with new ones where the first of the places is, and without those in the places."""
    first = min(places)
    after = [thing for place, thing in enumerate(items) if place > first and place not in places]
    return unique([*items[:first], *new, *after])


def _is_ordinal(word: str) -> bool:
    return any(word in word_list(name) for name in ("first", "second", "third", "fourth", "fifth", "last"))


def _commands(sentence: str) -> Iterator[str]:
    """The sentence in pieces, a new one where something is asked to be done."""
    begin = 0
    for match in _VERB.finditer(sentence):
        if match.start() > begin and _BEFORE_A_VERB.search(sentence, max(begin, match.start() - 20), match.start()):
            yield sentence[begin : match.start()]
            begin = match.start()
    yield sentence[begin:]
