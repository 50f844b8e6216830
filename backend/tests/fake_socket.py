"""A WebSocket without a wire."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Send
from starlette.websockets import WebSocket


def fake_socket(*messages: Message, send: Send | None = None) -> WebSocket:
    """A socket that has got these messages, and then silence."""
    waiting: list[Message] = [{"type": "websocket.connect"}, *messages]

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def ignore(_: Message) -> None:
        pass

    return WebSocket({"type": "websocket", "state": {}}, receive, send or ignore)
