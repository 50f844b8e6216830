"""What one message says about the fields of an interview, read by rule out of plain sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence

from backend.gateways.offline_changes import OfflineChanges
from backend.gateways.offline_choices import asks_manner, nouns
from backend.gateways.offline_hearing import (
    agrees,
    asks,
    begins_question,
    begins_with,
    closed,
    declines,
    is_assent,
    is_small_talk,
    made_of,
    opened,
    plain_words,
    refuses,
    sentences_in,
    straightened,
)
from backend.gateways.offline_lists import is_wish, things
from backend.gateways.offline_picking import OfflinePicking
from backend.gateways.text_cleaner import clean
from backend.models.interview import InterviewField
from backend.models.interview_progress import HeardAnswers
from backend.ports.tasks import ReadAnswers

LONGEST_READ, MOST_SENTENCES = 3000, 60
"""Of a message, so much is read: nobody answers a question with more, and rules take their time over it."""
_BLANKS = re.compile(r"[^\S\n]+")
_LINES = re.compile(r"\s*\n\s*")
_BULLET = re.compile(r"(?:[-*•·–—]|\(?\d{1,2}[.):]|\(?[a-h][.)]) |.*\b1[.)] .*\b2[.)] ", re.IGNORECASE)
_MORE = re.compile(r"\b(?:also|too|as well|another|in addition|one more|additionally|besides)\b", re.IGNORECASE)
_CLOSED_QUESTION = re.compile(
    r"(?:and )?(?:do|does|did|is|are|am|can|could|may|would|will|shall|should|have|has|was|were)\b", re.IGNORECASE
)


def read_answers(task: ReadAnswers) -> HeardAnswers:
    """What the message says: answers, corrections, fields left out, and whether it agrees to what was read back."""
    return _Reading(task).heard()


class _Reading:
    """One message on its way to answers."""

    def __init__(self, task: ReadAnswers) -> None:
        self._progress = task.progress
        self._fields = task.interview.fields
        self._message = task.message
        heard = straightened(clean(task.message[:LONGEST_READ]))
        self._text = _LINES.sub("\n", _BLANKS.sub(" ", heard)).strip()
        self._asked = next((field for field in self._fields if field.name == task.progress.asked), None)
        self._changes = OfflineChanges(task.interview, task.progress)
        self._picking = OfflinePicking(task.interview, task.progress, self._changes)

    def heard(self) -> HeardAnswers:
        told = [sentence for line in self._text.split("\n") for sentence in self._told(line)][:MOST_SENTENCES]
        left: list[str] = []
        for sentence in told:
            rest = self._changes.take(sentence)
            left.append(self._picking.take(rest) if plain_words(rest) else "")
        left = [rest for rest in left if plain_words(rest)]
        self._picking.answer_asked(" ".join(told))
        self._picking.take_hinted()
        left = self._take_asides(left)
        asked = self._asked
        if asked is not None and self._is_declined(left) and not _is_yes_or_no(asked):
            if not asked.required and asked.name not in self._changes.answers:
                self._changes.passed.append(asked.name)
        else:
            self._take_asked(told, left)
            self._take_wishes(left)
        return self._result()

    def _told(self, line: str) -> list[str]:
        """The sentences of a line that tell something. A line of a list stays one piece."""
        if _BULLET.match(line):
            return [line]
        told = [sentence for sentence in sentences_in(line) if not asks(sentence) or self._is_tentative(sentence)]
        return [sentence for sentence in told if not (self._progress.read_back and self._is_verdict(sentence))]

    def _is_verdict(self, sentence: str) -> bool:
        return made_of(plain_words(sentence), "no", "agreed", "politeness")

    def _is_tentative(self, sentence: str) -> bool:
        """Whether a sentence with a question mark answers all the same: `Calm, maybe?`"""
        is_choice = self._asked is not None and self._asked.kind == "choice"
        return is_choice and not begins_question(sentence)

    def _take_asked(self, told: Sequence[str], left: Sequence[str]) -> None:
        """Take what answers the text or the list that was asked for."""
        asked = self._asked
        if asked is None or asked.kind == "choice" or asked.name in self._changes.answers:
            return
        if asked.kind == "list":
            kept = [sentence for sentence in left if not (is_assent(sentence) or declines(sentence))]
            found = things("\n".join(kept), nouns(asked))
            self._changes.extend(asked, tuple(one for one in found if not self._take_bare_option(one)))
        elif self._is_answer(asked, left):
            is_whole = "".join(told) == "".join(left) and len(told) == len(self._sentences())
            text = self._message if is_whole else " ".join(left)
            answer = clean(text).strip()
            self._changes.answers[asked.name] = opened(answer, "bare opening", "greeting") or answer

    def _take_bare_option(self, thing: str) -> bool:
        """Take `calm` among the things of a list for what it is: an option of a choice that is still open."""
        said = tuple(word for word in plain_words(thing) if word != "please")
        for field in self._fields:
            if field.kind != "choice" or not asks_manner(field) or self._changes.known(field) is not None:
                continue
            for option in field.options:
                names = (option.value.replace("_", " ").replace("-", " "), *option.words)
                if any(said == plain_words(name) for name in names):
                    self._changes.answers[field.name] = option.value
                    return True
        return False

    def _take_asides(self, left: Sequence[str]) -> list[str]:
        """Take `leave out the sea`, said beside other answers, into the open text for what else there is to say."""
        asked = self._asked
        opens = [field for field in self._fields if field.kind == "text" and not field.required and field is not asked]
        field = next((field for field in opens if self._changes.known(field) is None), None)
        has_answer = bool(self._changes.answers) or any(is_wish(sentence) for sentence in left)
        if field is None or not has_answer or (asked is not None and asked.kind == "text") or self._progress.read_back:
            return [*left]
        asides = [sentence for sentence in left if _is_aside(sentence)]
        if asides:
            self._changes.answers[field.name] = ". ".join(closed(text, "closing") for text in asides)
        return [sentence for sentence in left if sentence not in asides]

    def _sentences(self) -> list[str]:
        return [sentence for line in self._text.split("\n") for sentence in sentences_in(line)][:MOST_SENTENCES]

    def _is_answer(self, asked: InterviewField, left: Sequence[str]) -> bool:
        text = " ".join(left)
        if _is_yes_or_no(asked):
            return (bool(left) and not is_small_talk(text)) or plain_words(text)[:1] in {("yes",), ("no",)}
        if not asked.required and made_of(plain_words(text), "agreed", "politeness"):
            return False
        return bool(left) and not (is_small_talk(text) or declines(text) or plain_words(text) in {("yes",), ("yeah",)})

    def _take_wishes(self, left: Sequence[str]) -> None:
        """Take wishes into a list that nobody asked for: an open one, or, when they say `also`, one with answers."""
        if self._asked is not None and self._asked.kind != "choice":
            return
        lists = [field for field in self._fields if field.kind == "list"]
        opens = [field for field in lists if not self._progress.answers.get(field.name)]
        opens.sort(key=lambda field: not field.required)
        for field in (opens or lists)[:1]:
            if field.name in self._changes.answers:
                continue
            wishes = [text for text in left if self._is_wish(text, nouns(field), is_open=bool(opens))]
            self._changes.extend(field, things("\n".join(wishes), nouns(field)))

    def _is_wish(self, sentence: str, wanted: Sequence[str], *, is_open: bool) -> bool:
        says_more = bool(_MORE.search(sentence))
        if is_wish(sentence, wanted):
            return is_open or says_more or self._progress.read_back
        return says_more and self._progress.read_back

    def _is_declined(self, left: Sequence[str]) -> bool:
        """Whether the message has nothing to say to what was asked."""
        said = plain_words(" ".join(left))
        length = begins_with(said, "declining at once")
        return declines(" ".join(left)) or bool(length and not {"but", "except", "only"}.intersection(said))

    def _result(self) -> HeardAnswers:
        answers = {name: answer for name, answer in self._changes.answers.items() if name not in self._changes.passed}
        if self._progress.read_back:
            # What was only said again is no correction.
            answers = {name: new for name, new in answers.items() if new != self._progress.answers.get(name)}
        passed = tuple(dict.fromkeys(self._changes.passed))
        confirms: bool | None = None
        if self._progress.read_back:
            if answers or passed or refuses(self._text):
                confirms = False
            elif agrees(self._text):
                confirms = True
        return HeardAnswers(answers=answers, passed=passed, confirms=confirms)


def _is_aside(sentence: str) -> bool:
    """Whether a sentence says what shall be heeded, rather than what is wanted."""
    said = plain_words(opened(sentence, "opening"))
    length = begins_with(said, "aside")
    return bool(length) and said[length : length + 1] not in {(), ("more",), ("longer",)} and not is_wish(sentence)


def _is_yes_or_no(field: InterviewField) -> bool:
    """Whether a `no` answers the question for the field, rather than leaving it out."""
    return field.required and field.kind == "text" and bool(_CLOSED_QUESTION.match(field.question))
