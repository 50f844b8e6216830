"""What the voice providers can do."""

from __future__ import annotations

from typing import Any

import pytest

from backend.models import VoiceSettings
from backend.models.voice import check_voice
from backend.models.voice_providers import SPEECH_PROVIDERS
from backend.tests.models.contracts import refusals


def refused(**parts: Any) -> dict[str, str]:
    return refusals(VoiceSettings, {"voice_id": "calm-female"} | parts)


@pytest.mark.parametrize("speed", [0.7, 1.0, 1.2])
def test_elevenlabs_speaks_within_its_range(speed: float) -> None:
    assert refused(speed=speed) == {}


@pytest.mark.parametrize("speed", [0.5, 0.69, 1.21, 2.0])
def test_elevenlabs_range_is_in_the_message(speed: float) -> None:
    assert "0.7 to 1.2" in refused(speed=speed)["/speed"]


@pytest.mark.parametrize("pitch", [0.5, 0.99, 1.1, 2.0])
def test_elevenlabs_has_no_pitch(pitch: float) -> None:
    assert "no pitch" in refused(pitch=pitch)["/pitch"]


def test_the_local_voice_has_speed_and_pitch_but_no_timbre_controls() -> None:
    assert refused(provider="local", voice_id="en-us", speed=2.0, pitch=0.5) == {}
    assert "no stability" in refused(provider="local", stability=0.4)["/stability"]
    assert "no similarity_boost" in refused(provider="local", similarity_boost=1)["/similarity_boost"]


def test_unknown_providers_are_refused_with_the_known_ones() -> None:
    found = refused(provider="polly", stt_provider="ears")
    assert all(name in found["/provider"] for name in SPEECH_PROVIDERS)
    assert "deepgram" in found["/stt_provider"]


def test_all_that_the_provider_cannot_do_is_said_at_once() -> None:
    assert set(refused(speed=1.5, pitch=1.5)) == {"/speed", "/pitch"}
    assert check_voice(VoiceSettings(voice_id="a")) == []


@pytest.mark.parametrize("voice_id", ["", "a b", "a/b", "../../x", "a" * 65, "ä", "a\n", "a?b", None, 5])
def test_voice_ids_are_safe_in_a_path(voice_id: Any) -> None:
    assert list(refused(voice_id=voice_id)) == ["/voice_id"]


def test_a_voice_needs_an_id() -> None:
    assert refusals(VoiceSettings, {}) == {"/voice_id": "is required"}
