"""What a call to a model costs this process in CPU time, by the SDK's ways to make it: `python -m` this module.

The server runs in a process of its own, so that only the client is measured.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any

import openai
import uvloop
from openai.types.chat import ChatCompletionUserMessageParam

from backend.tests.gateways.model_requests import FAIR, model, request, streamed
from backend.tests.protocol_servers.openai_server import OpenAIServer

SECONDS, AT_ONCE = 2.0, 16
SAID = ["q" * 80] * 21
MESSAGES: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": text} for text in SAID]
BODY: dict[str, Any] = {"model": "m", "messages": MESSAGES}


def serve(channel: Connection) -> None:
    """Serve until told to stop."""
    with OpenAIServer() as server:
        channel.send(server.base_url)
        channel.recv()


async def measure(name: str, call: Callable[[], Awaitable[object]]) -> None:
    """Print the CPU milliseconds of one call while many run at once."""
    end, calls, before = time.perf_counter() + SECONDS, 0, time.process_time()

    async def work() -> None:
        nonlocal calls
        while time.perf_counter() < end:
            await call()
            calls += 1

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    sys.stdout.write(f"{name:32} {(time.process_time() - before) * 1000 / calls:6.2f} ms\n")


async def compare(base_url: str) -> None:
    """Measure the typed methods, the request methods on both transports, and the gateway over them."""
    plain = openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0)
    fast = openai.AsyncOpenAI(
        base_url=base_url, api_key="none", max_retries=0, http_client=openai.DefaultAioHttpClient()
    )
    gateway = model(base_url, FAIR)
    asked = request(*SAID)

    async def typed(client: openai.AsyncOpenAI) -> object:
        return await client.chat.completions.create(model="m", messages=MESSAGES)

    async def typed_stream() -> None:
        async for _ in await plain.chat.completions.create(model="m", messages=MESSAGES, stream=True):
            pass

    def post(client: openai.AsyncOpenAI) -> Awaitable[object]:
        return client.post("/chat/completions", cast_to=object, body=BODY)

    await measure("typed create", lambda: typed(plain))
    await measure("request method", lambda: post(plain))
    await measure("request method, aiohttp", lambda: post(fast))
    await measure("gateway, whole", lambda: gateway.complete(asked))
    await measure("typed create, streamed", typed_stream)
    await measure("gateway, streamed", lambda: streamed(gateway, asked))
    await gateway.close()
    await fast.close()
    await plain.close()


def main() -> None:
    """Start the server's process and compare."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    server.start()
    uvloop.run(compare(ours.recv()))
    ours.send("stop")
    server.join()


if __name__ == "__main__":
    main()
