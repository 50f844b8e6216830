"""The client's end of a conversation, as the voice session sees it; the router has the real one."""

from __future__ import annotations

from typing import Protocol

from backend.models.voice_frames import ClientFrame, ServerFrame


class SocketGone(Exception):
    """No error: the client has closed, or cannot be reached any more."""


class VoiceSocket(Protocol):
    """One client. Errors, of all: `SocketGone`. Several tasks may send at once; frames stay whole."""

    async def receive(self) -> bytes | ClientFrame:
        """The next frame: audio (PCM16, whole samples), or a control frame.

        Errors: `BadFrame` for what is neither.
        """
        ...

    async def tell(self, frame: ServerFrame) -> None:
        """Send an event."""
        ...

    async def play(self, pcm: bytes) -> None:
        """Send audio."""
        ...
