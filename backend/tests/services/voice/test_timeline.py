"""Which words of an answer were heard when so much of its audio was played."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.gateways.local_voice import LocalVoice
from backend.models.voice import VoiceSettings
from backend.services.voice.sentences import Sentence, Sentences
from backend.services.voice.timeline import BYTES_A_MS, Timeline

LETTER_MS = 20
ANSWER = "The sea is very large, isn't it? It is full of fish and of ships. Many people love it."


def sentences(answer: str) -> list[Sentence]:
    found = Sentences()
    return found.push(answer) + found.rest()


def words(text: str) -> list[tuple[int, int]]:
    """For each word: where it ends in the text, and when it ends in audio in which each letter is as long."""
    found: list[tuple[int, int]] = []
    ms = 0
    for place, char in enumerate(text):
        ms += 0 if char.isspace() else LETTER_MS
        if not char.isspace() and (place + 1 == len(text) or text[place + 1].isspace()):
            found.append((place + 1, ms))
    return found


def spoken(answer: str, *, marked: bool) -> Timeline:
    """All its audio, every letter as long."""
    timeline = Timeline()
    for sentence in sentences(answer):
        timeline.begin(sentence)
        for end, ms in words(sentence.text):
            if marked:
                timeline.said(end, ms / 1000)
        timeline.make(words(sentence.text)[-1][1] * BYTES_A_MS)
        timeline.complete()
    return timeline


def number_of_words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize("marked", [True, False])
def test_what_is_heard_is_what_was_said(marked: bool) -> None:
    timeline = spoken(ANSWER, marked=marked)
    ends = words(ANSWER)
    for ms in range(ends[-1][1] + 1):
        heard = timeline.heard(ms)
        said = sum(end <= ms for _, end in ends)
        assert heard == 0 or heard in [place for place, _ in ends]
        assert abs(number_of_words(ANSWER[:heard]) - said) <= 1, ms
    assert timeline.heard(ends[-1][1]) == len(ANSWER)
    assert timeline.heard(ends[-1][1] * 10) == len(ANSWER)


def test_a_word_is_heard_when_most_of_it_was_said() -> None:
    timeline = spoken("Hello wonderful world", marked=True)
    assert timeline.heard(0) == 0
    assert timeline.heard(69) == 0
    assert timeline.heard(70) == len("Hello")
    assert timeline.heard(100 + 125) == len("Hello")
    assert timeline.heard(100 + 127) == len("Hello wonderful")


def test_nothing_is_heard_before_there_is_anything() -> None:
    timeline = Timeline()
    assert (timeline.heard(0), timeline.heard(500), timeline.word_began(500), timeline.made) == (0, 0, 500, 0)


def test_words_that_the_provider_has_not_told_yet_are_not_heard() -> None:
    timeline = Timeline()
    timeline.begin(Sentence(0, 20, "Good to meet you all"))
    timeline.make(1000 * BYTES_A_MS)
    timeline.said(4, 0.5)
    assert timeline.heard(1000) == 4
    timeline.said(7, 0.9)
    assert timeline.heard(1000) == 7
    timeline.complete()
    assert timeline.heard(1000) == 20


def test_marks_that_end_early_leave_the_rest_to_the_letters() -> None:
    timeline = Timeline()
    timeline.begin(Sentence(0, 24, "one two, three four five"))
    timeline.said(7, 1.0)
    timeline.make(3000 * BYTES_A_MS)
    timeline.complete()
    assert timeline.heard(1000) == len("one two,")
    assert timeline.heard(1000 + 600) == len("one two, three")
    assert timeline.heard(2900) == 24


def test_marks_out_of_order_change_nothing_that_was_known() -> None:
    timeline = Timeline()
    timeline.begin(Sentence(0, 13, "one two three"))
    for characters, seconds in ((7, 0.5), (3, 0.6), (7, 0.9), (99, 0.4)):
        timeline.said(characters, seconds)
    timeline.make(600 * BYTES_A_MS)
    timeline.complete()
    assert timeline.heard(400) == 7
    assert timeline.heard(500) == 13


def test_of_a_sentence_without_an_end_rather_too_little_is_heard() -> None:
    timeline = Timeline()
    timeline.begin(Sentence(0, len(ANSWER), ANSWER))
    timeline.make(500 * BYTES_A_MS)
    assert timeline.heard(500) == len("The")
    timeline.make(500 * BYTES_A_MS)
    timeline.complete()
    assert timeline.heard(500) > len("The sea is very large,")


def test_how_fast_a_voice_speaks_is_learned_from_its_sentences() -> None:
    timeline = spoken("This is a sentence of some words.", marked=False)
    begun = timeline.made // BYTES_A_MS
    timeline.begin(Sentence(34, 60, "And this is another of them"))
    timeline.make(300 * BYTES_A_MS)
    assert timeline.heard(begun + 240) == 34 + len("And this is")


def test_what_cannot_be_spoken_is_heard_when_what_is_before_it_was() -> None:
    timeline = Timeline()
    for sentence, size in (("***", 0), ("Hello you.", 1000), ("---", 0)):
        begin = {"***": 0, "Hello you.": 4, "---": 15}[sentence]
        timeline.begin(Sentence(begin, begin + len(sentence), sentence))
        timeline.make(size * BYTES_A_MS)
        timeline.complete()
    assert timeline.heard(0) == 0
    assert timeline.heard(500) == 9
    assert timeline.heard(999) == 14
    assert timeline.heard(1000) == 18


def test_characters_are_words_where_no_spaces_are() -> None:
    timeline = spoken("今天天气很好我们出去走走吧", marked=False)
    assert 5 <= timeline.heard(6 * LETTER_MS) <= 7


def test_a_word_begins_where_the_one_before_it_ends() -> None:
    timeline = spoken("Hello you. Good day.", marked=True)
    assert [timeline.word_began(ms) for ms in (0, 50, 99, 100, 150, 180, 200, 279, 280)] == [
        0, 0, 0, 100, 100, 180, 180, 260, 260,
    ]  # fmt: skip
    assert spoken("Hello you.", marked=False).word_began(57) == 57


def test_a_word_does_not_begin_long_ago() -> None:
    timeline = Timeline()
    timeline.begin(Sentence(0, 9, "one two 3"))
    timeline.said(3, 0.5)
    timeline.make(9000 * BYTES_A_MS)
    assert (timeline.word_began(1500), timeline.word_began(2501)) == (500, 2501)


async def test_by_its_letters_a_real_voice_is_followed_nearly_as_well_as_by_its_marks() -> None:
    answer = (
        "Last week you told me that you wake up at 3 a.m. almost every night. It takes about five minutes: breathe in "
        "for four seconds, hold it, and breathe out slowly. In 2024 about 1,200 people took part in a study on this. "
        "What would you like to do?"
    )
    voice = LocalVoice(processes=1)
    marked, unmarked = Timeline(), Timeline()
    for sentence in sentences(answer):
        marked.begin(sentence)
        unmarked.begin(sentence)
        settings = VoiceSettings(provider="local", voice_id="en-us")
        async for pcm in voice.speak(sentence.text, settings, on_said=marked.said):
            marked.make(len(pcm))
            unmarked.make(len(pcm))
        marked.complete()
        unmarked.complete()
    await voice.close()
    wrong = [
        abs(number_of_words(answer[: marked.heard(ms)]) - number_of_words(answer[: unmarked.heard(ms)]))
        for ms in range(0, marked.made // BYTES_A_MS, 20)
    ]
    assert len(wrong) > 500
    assert sum(one <= 1 for one in wrong) / len(wrong) > 0.97
    assert max(wrong) <= 2


PART = st.tuples(
    st.text("ab, .é好", min_size=1, max_size=30).filter(lambda text: bool(text.strip())).map(str.strip),
    st.integers(0, 3000),
    st.lists(st.tuples(st.integers(0, 40), st.floats(0, 4)), max_size=6),
    st.booleans(),
)


@given(parts=st.lists(PART, max_size=5), moments=st.lists(st.integers(0, 12_000), max_size=20))
def test_time_only_adds_to_what_was_heard(
    parts: list[tuple[str, int, list[tuple[int, float]], bool]], moments: list[int]
) -> None:
    timeline = Timeline()
    begin = 0
    for number, (text, ms, marks, complete) in enumerate(parts):
        timeline.begin(Sentence(begin, begin + len(text), text))
        for mark in marks:
            timeline.said(*mark)
        timeline.make(ms * BYTES_A_MS)
        if complete or number + 1 < len(parts):
            timeline.complete()
        begin += len(text) + 1
    heard = [timeline.heard(one) for one in sorted(moments)]
    assert all(one <= other for one, other in pairwise(heard))
    assert all(0 <= one <= max(0, begin - 1) for one in heard)
    assert all(0 <= timeline.word_began(one) <= one for one in moments)
    whole = timeline.heard(timeline.made // BYTES_A_MS)
    if timeline.made and parts[-1][3]:
        assert whole == begin - 1
