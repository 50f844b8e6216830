"""Which of espeak-ng's voices speaks for a contract, also for one that names another provider's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import langcodes

from backend.errors import UnknownVoice
from backend.models.voice import VoiceSettings
from backend.ports.speech import Voice

PROVIDER = "local"
FEMALE, MALE = "+f3", "+m3"
"""Variants that go with every voice of espeak-ng."""

_FEMALE_WORDS = {
    "female", "feminine", "woman", "women", "womans", "girl", "girls",
    "lady", "ladies", "she", "her", "mother", "sister", "grandmother"
}  # fmt: skip
_MALE_WORDS = {
    "male", "masculine", "man", "men", "mans", "boy", "boys", "gentleman", "guy",
    "he", "his", "him", "father", "brother", "grandfather"
}  # fmt: skip
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_SPOKEN_IN = {"zh-hk": "yue", "zh-mo": "yue"}
_FARTHEST = 25
"""Of languages, as CLDR measures: Austrian from standard German is 4, Norwegian Nynorsk from Bokmål 20."""


@dataclass(frozen=True, slots=True)
class EspeakVoice:
    """A voice of the engine; `languages` are lower-case tags with its rank for each, the lowest the best."""

    voice_id: str
    name: str
    languages: tuple[tuple[str, int], ...]

    def offered(self) -> Voice:
        """The same as it is offered to people."""
        tag = self.languages[0][0]
        language = langcodes.standardize_tag(tag) if langcodes.tag_is_valid(tag) else tag
        return Voice(PROVIDER, self.voice_id, self.name, language, "espeak-ng, spoken on this machine")


def espeak_voice(wanted: VoiceSettings, known: Sequence[EspeakVoice]) -> str:
    """The engine's name of the voice, such as `en-us` or `en-us+f3`.

    An id that is a voice of espeak-ng, or a language of one, is that voice. Of another name only the words count that
    tell a woman's from a man's voice: `calm-female` is a woman's in the language of the contract.
    Errors: `UnknownVoice` for a voice or a language that it does not have.
    """
    own = wanted.voice_id.lower().replace("_", "-")
    named = own if any(one.voice_id == own for one in known) else _best(own, known)
    if named is not None:
        return named
    variant = variant_of(wanted.voice_id)
    if wanted.provider == PROVIDER and not variant:
        raise UnknownVoice(
            f"The local voice has no voice {wanted.voice_id}: name one of espeak-ng's, such as en-us or de; "
            "GET /api/v1/voices lists them all",
            provider=PROVIDER,
        )
    return _of_language(wanted.language, known) + variant


def variant_of(alias: str) -> str:
    """What the words of a friendly name such as `soothing-male` say: `+m3`, `+f3`, or nothing."""
    words = {word.lower() for word in _WORD.findall(alias)}
    if words & _FEMALE_WORDS:
        return FEMALE
    return MALE if words & _MALE_WORDS else ""


def _of_language(language: str, known: Sequence[EspeakVoice]) -> str:
    tag = language.lower()
    found = _best(_SPOKEN_IN.get(tag, tag), known)
    if found is not None:
        return found
    tags = sorted({tag for one in known for tag, _ in one.languages if langcodes.tag_is_valid(tag)})
    nearest, _ = langcodes.closest_match(language, tags, max_distance=_FARTHEST)
    found = _best(nearest, known) or _best(tag.partition("-")[0], known)
    if found is None:
        raise UnknownVoice(
            f"The local voice does not speak {language}; GET /api/v1/voices lists what it speaks", provider=PROVIDER
        )
    return found


def _best(tag: str, known: Sequence[EspeakVoice]) -> str | None:
    """The voice that ranks best for exactly this language; of equals, the engine's first."""
    ranked = [(rank, one.voice_id) for one in known for spoken, rank in one.languages if spoken == tag]
    return min(ranked, key=lambda pair: pair[0])[1] if ranked else None
