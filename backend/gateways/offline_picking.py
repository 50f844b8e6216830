"""Which choices of an interview a message makes in passing, and what is left of it when they are taken out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backend.gateways.offline_changes import OfflineChanges
from backend.gateways.offline_choices import Choices, Hint, asks_manner, asks_of_person, names, picked
from backend.gateways.offline_hearing import Word, made_of, plain_words, words_in
from backend.gateways.offline_phrases import word_list
from backend.models.interview import Interview, InterviewField
from backend.models.interview_progress import InterviewProgress

_BEGINS_PIECE = {"in", "with", "using", "and", "for", "by", "but", "plus", "or", "to"}
_CHANGES_TO = {"change", "changed", "switch", "turn", "set", "from"}
_TAKES_BACK = {"no", "actually", "rather", "wait", "sorry", "or", "but"}
_JOINS = {"and", "but", "or", "rather", "not"}
_MORE = re.compile(r"\b(?:also|too|as well|another|in addition|one more|additionally|besides)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some words of a sentence, and the options named in them."""

    words: tuple[Word, ...]
    hints: tuple[Hint, ...]

    @property
    def said(self) -> list[str]:
        return [word.text for word in self.words]


class OfflinePicking:
    """Takes choices out of sentences, each into the answers of `changes`."""

    def __init__(self, interview: Interview, progress: InterviewProgress, changes: OfflineChanges) -> None:
        self._choices = Choices(interview)
        self._changes = changes
        self._read_back = progress.read_back
        self._shown = progress.unclear
        self._asked = next((field for field in interview.fields if field.name == progress.asked), None)
        self._hinted: list[Hint] = []
        self._says_more = False

    def take(self, sentence: str) -> str:
        """Take the choices that a sentence makes; what is left when the pieces that only make them are out."""
        words = words_in(sentence)
        self._says_more = bool(_MORE.search(sentence))
        pieces = list(self._pieces(words))
        self._take_asked(pieces)
        kept: list[str] = []
        for place, piece in enumerate(pieces):
            if self._take_piece(piece, words):
                continue
            self._hinted += piece.hints
            end = pieces[place + 1].words[0].start if place + 1 < len(pieces) else len(sentence)
            kept.append(sentence[piece.words[0].start if place else 0 : end])
        return "".join(kept).rstrip(" ,;–—-") if len(kept) < len(pieces) else sentence

    def answer_asked(self, text: str) -> None:
        """Take an answer to the choice that was asked for, if it is described or named by its place."""
        if self._asked is not None and self._asked.kind == "choice" and self._asked.name not in self._changes.answers:
            value = self._choices.chosen(self._asked, text)
            if value is None and self._is_left_to_us(text):
                value = self._asked.options[0].value
            if value is not None:
                self._changes.answers[self._asked.name] = value

    def _is_left_to_us(self, text: str) -> bool:
        """Whether somebody who was shown the options leaves the choice to the agent."""
        said = plain_words(text)
        is_shown = self._asked is not None and self._asked.name in self._shown
        return is_shown and made_of(said, "yours to choose", "politeness") and not made_of(said, "politeness")

    def take_hinted(self) -> None:
        """Take what wishes say about a choice that is still open, where they speak of one option only."""
        for field in self._choices.fields:
            values = {hint.value for hint in self._hinted if hint.field is field and not hint.rejected}
            if (
                len(values) == 1
                and field is not self._asked
                and not asks_manner(field)
                and not self._changes.known(field)
            ):
                self._changes.answers[field.name] = values.pop()

    def _take_asked(self, pieces: Sequence[_Piece]) -> None:
        asked = self._asked
        takes_back = bool(pieces) and pieces[0].said[0] in _TAKES_BACK
        if asked is not None and asked.kind == "choice" and (takes_back or asked.name not in self._changes.answers):
            self._choose(asked, [hint for piece in pieces for hint in piece.hints])

    def _choose(self, field: InterviewField, hints: Sequence[Hint]) -> None:
        value = picked(field, hints)
        if value is not None:
            self._changes.answers[field.name] = value

    def _take_piece(self, piece: _Piece, words: Sequence[Word]) -> bool:
        """Take the choices of a piece that speaks of nothing else; whether it does, so that it is no other answer."""
        if not self._is_pure(piece):
            return False
        taken = False
        for field in {hint.field.name: hint.field for hint in piece.hints}.values():
            if field is self._asked:
                taken = True
            elif self._is_meant(field, piece, words):
                self._choose(field, piece.hints)
                taken = True
        return taken

    def _is_meant(self, field: InterviewField, piece: _Piece, words: Sequence[Word]) -> bool:
        if names(field, piece.said) or self._is_cued(piece, words):
            return True
        is_known = self._changes.known(field) is not None
        if self._read_back:
            return not self._says_more
        if is_known:
            return False
        return (self._asked is not None and self._asked.kind == "choice") or self._is_marked(piece)

    def _is_cued(self, piece: _Piece, words: Sequence[Word]) -> bool:
        """Whether the words ask for something else than before."""
        cues = word_list("changing")
        opening = next((place for place, word in enumerate(words) if word.text not in word_list("opening")), 0)
        return any(word in cues for word in piece.said) or any(word.text in cues for word in words[: opening + 1])

    def _is_marked(self, piece: _Piece) -> bool:
        """Whether a piece asks for how something shall be: by its form, or by what it speaks of."""
        said = [word for word in piece.said if word not in {"and", "but", "or"}]
        return (
            bool(said and said[0] in {"in", "with", "using"})
            or not {"please", "something", "someone", "it"}.isdisjoint(said)
            or (
                bool(said)
                and said[0] in {"i", "i'm", "i've"}
                and any(asks_of_person(hint.field) for hint in piece.hints)
            )
            or any(names(field, said) for field in self._choices.fields)
            or any(hint.rejected and asks_manner(hint.field) for hint in piece.hints)
        )

    def _is_pure(self, piece: _Piece) -> bool:
        """Whether a piece names options, and fields, and nothing else."""
        if not piece.hints or (self._wants_things and not self._is_of_manner(piece)):
            return False
        places = {word.start for hint in piece.hints for word in piece.words[hint.start : hint.end]}
        around = (word_list("around a choice"), word_list("empty"), word_list("politeness"))
        return all(
            word.start in places
            or any(word.text in words for words in around)
            or any(names(field, [word.text]) for field in self._choices.fields)
            for word in piece.words
        )

    @property
    def _wants_things(self) -> bool:
        """Whether a word such as `confidence` may be an answer in itself rather than the kind of something."""
        return not self._read_back and (self._asked is None or self._asked.kind != "choice")

    def _is_of_manner(self, piece: _Piece) -> bool:
        return any(asks_manner(hint.field) or names(hint.field, piece.said) for hint in piece.hints)

    def _begins(self, words: Sequence[Word], place: int) -> bool:
        """Whether a piece begins at a word; `level: beginner` is one."""
        if words[place].stops:
            return not any(names(field, [words[place - 1].text]) for field in self._choices.fields)
        if words[place].text == "to":
            return all(word.text not in _CHANGES_TO for word in words[max(0, place - 6) : place])
        return words[place].text in _BEGINS_PIECE

    def _pieces(self, words: Sequence[Word]) -> Iterator[_Piece]:
        """The sentence in pieces between its marks and joints; pieces that make one choice together are one."""
        hints = self._choices.hints(words)
        inside = {place for hint in hints for place in range(hint.start + 1, hint.end)}
        bounds = [0, *(place for place in range(1, len(words)) if place not in inside and self._begins(words, place))]
        waiting: _Piece | None = None
        for begin, end in zip(bounds, [*bounds[1:], len(words)], strict=True):
            piece = _cut(words, hints, begin, end)
            joined = _cut(words, hints, begin - len(waiting.words), end) if waiting else piece
            goes_on = piece.said[:1] and (piece.said[0] in _JOINS or not piece.words[0].stops)
            if waiting and goes_on and self._is_pure(waiting) and self._is_pure(piece) and self._is_marked(joined):
                waiting = joined
                continue
            if waiting:
                yield waiting
            waiting = piece
        if waiting and waiting.words:
            yield waiting


def _cut(words: Sequence[Word], hints: Sequence[Hint], begin: int, end: int) -> _Piece:
    """The words from `begin` to before `end`, with the hints whose places count from there."""
    inside = tuple(
        Hint(hint.field, hint.value, hint.start - begin, hint.end - begin, hint.rejected, hint.preferred)
        for hint in hints
        if begin <= hint.start and hint.end <= end
    )
    return _Piece(tuple(words[begin:end]), inside)
