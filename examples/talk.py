"""Talk with an agent over its WebSocket, and break in. Needs `websockets`, which Numen is installed with.

    python examples/talk.py "IntakeAgent - Manifestation Coach" "Hello, who are you?"

What is said is typed here, as a person does who has no microphone; what is heard goes to answer.wav, as if it were
played. Each answer is interrupted after a moment: what is stored of it is what was heard.
NUMEN_URL says where the server is, NUMEN_API_KEY who you are (not needed in development mode).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import wave
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

from websockets.asyncio.client import ClientConnection, connect

URL = os.environ.get("NUMEN_URL", "http://127.0.0.1:8000")
KEY = os.environ.get("NUMEN_API_KEY")
BYTES_A_MS = 32  # PCM16, mono, 16 kHz


def agent_named(name: str) -> dict[str, Any]:
    """The first agent whose name holds this; an error status is raised as `urllib.error.HTTPError`."""
    request = Request(f"{URL}/api/v1/agents?q={quote(name)}&limit=1")  # noqa: S310 — the address is yours
    if KEY:
        request.add_header("authorization", f"Bearer {KEY}")
    with urlopen(request) as answer:  # noqa: S310 — the address is yours
        return json.load(answer)[0]


async def turn(socket: ClientConnection, message: str, *, listen_ms: int) -> bytes:
    """Say something and listen so long. The audio that was heard."""
    print(f"you: {message}")
    await socket.send(json.dumps({"type": "text", "message": message}))
    heard, enough = b"", listen_ms * BYTES_A_MS
    async for frame in socket:
        if isinstance(frame, bytes):
            if len(heard) < enough:  # what comes after the interruption is on its way already, and never played
                heard = (heard + frame)[:enough]
                if len(heard) == enough:
                    await socket.send(json.dumps({"type": "interrupt"}))
            continue
        event = json.loads(frame)
        if event["type"] == "interrupt" or event["type"] == "audio.end":  # nothing more is played: say how much was
            await played(socket, event["turn"], heard)
        elif event["type"] == "message.completed":
            how = "was interrupted after" if event["data"]["metadata"]["voice"]["interrupted"] else "said"
            print(f"agent: {event['data']['response']}")
            print(f"({how} {len(heard) // BYTES_A_MS} ms)")
        elif event["type"] in ("error", "run.failed"):
            print(f"error: {event}")
        elif event["type"] == "turn.metrics":
            break
    return heard


async def played(socket: ClientConnection, number: int, heard: bytes) -> None:
    """Tell that this came out of the loudspeaker."""
    await socket.send(json.dumps({"type": "played", "turn": number, "ms": len(heard) // BYTES_A_MS}))


async def main(name: str = "IntakeAgent - Manifestation Coach", message: str = "Hello, who are you?") -> None:
    """Two turns."""
    agent = agent_named(name)
    address = f"ws{URL.removeprefix('http')}/api/v1/agents/{agent['id']}/voice"
    async with connect(address, subprotocols=["numen.voice.v1"], compression=None) as socket:  # type: ignore[list-item]
        await socket.send(json.dumps({"type": "start", **({"token": KEY} if KEY else {})}))
        ready = json.loads(await socket.recv())
        if ready["type"] != "ready":
            raise SystemExit(f"not let in: {ready}")
        print(f"{ready['name']} speaks by {ready['speaks']['provider']}. {ready['speaks']['note']}")
        heard = await turn(socket, message, listen_ms=1000)
        heard += await turn(socket, "And what do we do here?", listen_ms=2000)
    with wave.open("answer.wav", "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(heard)
    print(f"answer.wav: {len(heard) / BYTES_A_MS / 1000:.1f} seconds")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
