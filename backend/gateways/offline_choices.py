"""Which options of an interview's choices a person names: by value, by everyday words, or by how they are described."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from backend.gateways.offline_hearing import Word, forms, plain_words, same, words_in
from backend.gateways.offline_phrases import enumerated, word_list
from backend.models.interview import Interview, InterviewField
from backend.models.interview_progress import Answer

_Hit: TypeAlias = tuple[int, int, str, str]
"""From which word to before which, the name of the field, the option's value."""
_OF_PERSON = re.compile(
    r"\b(?:do|have|are|did|were) you\b(?! (?:want|like|need|prefer|wish|think|looking))", re.IGNORECASE
)
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_TURNS = {"but", "rather", "just", "only", "instead", "yes"}
_ANYTHING = {"anything", "everything", "all", "any", "whatever"}
_DENIED_FOR, _PREFERRED_FOR = 6, 4


@dataclass(frozen=True, slots=True)
class Hint:
    """An option that stands in a text, from word `start` to before word `end`."""

    field: InterviewField
    value: str
    start: int
    end: int
    rejected: bool = False
    preferred: bool = False


class Choices:
    """The choices of one interview, and how people name their options."""

    def __init__(self, interview: Interview) -> None:
        self.fields = [field for field in interview.fields if field.kind == "choice"]
        self._phrases: dict[str, list[tuple[tuple[str, ...], InterviewField, str]]] = {}
        for field in self.fields:
            for option in field.options:
                for name in {option.value.replace("_", " "), *option.words}:
                    self._add(name, field, option.value)

    def _add(self, name: str, field: InterviewField, value: str) -> None:
        said = plain_words(name)
        if len(said) > 1 and said[0] in {"a", "an", "the"}:
            said = said[1:]
        for form in forms(said[0]) if said else ():
            self._phrases.setdefault(form, []).append((said, field, value))

    def hints(self, said: Sequence[Word]) -> list[Hint]:
        """The options named in a text, in its order; of overlapping names the longest counts."""
        barred = _barred(said)
        found: set[_Hit] = set()
        named = {field.name: field for field in self.fields}
        for place, word in enumerate(said):
            rows = {id(row): row for form in forms(word.text) for row in self._phrases.get(form, ())}
            for phrase, field, value in rows.values():
                end = place + len(phrase)
                if _stands(phrase, said[place:end]) and barred.isdisjoint(range(place, end)):
                    found.add((place, end, field.name, value))
        return [self._judged(said, named[name], value, start, end) for start, end, name, value in _longest(found)]

    def _judged(self, said: Sequence[Word], field: InterviewField, value: str, start: int, end: int) -> Hint:
        return Hint(field, value, start, end, _rejected(said, start, asks_manner(field)), _preferred(said, start))

    def chosen(self, field: InterviewField, text: str) -> str | None:
        """The option that answers the question for this field; None when none does."""
        said = words_in(text)
        value = picked(field, self.hints(said))
        if value is not None or any(hint.field is field for hint in self.hints(said)):
            return value
        return _by_place(field, said) or _by_description(field, said)


def picked(field: InterviewField, hints: Sequence[Hint]) -> str | None:
    """The option that the hints ask for; of several the preferred one, otherwise the first."""
    own = [hint for hint in hints if hint.field is field]
    denied = {hint.value for hint in own if hint.rejected}
    wanted = [hint for hint in own if not hint.rejected]
    if wanted:
        return next((hint.value for hint in wanted if hint.preferred), wanted[0].value)
    left = [option.value for option in field.options if option.value not in denied]
    return left[0] if denied and len(left) == 1 else None


def asks_manner(field: InterviewField) -> bool:
    """Whether the field asks how or which, so that a wish that has one of its words in it is no answer."""
    return any(word in word_list("manner") for word in plain_words(field.question)[:3])


def asks_of_person(field: InterviewField) -> bool:
    """Whether the field asks what the person is or has, so that `I am …` answers it."""
    return bool(_OF_PERSON.search(field.question))


def nouns(field: InterviewField) -> tuple[str, ...]:
    """The words by which people speak of a field."""
    named = plain_words(field.name.replace("_", " "))
    return tuple(word for word in named if word not in word_list("label")) or named


def spoken_name(field: InterviewField) -> str:
    """A field's name as people say it."""
    said = [word for word in plain_words(field.name.replace("_", " ")) if word != "id"]
    return " ".join(said) or field.name


def spoken_answer(field: InterviewField, answer: Answer) -> str:
    """An answer as people say it: an option without the marks in its name, several things as one enumeration."""
    if field.kind == "choice" and isinstance(answer, str):
        return " ".join(plain_words(answer.replace("_", " ")))
    return answer if isinstance(answer, str) else enumerated(answer)


def names(field: InterviewField, said: Sequence[str]) -> bool:
    """Whether the words speak of the field."""
    return any(same(word, noun) for word in said for noun in nouns(field))


def ordinal(said: Sequence[str], count: int) -> int | None:
    """The place, of so many, if the words name one and nothing else: `the second one please`."""
    kept = [word for word in said if word not in word_list("around a number")]
    if not kept and "one" in said:
        kept = ["first"]
    if len(kept) != 1 or not count:
        return None
    if kept[0] in word_list("last"):
        return count - 1
    return next((place for place, name in enumerate(_ORDINALS[:count]) if kept[0] in word_list(name)), None)


def _stands(phrase: tuple[str, ...], said: Sequence[Word]) -> bool:
    return len(said) == len(phrase) and all(
        same(word.text, part) and not (word.stops and place)
        for place, (word, part) in enumerate(zip(said, phrase, strict=True))
    )


def _longest(found: Iterable[_Hit]) -> Iterator[_Hit]:
    """The hits in the order of the text, without those that stand inside of a longer one."""
    widest: _Hit | None = None
    for hit in sorted(found, key=lambda hit: (hit[0], -hit[1], hit[2:])):
        if widest is None or hit[1] > widest[1]:
            widest = hit
        if hit[:2] == widest[:2] or hit[1] > widest[1]:
            yield hit


@cache
def _sayings() -> dict[str, list[tuple[str, ...]]]:
    """Sayings in which a word does not mean an option, by their first words."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for phrase in sorted(word_list("no hint")):
        found.setdefault(phrase.split()[0], []).append(tuple(phrase.split()))
    return found


def _barred(said: Sequence[Word]) -> set[int]:
    """The places of words that stand in a saying: `kind of`."""
    places: set[int] = set()
    for place, word in enumerate(said):
        for parts in _sayings().get(word.text, ()):
            if tuple(other.text for other in said[place : place + len(parts)]) == parts:
                places |= set(range(place, place + len(parts)))
    return places


def _rejected(said: Sequence[Word], start: int, manner: bool) -> bool:
    """Whether what begins at a word is turned down by the words before it."""
    for place in range(start - 1, max(-1, start - 1 - _DENIED_FOR), -1):
        word, before = said[place].text, said[place - 1].text if place else ""
        if said[place + 1].stops or word in _TURNS:
            return word == "but" and before in _ANYTHING and not said[place + 1].stops
        if _excludes(said, place, start) or (word == "no" and manner and start - place <= 2):
            return True
        if word in word_list("denying"):
            return manner or _denies(word, before, said[place + 1].text)
    return False


def _excludes(said: Sequence[Word], place: int, start: int) -> bool:
    """Whether a word says that what follows is not meant: `instead of`, `than`, and `from` where something changes."""
    word, before = said[place].text, said[place - 1].text if place else ""
    if word == "from" and start - place <= 2:
        return any(same(other.text, "change") or other.text == "switch" for other in said)
    return word == "than" or (word == "of" and before == "instead")


def _denies(word: str, before: str, after: str) -> bool:
    """Whether a denial turns down what follows; `I cannot …` and `I am not …` tell of a lack, which asks for it."""
    if after in word_list("wanting"):
        return True
    if word in {"neither", "nor", "except"}:
        return True
    return word == "not" and before not in word_list("lacking")


def _preferred(said: Sequence[Word], start: int) -> bool:
    return any(said[place].text in word_list("preferring") for place in range(max(0, start - _PREFERRED_FOR), start))


def _by_place(field: InterviewField, said: Sequence[Word]) -> str | None:
    place = ordinal([word.text for word in said], len(field.options))
    return None if place is None else field.options[place].value


def _by_description(field: InterviewField, said: Sequence[Word]) -> str | None:
    """The only option whose description has the most of the words in it."""
    told = {option.value: _telling(option.description) for option in field.options}
    everywhere = [word for words in told.values() for word in words]
    scores: dict[str, int] = {}
    for value, description in told.items():
        own = {word for word in description if sum(same(word, other) for other in everywhere) == 1}
        scores[value] = sum(any(same(word.text, part) for part in own) for word in said[:60] if len(word.text) > 2)
    best = max(scores.values(), default=0)
    winners = [value for value, score in scores.items() if score == best]
    return winners[0] if best and len(winners) == 1 else None


def _telling(description: str) -> set[str]:
    """The words of a description that tell something, without what it denies."""
    kept: set[str] = set()
    for place, word in enumerate(said := words_in(description)):
        denied = any(
            other.text in word_list("denying") or other.text == "no" for other in said[max(0, place - 2) : place]
        )
        if not denied and word.text not in word_list("empty") and word.text not in word_list("around a choice"):
            kept.add(word.text)
    return kept
