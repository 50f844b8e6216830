"""The crisis gate: what it must recognise, what it must leave alone, and what it says."""

from __future__ import annotations

import json
import random
import re
import string
import time
from collections.abc import Callable
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import Misconfigured
from backend.models.run import CrisisKind
from backend.services.crisis.crisis_gate import CrisisGate
from backend.services.crisis.help_lines import HelpLines
from benchmarks.crisis_gate import PHRASES, Phrase, figures, load

GATE = CrisisGate("international")
ALL = load()
MUST_FIRE = [one for one in ALL if one.kind is not None]
KINDS: tuple[CrisisKind, ...] = get_args(CrisisKind)
LONGEST_MESSAGE = 200_000


# --- the lists ---


def test_the_lists_are_long_and_their_phrases_different() -> None:
    texts = [one.text for one in ALL]
    assert len(MUST_FIRE) >= 200
    assert len(ALL) - len(MUST_FIRE) >= 200
    assert len(set(texts)) == len(texts)
    assert {one.kind for one in MUST_FIRE} == set(KINDS)


@pytest.mark.parametrize("split", ["tuned", "held_out"])
def test_recall_and_precision(split: str) -> None:
    outcomes = [(one, GATE.detect(one.text)) for one in ALL if one.split == split]
    found = figures(outcomes)
    print(f"crisis gate, {split}: {found}")  # noqa: T201 — the figures are for whoever runs this
    assert found.recall == 1.0, [one.text for one, kind in outcomes if one.kind is not None and kind is None]
    assert found.precision >= 0.98, [one.text for one, kind in outcomes if one.kind is None and kind is not None]
    assert found.wrong_kind == 0, [(one.text, kind) for one, kind in outcomes if one.kind not in {None, kind}]


def test_the_figures_count_what_went_wrong() -> None:
    must, must_too, near = (Phrase("tuned", "x", kind, "") for kind in ("suicide", "self_harm", None))
    found = figures([(must, "self_harm"), (must_too, None), (near, "suicide"), (near, None)])
    assert (found.recall, found.precision, found.wrong_kind) == (0.5, 0.5, 1)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("I took all my pills because I want to die", "medical_emergency"),
        ("I want to hurt myself and then kill myself", "suicide"),
        ("I cut myself again. I want to kill my stepfather.", "harm_to_others"),
        ("I want to kill my stepfather. I cut myself again.", "harm_to_others"),
        ("My wife is not breathing. I want to die.", "medical_emergency"),
    ],
)
def test_the_most_urgent_of_several_is_answered(said: str, kind: CrisisKind) -> None:
    assert GATE.detect(said) == kind


@pytest.mark.parametrize("said", ["", " ", "\n", "?!", "…", "\u200b", "💀", "死にたい", "\ud800"])
def test_where_nothing_is_said_in_english_nothing_fires(said: str) -> None:
    assert GATE.detect(said) is None


# --- what hides it ---

AROUND = [
    ("This job is killing me and ", ""),
    ("I'm not joking, ", ""),
    ("I laughed so hard yesterday. ", ". I'm dead tired."),
    ("I am not suicidal but ", ""),
    ("My mother died last year. ", ""),
    ("", " and this job is killing me"),
    ("", "!!! please help"),
    ("", ", and I don't want to tell anyone"),
]


@pytest.mark.parametrize(("before", "after"), AROUND)
def test_harmless_talk_around_it_does_not_hide_it(before: str, after: str) -> None:
    alone = [one for one in MUST_FIRE if len(one.text.split()) > 2]  # a single word means less among others
    missed = [one.text for one in alone if GATE.detect(f"{before}{one.text}{after}") is None]
    assert not missed


def test_what_stands_at_the_end_of_a_long_message_is_read() -> None:
    talk = "I went to the market and bought some apples because my daughter likes them. "
    said = (talk * 3000)[: LONGEST_MESSAGE - 20] + ". I want to die"
    assert len(said) <= LONGEST_MESSAGE
    assert GATE.detect(said) == "suicide"
    assert GATE.detect(said.replace(".", "")) == "suicide"


def test_a_context_reaches_only_what_stands_near_it() -> None:
    assert GATE.detect("ten years ago I tried to kill myself") is None
    said = "ten years ago we lived by the sea and it was a good life " + "with many boats and birds and rain " * 8
    assert GATE.detect(f"{said} and one day I tried to kill myself") == "suicide"


@st.composite
def disguised(draw: st.DrawFn) -> tuple[Phrase, str]:
    """A phrase of the list, typed in another way that looks the same to people."""
    phrase = draw(st.sampled_from(MUST_FIRE))
    chance = draw(st.randoms(use_true_random=False))
    typed = "".join(_retyped(letter, chance) for letter in phrase.text)
    return phrase, chance.choice(["", " ", "\n\t", "\u200b", "\u3000"]) + typed + chance.choice(
        ["", " ", "\r\n", "\ufeff"]
    )


def _retyped(letter: str, chance: random.Random) -> str:
    if letter == " ":
        return "".join(chance.choices([" ", "\t", "\n", "\u00a0", "\u2003", "\u3000"], k=chance.randint(1, 3)))
    if letter == "'":
        return chance.choice(["'", "’", "‘", "`", "´", "ʼ", "＇"])
    letter = chance.choice([letter, letter.upper() if letter in string.ascii_letters else letter])
    return letter + chance.choice(["", "", "", "\u200b", "\u200d", "\u2060", "\u00ad", "\u0301", "\ufe0f"])


@given(disguised())
def test_what_cannot_be_seen_changes_nothing(case: tuple[Phrase, str]) -> None:
    phrase, typed = case
    assert GATE.detect(typed) == phrase.kind, ascii(typed)


@pytest.mark.parametrize(
    "said",
    [
        "i want to k i l l myself",
        "i want to k.i.l.l myself",
        "i want to k-i-l-l m-y-s-e-l-f",
        "i want to ki ll my self",
        "iwanttokillmyself",
        "i want to k1ll mys3lf",
        "i want to k!ll my$elf",
        "i want to k*ll myself",
        "i want to kіll myѕelf",
        "𝔦 𝔴𝔞𝔫𝔱 𝔱𝔬 𝔨𝔦𝔩𝔩 𝔪𝔶𝔰𝔢𝔩𝔣",
        "🅘 want to 🅺🅸🅻🅻 myself",
        "i wnat to kiill myslef",
        "i want to kiiiilllll myselfffff",
        "I. Want. To. Kill. Myself.",
        "i want to unalive myself",
        "sewer slide. i want sewerslide",
        "kms",
    ],
)
def test_tricks_with_spelling_hide_nothing(said: str) -> None:
    assert GATE.detect(said) == "suicide"


def test_the_same_words_mean_the_same_each_time() -> None:
    again = CrisisGate("US")
    assert [GATE.detect(one.text) for one in ALL] == [again.detect(one.text) for one in reversed(ALL)][::-1]


# --- how long it takes ---


def _words(count: int) -> str:
    said = json.loads(PHRASES.read_text("utf-8"))
    chosen = random.Random(7)  # noqa: S311 — the same text at each run
    words = sorted(set(re.findall(r"[a-z]+", json.dumps(said).lower())))
    return " ".join(chosen.choices(words, k=count))


HOSTILE: dict[str, Callable[[], str]] = {
    "beginnings": lambda: "i want to " * 40_000,
    "excused": lambda: "i want to kill myself laughing " * 10_000,
    "persons": lambda: "my friend my son he she " * 20_000,
    "fillers": lambda: "my friend really just so " * 20_000,
    "denied": lambda: "not suicidal " * 20_000,
    "words of the lists": lambda: _words(60_000),
    "letters": lambda: "k i l l " * 40_000,
    "one letter": lambda: "i " * 200_000,
    "one word": lambda: "kill" * 100_000,
    "glued": lambda: "iwanttokillmyself " * 20_000,
    "stars": lambda: "k*ll d*e " * 40_000,
    "specials": lambda: "a!" * 200_000,
    "leet": lambda: "1a" * 200_000,
    "stops": lambda: '."' * 200_000,
    "quotes": lambda: "." + '"' * 400_000,
    "nothing": lambda: "\u200b" * 400_000,
    "expanding": lambda: "\ufdfa" * 400_000,
    "no two the same": lambda: " ".join(f"w{at}x" for at in range(60_000)),
    "other scripts": lambda: "".join(map(chr, range(0x3000, 0x9000))) * 9,
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_text_takes_long(hostile: str) -> None:
    said = HOSTILE[hostile]()[:LONGEST_MESSAGE]
    began = time.process_time()
    GATE.detect(said)
    assert time.process_time() - began < 4  # about half a second by itself


def test_usual_messages_take_no_time() -> None:
    for one in ALL:
        GATE.detect(one.text)
    began = time.process_time()
    for one in ALL:
        GATE.detect(one.text)
    assert (time.process_time() - began) / len(ALL) < 0.001


# --- what is said ---

NUMBERS = {
    "US": ("911", "988", "741741"),
    "GB": ("999", "116 123", "85258"),
    "IE": ("112", "116 123", "50808"),
    "CA": ("911", "988"),
    "AU": ("000", "13 11 14"),
    "NZ": ("111", "1737"),
    "DE": ("112", "0800 111 0 111", "116 123"),
    "AT": ("112", "142"),
    "CH": ("112", "143"),
    "FR": ("112", "3114"),
    "ES": ("112", "024"),
    "IT": ("112", "02 2327 2327"),
    "NL": ("112", "113", "0800 0113"),
    "IN": ("112", "14416"),
    "ZA": ("112", "0800 567 567"),
    "international": ("your local emergency number", "112", "findahelpline.com"),
}
AMBULANCE = {"AT": "144", "CH": "144", "FR": "15", "ZA": "10177"}
POLICE = {"DE": "110", "AT": "133", "CH": "117", "FR": "17", "ZA": "10111"}


def test_every_region_is_tried_here() -> None:
    assert set(HelpLines.regions()) == set(NUMBERS)


@pytest.mark.parametrize("region", NUMBERS)
def test_a_reply_has_the_numbers_of_its_region(region: str) -> None:
    gate = CrisisGate(region)
    for number in NUMBERS[region]:
        assert number in gate.reply("suicide")
    assert AMBULANCE.get(region, NUMBERS[region][0]) in gate.reply("medical_emergency")
    assert POLICE.get(region, NUMBERS[region][0]) in gate.reply("harm_to_others")
    assert NUMBERS[region][1] in gate.reply("self_harm")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("region", NUMBERS)
def test_a_reply_is_short_plain_and_fit_to_be_read_out(region: str, kind: CrisisKind) -> None:
    reply = CrisisGate(region).reply(kind)
    assert reply.startswith("This is an automatic reply")
    assert not re.search(r"[*_#`<>\[\]{}$|]|https?:|  |\.\.|\. [a-z]", reply), reply
    assert len(reply.split()) < 180
    assert GATE.reply(kind) == GATE.reply(kind)


def test_kinds_are_answered_differently() -> None:
    assert len({GATE.reply(kind) for kind in KINDS}) == len(KINDS)


def test_an_unknown_region_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Misconfigured, match=r"'XX'.*international.*US.*ZA"):
        CrisisGate("XX")
