"""What the servers of voices and ears share: a thread, connections, recorded requests, and things to do wrong.

What goes wrong on every wire is in `openai_faults.py`; a provider's own refusals are in its server.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from backend.tests.protocol_servers.openai_faults import FAULTS, Exchange

ON_EVERY_WIRE = (
    "reset", "hang_up", "slow_headers", "redirect", "html", "html_as_json", "empty_body", "truncated_json", "json_list",
    "json_null", "deep_json", "bad_http", "late_bad_chunks", "gigantic_error", "compressed", "short_body",
)  # fmt: skip

Wrong = Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """One request as it came: header names in lower case, the query's parameters, the body's bytes."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        """The body, where it is a JSON object."""
        return json.loads(self.raw) if self.raw else {}


@dataclass(slots=True)
class _Fault:
    kind: str
    times: int | None
    options: dict[str, Any] = field(default_factory=dict[str, Any])


class SpeechServer:
    """Use as `with …Server() as server`, or by a fixture. Subclasses answer in `respond` and refuse by `wrongs`."""

    wrongs: Mapping[str, Wrong] = {}
    """What this provider can do wrong beside the common things, by its name."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=type(self).__name__, daemon=True)
        self._listener: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._port = 0
        self.set_defaults()

    def set_defaults(self) -> None:
        """Forget what was recorded and scripted."""
        self.requests: list[SpeechRequest] = []
        self._faults: list[_Fault] = []

    async def respond(self, request: SpeechRequest, exchange: Exchange) -> None:
        """Answer one request."""
        raise NotImplementedError

    @property
    def base_url(self) -> str:
        """The address to give a client."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def open_connections(self) -> int:
        """How many clients are connected now."""
        return len(self._connections)

    def fault(self, kind: str, *, times: int | None = None, **options: Any) -> None:
        """Do this wrong for the next `times` requests, or until `reset()`; `dead` lets nobody connect."""
        if kind == "dead":
            self._run(self._stop_listening())
            return
        if kind not in self.wrongs and kind not in ON_EVERY_WIRE:
            raise ValueError(f"unknown fault {kind}")
        self._faults.append(_Fault(kind, times, options))

    def reset(self) -> None:
        """Forget requests and scripts, let go of hanging connections, and be alive again."""
        self._run(self._hang_up())
        self.set_defaults()
        if self._listener is None:
            self._run(self._listen())

    def wait_for_requests(self, count: int, seconds: float = 5.0) -> None:
        """Block until this many requests have come. Errors: `TimeoutError`."""
        self._wait(lambda: len(self.requests) >= count, f"{count} requests", seconds)

    def wait_until_alone(self, seconds: float = 5.0) -> None:
        """Block until no client is connected. Errors: `TimeoutError`."""
        self._wait(lambda: not self._connections, "all clients to go", seconds)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._stop_listening())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @staticmethod
    def _wait(done: Callable[[], bool], what: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                raise TimeoutError(f"waited in vain for {what}")
            time.sleep(0.005)

    def _run(self, work: Any) -> None:
        future: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.result(timeout=10)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", self._port, limit=2**20, backlog=512)
        self._port = self._listener.sockets[0].getsockname()[1]

    async def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        await self._hang_up()

    async def _hang_up(self) -> None:
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._one_request(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            writer.close()
            self._connections.discard(task)

    async def _one_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        parts = urlsplit(target)
        request = SpeechRequest(method, parts.path, dict(parse_qsl(parts.query)), headers, raw)
        self.requests.append(request)
        exchange = Exchange(reader, writer, request.path, {})
        wrong = self._next_fault()
        if wrong is None:
            await self.respond(request, exchange)
        elif wrong.kind in self.wrongs:
            await self.wrongs[wrong.kind](exchange, **wrong.options)
        else:
            await FAULTS[wrong.kind](exchange, **wrong.options)  # type: ignore[index] — looked at in `fault`
        return exchange.keep_alive

    def _next_fault(self) -> _Fault | None:
        while self._faults:
            fault = self._faults[0]
            if fault.times is None:
                return fault
            if fault.times > 0:
                fault.times -= 1
                return fault
            self._faults.pop(0)
        return None
