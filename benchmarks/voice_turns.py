"""How fast a spoken turn is: from the end of speech to the first audio, and from an interruption to silence.

    python -m benchmarks.voice_turns [--turns 50]

A real server, over local servers that speak the wire protocols of Deepgram and ElevenLabs, and a model that answers at
once: what is measured is Numen, the endpointing of 0.3 s that Deepgram is asked for, and the SDKs. One person talks in
real time. Half of the answers are interrupted by the client's `interrupt`, half by talking into them.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from backend.tests.fixtures_server import NumenServer
from backend.tests.protocol_servers.deepgram_server import DeepgramServer
from backend.tests.protocol_servers.elevenlabs_server import ElevenLabsServer
from backend.tests.protocol_servers.openai_server import OpenAIServer
from backend.tests.protocol_servers.speech_audio import hummed
from backend.tests.temporary_folder import temporary_folder
from backend.tests.voice_caller import VoiceCaller, calling

FIRST_AUDIO_P50, FIRST_AUDIO_P95, SILENCE = 0.6, 1.0, 0.150
SPOKEN = "I would like to sleep better."
ANSWER = (
    "That is a good wish, and many people have it. Tell me what your evenings are like, from supper until the light "
    "goes out. Then we shall find out together what keeps you awake, and what could help."
)
CONTRACT: dict[str, Any] = {
    "name": "VoiceBench",
    "type": "voice",
    "identity": {"short_description": "Somebody to talk to"},
    "configuration": {"voice_enabled": True, "memory_enabled": True},
    "voice": {"provider": "elevenlabs", "voice_id": "calm-female"},
}


@dataclass(slots=True)
class Figures:
    """Seconds: `first_audio` after the end of speech; `silence` after an `interrupt`, or after speech began."""

    first_audio: list[float] = field(default_factory=list[float])
    silence: list[float] = field(default_factory=list[float])
    silence_by_speech: list[float] = field(default_factory=list[float])
    turns: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def held(self) -> bool:
        """Whether everything is as fast as it must be."""
        return (
            quantile(self.first_audio, 0.5) <= FIRST_AUDIO_P50
            and quantile(self.first_audio, 0.95) <= FIRST_AUDIO_P95
            and max(self.silence) <= SILENCE
        )

    def lines(self) -> Iterator[str]:
        """What is printed."""
        yield f"{len(self.first_audio)} spoken turns, one person, model without latency; seconds"
        wanted = f"wanted p50 <= {FIRST_AUDIO_P50}, p95 <= {FIRST_AUDIO_P95}"
        yield f"end of speech -> first audio   {_row(self.first_audio)}   {wanted}"
        yield f"interrupt -> silence           {_row(self.silence)}   wanted max <= {SILENCE}"
        yield f"talking into it -> silence     {_row(self.silence_by_speech)}"
        for stage in ("stt_ms", "llm_first_token_ms", "tts_first_byte_ms", "voice_to_voice_ms"):
            yield f"  {stage:<20} {_row([one[stage] / 1000 for one in self.turns if one[stage] is not None])}"


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def talk(url: str, agent_id: str, turns: int, *, warm_up: int = 1) -> Figures:
    """So many turns, each interrupted after a moment; the first ones, which load things, do not count."""
    figures = Figures()
    async with calling(url, agent_id) as caller:
        caller.say(hummed(SPOKEN))
        for number in range(turns + warm_up):
            counts = number >= warm_up
            await caller.said()
            ended = caller.speech_ended_at
            await caller.event("transcript.final")
            heard = await caller.hears(after=ended)
            await caller.has_played(300)
            silence = await _interrupted(caller, by_speech=number % 2 == 1)
            if number % 2 == 0:
                caller.say(hummed(SPOKEN))
            metrics = await caller.event("turn.metrics")
            if counts:
                figures.first_audio.append(heard - ended)
                (figures.silence_by_speech if number % 2 else figures.silence).append(silence)
                figures.turns.append(metrics)
    return figures


async def _interrupted(caller: VoiceCaller, *, by_speech: bool) -> float:
    """Seconds from the interruption until the client was silent."""
    if by_speech:
        began = time.monotonic()
        caller.say(hummed(SPOKEN))
    else:
        began = await caller.interrupt()
    told = await caller.event("interrupt")
    await asyncio.sleep(0.15)
    after = [at for at in caller.audio_at if at > told["at"]]
    return (after[-1] if after else told["at"]) - began


@contextmanager
def deployment(folder: Path) -> Generator[NumenServer]:
    """A server with its providers around it, all on this machine."""
    with ExitStack() as stack:
        model = stack.enter_context(OpenAIServer())
        voice = stack.enter_context(ElevenLabsServer())
        ears = stack.enter_context(DeepgramServer())
        model.answer(ANSWER)
        ears.hear(SPOKEN)
        server = NumenServer(
            folder,
            OPENAI_API_KEY="sk-bench",
            OPENAI_BASE_URL=model.base_url,
            ELEVENLABS_API_KEY="el-bench",
            ELEVENLABS_BASE_URL=voice.base_url,
            DEEPGRAM_API_KEY="dg-bench",
            DEEPGRAM_BASE_URL=ears.base_url,
            NUMEN_MEMORY_EXTRACTION="false",  # it asks the model for JSON, which this one does not write
        )
        try:
            yield server
        finally:
            server.stop()


def new_agent(server: NumenServer) -> str:
    """The id of an agent that talks."""
    answer = httpx.post(f"{server.url}/api/v1/agents", json=CONTRACT, timeout=30)
    answer.raise_for_status()
    return answer.json()["id"]


def main() -> int:
    """Print the figures; 1 when one is worse than wanted."""
    parser = argparse.ArgumentParser(description="How fast a spoken turn is.")
    parser.add_argument("--turns", type=int, default=50)
    turns = parser.parse_args().turns
    with temporary_folder() as folder, deployment(folder) as server:
        figures = asyncio.run(talk(server.url, new_agent(server), turns))
    print("\n".join(figures.lines()))
    return 0 if figures.held() else 1


def _row(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return f"p50 {quantile(values, 0.5):.3f}  p95 {quantile(values, 0.95):.3f}  max {max(values):.3f}"


if __name__ == "__main__":
    raise SystemExit(main())
