"""What somebody says, clause by clause: about whom, and whether it holds, held once, or is only thought of."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from backend.services.memory.asking import only_asks

SELF = "self"
_LONGEST_READ = 2000
_MOST_CLAUSES = 12

_CONTRACTIONS = tuple(
    (re.compile(pattern, re.IGNORECASE), full)
    for pattern, full in (
        (r"\b(can)'t\b", r"\1 not"),
        (r"\bcannot\b", "can not"),
        (r"\bwon't\b", "will not"),
        (r"n't\b", " not"),
        (r"\b(i)'m\b", r"\1 am"),
        (r"'re\b", " are"),
        (r"'ve\b", " have"),
        (r"'ll\b", " will"),
        (r"\b(i|we|you|he|she|they)'d\b", r"\1 would"),
        (r"\b(he|she|it|that|there|what|who)'s\b", r"\1 is"),
        (r"\b(?:want|wants|like|likes) to be called\b", "go by"),
        (r"\bget(s)? up\b", r"wake\1 up"),
        (r"^([^\W\d_]+) and (i)\b", r"\1 & \2"),
        (r"\bany more\b", "anymore"),
        (r"\bany longer\b", "anymore"),
    )
)
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|\n+")
_VERBS = (
    "live|lives|work|works|moved|am|is|are|was|were|have|has|had|own|owns|drink|drinks|eat|eats|drive|drives|use|uses|take|takes"
    "|play|plays|study|studies|go|goes|like|likes|love|loves|hate|hates|prefer|prefers|started|joined|left|quit|stopped|got|became"
    "|switched|changed|sold|bought|closed|want|wants|enjoy|enjoys|speak|speaks|do|does|can|will|would|love|teach|teaches|run|runs|lost"
)
_PRONOUN = r"(?:i|we|my|our|he|she|they|it|his|her|their|(?:the\s+)?user)"
_MIDDLE = re.compile(
    rf"""\s*[,;:]\s+ | \s+[–—-]\s+
      | \s+(?:and|but|so|because|while|although|though)\s+(?={_PRONOUN}\b)
      | \s+(?:and|but)\s+(?=(?:now\s+)?(?:{_VERBS})\b)""",
    re.IGNORECASE | re.VERBOSE,
)
_OPENERS = re.compile(
    r"""(?:(?: and | but | so | well | oh | ok | okay | yes | yeah | no | hi | hello | hey | please | by\ the\ way
      | it\ turns\ out(?:\ that)? | in\ fact | fun\ fact | sorry | correction | as\ of\ (?:today|now|this\ \w+)
      | from\ now\ on
      | these\ days | nowadays | now | currently | actually | meanwhile | recently | finally | since\ then | today
      | (?:last|this)\ (?:week|month|year) | i\ mean | i\ meant )\b[,\s]*)+""",
    re.IGNORECASE | re.VERBOSE,
)
_CHANGE = re.compile(
    r"""\b(?: now | nowadays | these\ days | from\ now\ on | from\ this\ \w+\ on | instead | anymore | no\ longer
      | actually
      | correction | again | at\ present | currently | as\ of | new | changed | turns?\ out | down\ to | up\ to
      | since\ the )\b""",
    re.VERBOSE,
)
_CORRECTION = re.compile(r"\b(?:actually|correction|got (?:that|it) wrong|mistake|i meant|it turns out)\b")
_ADDITIVE = re.compile(
    r"\b(?:also|too|as well|another|additionally|besides|both|second|other|on the side|when|sometimes)\b"
)
_IRREAL = re.compile(
    r"""\b(?: if | would | could | might | (?:i|we|you|he|she|it|they|user)\ may | should | shall | will | wish
      | hope | hoping | wants? | wanted | plans? | planning | planned | think | thinking | going\ to | about\ to
      | dream(?:ed|t|ing)? | almost
      | nearly | never | consider(?:ing|ed)? | imagine | pretend | someday | one\ day | supposed | says? | said
      | told | tells
      | heard | like\ to | need\ to | try(?:ing)?\ to | maybe | perhaps | probably | unless | until | whether | tomorrow
      | next\ (?:week|month|year|summer|spring|autumn|fall|winter) | for\ the\ weekend
      | for\ an?\ (?:few\ )?(?:day|week|weekend|holiday|visit)s? )\b""",
    re.VERBOSE,
)
_NOT = re.compile(r"\b(?:not|never|no longer)\b")
_DROPPED = re.compile(
    r"""\b(?: just | recently | finally | really | actually | still | now | already | today | nowadays | currently
      | these\ days | at\ the\ moment | from\ now\ on | from\ this\ \w+\ on | at\ present | anymore | no\ longer | again
      | instead | also | too | as\ well | lately | basically | simply | officially | only | quite | very | so
      | have\ been | for\ good | yesterday | last\ (?:night|week|month|year) | since\ the\ \w+ | did | do
      | does )\b""",
    re.VERBOSE,
)
_THIRD_PERSON = r"(?:is|was|has|had|left|quit|got|went|became|now|no\ longer|just|recently|does|do|can|\w+ed|\w{3,}s)"
_SELF = re.compile(
    r"(?:i|we|(?:[A-ZÀ-ÖØ-Þ][\w-]+\s+&\s+i))\b\s*|(?:the\s+)?(?:user|person)\s+",
    re.IGNORECASE,
)
_OWNED = re.compile(
    rf"""(?P<owner>my|our|the|(?:the\s+)?user's|[A-ZÀ-ÖØ-Þ][\w-]+'s)
    \s+(?P<thing>[\w'&-]+(?:\s+(?!(?:is|are|was|has|have|had|were)\b)[\w'&-]+){{0,5}}?)
    \s+(?=(?: {_VERBS} | calls? | were | leaves? | starts? | begins? | departs? | ends? | costs? | \w{{3,}}ed | now
      | no\ longer
      | just | weighs? | says? | thinks? | told | died | ran )\b)""",
    re.IGNORECASE | re.VERBOSE,
)
_NAMED = re.compile(rf"(?P<name>[A-ZÀ-ÖØ-Þ][\w-]+(?:\s+[A-ZÀ-ÖØ-Þ][\w-]+)?)\s+(?={_THIRD_PERSON}\b)")
_CALLING = re.compile(
    r"(?:(?:it|today|yesterday|this|that|\w+day)\s+)?(?:is|was)\s+(?=my\s|our\s)|(?:everybody|everyone|people|they|friends|all)\s+(?=calls?\s+me\b)|(?=call\s+me\b)",
    re.IGNORECASE,
)


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


_NO_NAMES = _listed(
    "i we he she it they you this that these those there the a an what who where when why how which my our his her its "
    "their if because since while after before then"
)

_WORD = re.compile(r"[\w@][\w@.:+'-]*[\w@]|\w")
_EMPTY = _listed(
    "a an the of to in on at for with by from as and or but i me my we our us you your it its is am are was were be "
    "been being have has had do does did not no so that this these those there here called named old year years new"
)
_NUMBERS = {
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
    "ten": "10", "eleven": "11", "twelve": "12", "thirteen": "13", "fourteen": "14", "fifteen": "15", "sixteen": "16",
    "seventeen": "17", "eighteen": "18", "nineteen": "19", "twenty": "20",
    "first": "1st", "second": "2nd", "third": "3rd", "fourth": "4th", "fifth": "5th", "sixth": "6th", "seventh": "7th",
    "eighth": "8th", "ninth": "9th", "tenth": "10th",
}  # fmt: skip
_PAST = _listed(
    "ran went bought saw had was were did got took made came found met ate drank drove left lost sold told said gave "
    "wrote flew spent felt thought began broke won paid sent slept spoke stood taught wore grew fell caught built"
)
_NOT_PAST = _listed("need based called named engaged married employed divorced separated widowed retired used")


@dataclass(frozen=True, slots=True)
class Clause:
    """One thing that `speaker` said of one subject.

    `rest` is what is said, in small letters and without adverbs, `said` the whole of it; `content` its telling words as
    stems; `names` the words that were written as names. `changes`: it says itself that something is otherwise; `adds`:
    that something comes on top; `irreal`: that it is thought of, wished or planned.
    """

    subject: str
    speaker: str
    rest: str
    said: str
    names: frozenset[str]
    content: frozenset[str]
    negated: bool
    past: bool
    changes: bool
    adds: bool
    irreal: bool

    @property
    def verb(self) -> str:
        """The stem of its first word."""
        return stem(self.rest.split(" ", 1)[0]) if self.rest else ""


@lru_cache(4096)
def clauses_of(text: str, speaker: str = "") -> tuple[Clause, ...]:
    """The clauses that say something about somebody or something; questions and fragments are left out."""
    plain = unicodedata.normalize("NFKC", text[:_LONGEST_READ]).replace("’", "'").replace("`", "'")
    names = _names(plain)
    found: list[Clause] = []
    for one in _SENTENCE_END.split(plain):
        sentence = " ".join(one.split()).rstrip(".!… ")
        if not sentence or sentence.endswith("?") or only_asks(sentence):
            continue
        found.extend(_clauses(sentence, speaker, names))
        if len(found) >= _MOST_CLAUSES:
            break
    return tuple(found)


def forget_texts() -> None:
    """Forget what was read lately; somebody's data are erased."""
    clauses_of.cache_clear()


def stems(text: str) -> frozenset[str]:
    """The telling words of a text, as stems; numbers as digits."""
    return frozenset(stem(word) for word in _WORD.findall(text.lower()) if word not in _EMPTY)


def stem(word: str) -> str:
    """The part of an English word that its forms share, roughly."""
    word = _NUMBERS.get(word, word).removesuffix("'s")
    if len(word) < 4 or not word.isalpha():
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: -len(ending)]
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
        word = word[:-1]
    return word.rstrip("e") if len(word) > 3 else word


def _names(text: str) -> frozenset[str]:
    """Words written as names, in small letters; who writes all in small letters may mean any word."""
    capital = re.findall(r"\b[A-ZÀ-ÖØ-Þ][\w'-]*", text)
    words = re.findall(r"\b\w[\w'-]*", text)
    if not any(word not in ("I",) for word in capital):
        return frozenset(word.lower() for word in words)
    return frozenset(word.lower().removesuffix("'s") for word in capital if word != "I")


def _clauses(sentence: str, speaker: str, names: frozenset[str]) -> Iterator[Clause]:
    plain = sentence
    for pattern, full in _CONTRACTIONS:
        plain = pattern.sub(full, plain)
    whole = plain.lower()
    corrects, subject = bool(_CORRECTION.search(whole)), ""
    for part in _MIDDLE.split(plain):
        bare = _OPENERS.sub("", part, count=1) if _OPENERS.match(part) else part
        found, rest = _subject(bare, speaker)
        if not found and subject and re.match(rf"(?:now\s+)?(?:{_VERBS})\b", bare, re.IGNORECASE):
            found, rest = subject, bare
        subject = found or subject
        if found:
            changes = corrects or bool(_CHANGE.search(part.lower()))
            hedged = _hedged(whole, part.lower())
            yield _clause(found, _who(SELF, speaker), rest, part.lower(), names, changes=changes, hedged=hedged)


def _hedged(whole: str, part: str) -> bool:
    return bool(_IRREAL.search(part)) or whole.startswith(("if ", "when ", "maybe ", "perhaps ", "imagine "))


def _clause(
    subject: str, speaker: str, told: str, said: str, names: frozenset[str], *, changes: bool, hedged: bool
) -> Clause:
    rest = told.lower()
    kept = " ".join(_DROPPED.sub(" ", rest).split())
    first = kept.split(" ", 1)[0] if kept else ""
    return Clause(
        subject=subject,
        speaker=speaker,
        rest=kept,
        said=said,
        names=names,
        content=stems(kept),
        negated=bool(_NOT.search(rest)),
        past=first in _PAST or (first.endswith("ed") and first not in _NOT_PAST),
        changes=changes,
        adds=bool(_ADDITIVE.search(said)),
        irreal=hedged,
    )


def _subject(part: str, speaker: str) -> tuple[str, str]:
    """Whom or what it is about ("" when nobody can tell), and what is said of it."""
    if own := _SELF.match(part):
        return _who(SELF, speaker), part[own.end() :]
    if calling := _CALLING.match(part):
        return _who(SELF, speaker), part[calling.end() :]
    if owned := _OWNED.match(part):
        owner = owned["owner"].lower()
        mine = owner in {"my", "our", "the", "user's", "the user's"}
        whose = _who(SELF, speaker) if mine else _who(owner.removesuffix("'s"), speaker)
        return f"{whose}'s {owned['thing'].lower()}", part[owned.end() :]
    if (named := _NAMED.match(part)) and named["name"].split()[0].lower() not in _NO_NAMES:
        return _who(named["name"].lower(), speaker), part[named.end() :]
    return "", part


def _who(name: str, speaker: str) -> str:
    """The speaker is one and the same, whether they say I or are named; a person without a name is `SELF`."""
    known = speaker.strip().lower()
    return (known or SELF) if name in {SELF, "user", known} else name
