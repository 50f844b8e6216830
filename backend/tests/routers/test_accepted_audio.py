"""Which kind of audio is given to whom."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.routers.accepted_audio import MP3, WAV, accepted_audio
from backend.routers.http_errors import NotAcceptable


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, WAV),
        ("", WAV),
        ("*/*", WAV),
        ("audio/*", WAV),
        ("audio/wav", WAV),
        ("Audio/X-Wav", WAV),
        ("audio/mpeg", MP3),
        ("AUDIO/MPEG ; Q=0.3", MP3),
        ("audio/mp3", MP3),
        ("audio/mpeg, audio/wav;q=0.1", MP3),
        ("audio/mpeg;q=0.5, audio/wav;q=0.6", WAV),
        ("audio/mpeg, audio/wav", WAV),
        ("audio/mpeg, */*", MP3),
        ("audio/mpeg;q=0.2, audio/*", WAV),
        ("audio/wav;q=0, */*;q=0.1", MP3),
        ("audio/wav; q=0.0, audio/mpeg", MP3),
        ("audio/mpeg;q=0, audio/*", WAV),
        ("text/html, */*;q=0.8", WAV),
        ("audio/webm,audio/ogg,audio/wav,audio/*;q=0.9,application/ogg;q=0.7,video/*;q=0.6,*/*;q=0.5", WAV),
    ],
)
def test_the_kind_that_is_liked_better_is_given(accept: str | None, kind: str) -> None:
    assert accepted_audio(accept) == kind


@pytest.mark.parametrize(
    "accept",
    ["application/json", "audio/ogg", "audio/wav;q=0", "audio/*;q=0", "*/*;q=0.000", "audio/wav;q=0, audio/ogg"],
)
def test_who_takes_neither_is_told_of_both(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="audio/wav and as audio/mpeg"):
        accepted_audio(accept)


@given(st.text())
def test_any_header_is_answered(accept: str) -> None:
    with contextlib.suppress(NotAcceptable):
        assert accepted_audio(accept) in (WAV, MP3)
