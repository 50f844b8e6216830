"""A server that speaks without an end, to be killed: it prints the pids of its children when both have spoken."""

from __future__ import annotations

import asyncio
import sys

import psutil

from backend.gateways.local_voice import LocalVoice
from backend.models.voice import VoiceSettings


async def main() -> None:
    """Two callers, until somebody kills us."""
    local = LocalVoice()
    spoken = asyncio.Event()
    text = "Breathe in slowly, and feel how the air moves. " * 2000

    async def caller() -> None:
        while True:
            async for _ in local.speak(text, VoiceSettings(provider="local", voice_id="en-us")):
                if len(psutil.Process().children()) == 2:
                    spoken.set()

    callers = [asyncio.create_task(caller()) for _ in range(2)]
    await spoken.wait()
    sys.stdout.write(" ".join(str(child.pid) for child in psutil.Process().children()) + "\n")
    sys.stdout.flush()
    await asyncio.gather(*callers)


if __name__ == "__main__":
    asyncio.run(main())
