"""Which kind of audio a client wants to have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from backend.routers.http_errors import NotAcceptable

WAV, MP3 = "audio/wav", "audio/mpeg"
_NAMES: Mapping[str, str] = {
    **dict.fromkeys((WAV, "audio/x-wav", "audio/wave", "audio/vnd.wave"), WAV),
    **dict.fromkeys((MP3, "audio/mp3", "audio/x-mp3"), MP3),
}
_EVERYTHING, _AUDIO, _NAMED = range(3)
_QUALITY = re.compile(r";\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*(?:;|$)", re.IGNORECASE)


def accepted_audio(accept: str | None) -> str:
    """`audio/wav` or `audio/mpeg`, whichever is liked better; of what is liked alike the one that is named, then WAV.

    Errors: `NotAcceptable` when the client takes neither.
    """
    if accept is None or not accept.strip():
        return WAV
    liked = {kind: max(_opinions(accept, kind), default=(0, 0.0)) for kind in (WAV, MP3)}
    # What is said of a kind by its name counts more than what is said of many, so its quality is the one that counts.
    best = max(liked, key=lambda kind: (liked[kind][1], liked[kind][0]))
    if liked[best][1] == 0:
        raise NotAcceptable("Audio is given as audio/wav and as audio/mpeg: send an Accept with one of these.")
    return best


def _opinions(accept: str, kind: str) -> Iterator[tuple[int, float]]:
    """What the header says of this kind: how precisely, and how much it is liked."""
    for one in accept.split(","):
        name = one.partition(";")[0].strip().lower()
        found = _QUALITY.search(one)
        quality = min(1.0, float(found[1])) if found else 1.0
        if _NAMES.get(name) == kind:
            yield _NAMED, quality
        elif name == "audio/*":
            yield _AUDIO, quality
        elif name == "*/*":
            yield _EVERYTHING, quality
