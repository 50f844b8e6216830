"""Which voice of espeak-ng speaks for which contract."""

from __future__ import annotations

import pytest

from backend.errors import UnknownVoice
from backend.gateways.espeak_voices import EspeakVoice, espeak_voice, variant_of
from backend.models.voice import VoiceSettings

KNOWN = [
    EspeakVoice("cmn", "Chinese (Mandarin)", (("cmn", 5), ("zh-cmn", 5), ("zh", 5))),
    EspeakVoice("de", "German", (("de", 5),)),
    EspeakVoice("en-029", "English (Caribbean)", (("en-029", 5), ("en", 10))),
    EspeakVoice("en", "English (Great Britain)", (("en-gb", 2), ("en", 2))),
    EspeakVoice("en-us", "English (America)", (("en-us", 2), ("en", 3))),
    EspeakVoice("en-us-nyc", "English (America, New York City)", (("en-us-nyc", 5),)),
    EspeakVoice("es", "Spanish (Spain)", (("es", 5),)),
    EspeakVoice("es-419", "Spanish (Latin America)", (("es-419", 5), ("es-mx", 6))),
    EspeakVoice("he", "Hebrew", (("he", 5),)),
    EspeakVoice("nb", "Norwegian Bokmål", (("nb", 5), ("no", 5))),
    EspeakVoice("pt", "Portuguese (Portugal)", (("pt", 5), ("pt-pt", 5))),
    EspeakVoice("pt-br", "Portuguese (Brazil)", (("pt-br", 5), ("pt", 6))),
    EspeakVoice("yue", "Chinese (Cantonese)", (("yue", 5), ("zh-yue", 5), ("zh", 8))),
]


def chosen(voice_id: str, language: str = "en-US", provider: str = "elevenlabs") -> str:
    return espeak_voice(VoiceSettings(provider=provider, voice_id=voice_id, language=language), KNOWN)


@pytest.mark.parametrize(
    ("voice_id", "voice"),
    [("en-us", "en-us"), ("EN_US", "en-us"), ("de", "de"), ("en-gb", "en"), ("zh", "cmn"), ("en-us-nyc", "en-us-nyc")],
)
def test_an_id_of_espeak_is_that_voice_whatever_the_language(voice_id: str, voice: str) -> None:
    assert chosen(voice_id, "pt-BR", "local") == voice


@pytest.mark.parametrize(
    ("language", "voice"),
    [
        ("en-US", "en-us"),
        ("en-GB", "en"),
        ("en-AU", "en"),
        ("en", "en"),
        ("de-AT", "de"),
        ("pt-BR", "pt-br"),
        ("pt", "pt"),
        ("es-AR", "es-419"),
        ("es-ES", "es"),
        ("zh-CN", "cmn"),
        ("zh-Hant-TW", "cmn"),
        ("zh-HK", "yue"),
        ("nn-NO", "nb"),
        ("iw", "he"),
    ],
)
def test_a_name_of_another_provider_is_spoken_in_the_language_of_the_contract(language: str, voice: str) -> None:
    assert chosen("21m00Tcm4TlvDq8ikWAM", language) == voice


@pytest.mark.parametrize(
    ("alias", "variant"),
    [
        ("calm-female", "+f3"),
        ("soothing-male", "+m3"),
        ("OldWoman2", "+f3"),
        ("a_kind_MAN", "+m3"),
        ("womanlike", ""),
        ("manager", ""),
        ("shepherd", ""),
        ("malet", ""),
    ],
)
def test_whole_words_say_whether_it_is_a_womans_voice_or_a_mans(alias: str, variant: str) -> None:
    assert variant_of(alias) == variant
    assert chosen(alias, "de-DE") == f"de{variant}"


def test_a_friendly_name_is_enough_for_the_local_voice_itself() -> None:
    assert chosen("calm-female", "pt-BR", "local") == "pt-br+f3"


def test_a_voice_that_does_not_exist_is_named() -> None:
    with pytest.raises(UnknownVoice, match=r"no voice somebody.*GET /api/v1/voices"):
        chosen("somebody", "en-US", "local")


def test_a_language_that_it_does_not_speak_is_named() -> None:
    with pytest.raises(UnknownVoice, match="does not speak tl"):
        chosen("calm-female", "tl")


def test_people_read_the_tags_that_contracts_have() -> None:
    assert [one.offered().language for one in KNOWN if one.voice_id in {"en-us", "en", "en-us-nyc"}] == [
        "en-GB",
        "en-US",
        "en-us-nyc",
    ]
    assert KNOWN[1].offered().provider == "local"
