"""Speech over HTTP: what is to be said, which voices there are, and what was heard."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from backend.models.base import FrozenModel, example
from backend.models.fields import Slug, Text
from backend.models.voice import VoiceId

LONGEST_SPEECH = 5_000
LONGEST_PREVIEW = 300


class SpeechRequest(FrozenModel):
    """What an agent is to say, in its own voice."""

    model_config = example(text="Breathe in. And slowly out.")

    text: Annotated[str, Text(LONGEST_SPEECH, visible=True)]


class PreviewRequest(FrozenModel):
    """A sentence to hear a voice by: its id at the provider, or one of the deployment's aliases."""

    model_config = example(provider="local", voice_id="en-us", text="Hello, this is how I sound.")

    provider: Slug
    voice_id: VoiceId
    text: Annotated[str, Text(LONGEST_PREVIEW, visible=True)] = "Hello, this is how I sound."


class OfferedVoice(FrozenModel):
    """A voice that contracts may name as `voice_id`; by its `aliases`, too."""

    model_config = example(
        provider="elevenlabs",
        voice_id="21m00Tcm4TlvDq8ikWAM",
        name="Rachel",
        language="en",
        description="calm, young, american",
        preview_url="https://voices.example.com/rachel.mp3",
        aliases=["calm-female"],
    )

    provider: str
    voice_id: str
    name: str
    language: str = ""
    description: str = ""
    preview_url: str = ""
    aliases: tuple[str, ...] = ()


class AbsentProvider(FrozenModel):
    """A provider whose voices cannot be listed now, and why."""

    model_config = example(provider="elevenlabs", reason="Set ELEVENLABS_API_KEY.")

    provider: str
    reason: str


class VoiceList(FrozenModel):
    """The voices of every provider that answers, and the providers that do not."""

    model_config = example(
        voices=[{"provider": "local", "voice_id": "en-us", "name": "English (America)", "language": "en-US"}],
        absent=[{"provider": "elevenlabs", "reason": "Set ELEVENLABS_API_KEY."}],
    )

    voices: list[OfferedVoice]
    absent: list[AbsentProvider]


class Heard(FrozenModel):
    """What was said in a recording, how sure the provider is (0 to 1), and how many seconds it lasts."""

    model_config = example(text="I want to sleep better.", confidence=0.98, seconds=2.4, provider="deepgram")

    text: str
    confidence: float = Field(ge=0, le=1)
    seconds: float = Field(ge=0)
    provider: str
