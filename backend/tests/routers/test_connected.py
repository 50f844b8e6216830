"""The client's end of a conversation: frames in order, one sender at a time, and nobody after the end."""

from __future__ import annotations

import asyncio
import socket as plain

import pytest
from fastapi import APIRouter, WebSocket
from starlette.types import Message

from backend.models.voice_frames import AudioStart, Interrupt, Stop
from backend.routers.connected import Connected
from backend.services.voice.voice_socket import SocketGone
from backend.tests.fair_time import fair_timeout
from backend.tests.fake_socket import fake_socket
from backend.tests.fixtures_api import eventually
from backend.tests.raw_socket import handshake
from backend.tests.routers.small_app import served, small_app


async def test_frames_come_in_order() -> None:
    client = Connected(
        fake_socket(
            {"type": "websocket.receive", "bytes": b"ab"},
            {"type": "websocket.receive", "text": '{"type": "stop"}'},
            {"type": "websocket.receive", "text": '{"type": "interrupt"}'},
            {"type": "websocket.disconnect", "code": 1000},
        )
    )
    await client.accept(None)
    assert [await client.receive() for _ in range(3)] == [b"ab", Stop(type="stop"), Interrupt(type="interrupt")]
    with pytest.raises(SocketGone):
        await client.receive()


async def test_one_sends_at_a_time() -> None:
    at_once, most = 0, 0

    async def slow(_: Message) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.002)
        at_once -= 1

    client = Connected(fake_socket(send=slow))
    await client.accept(None)
    await asyncio.gather(*(client.play(bytes(640)) for _ in range(20)), client.tell(AudioStart(turn=1)))
    assert most == 1


async def test_after_the_close_there_is_nobody() -> None:
    sent: list[Message] = []

    async def keep(message: Message) -> None:
        sent.append(message)

    client = Connected(fake_socket({"type": "websocket.receive", "bytes": b"ab"}, send=keep))
    await client.accept("numen.voice.v1")
    await client.close(1000)
    await client.close(1011)
    for what in (client.receive(), client.play(b"ab"), client.tell(AudioStart(turn=1))):
        with pytest.raises(SocketGone):
            await what
    assert [one["type"] for one in sent] == ["websocket.accept", "websocket.close"]


async def test_a_client_that_does_not_read_is_given_up() -> None:
    router = APIRouter()
    gone: list[str] = []

    @router.websocket("/plays")
    async def play(socket: WebSocket) -> None:
        client = Connected(socket, send_seconds=0.3)
        await client.accept(None)

        async def speak(who: str) -> None:
            try:
                while True:
                    await client.play(bytes(60_000))
            except SocketGone:
                gone.append(who)

        await asyncio.gather(speak("one"), speak("another"))

    deaf = plain.socket()
    deaf.setsockopt(plain.SOL_SOCKET, plain.SO_RCVBUF, 4096)
    deaf.setblocking(False)
    loop = asyncio.get_running_loop()
    async with served(small_app(router)) as wire:
        await loop.sock_connect(deaf, ("127.0.0.1", wire.port))
        await loop.sock_sendall(deaf, handshake("/api/plays"))
        async with fair_timeout(3):
            await eventually(lambda: len(gone) == 2)
        await eventually(lambda: wire.connections() == 0)
        async with asyncio.timeout(30):
            while await loop.sock_recv(deaf, 1_000_000):
                pass  # what the kernel had; then it is the end
    deaf.close()
    assert set(gone) == {"one", "another"}
