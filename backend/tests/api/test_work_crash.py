"""A server that is killed at random moments while workflows run: no run is lost, and no step has its effect twice.

`make test` kills it a few times, `make test-crash` twenty-five times.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from backend.tests.fixtures_api import eventually
from backend.tests.fixtures_server import NumenServer
from backend.tests.protocol_servers.mcp_server import McpToolServer

KILLS = min(25, int(os.environ.get("NUMEN_TEST_KILLS", "2")))
RUNNING = 4
PATIENCE_SECONDS = 120
LOADING_SECONDS = 8.0
"""How long a server may take until the first step is done in it; then it is killed at some moment of the next."""
LONGEST_WORK = 1.0


def workflow(url: str) -> dict[str, Any]:
    """Thinks, reads, waits, writes down, thinks again; `note` and `slow` say nothing of being repeatable."""
    return {
        "name": "Clerk",
        "type": "workflow",
        "identity": {"short_description": "Writes down what comes in"},
        "configuration": {"tools_enabled": True, "memory_enabled": False, "llm_provider": "offline"},
        "capabilities": {"tools": [{"kind": "mcp", "name": "desk", "url": url, "approval": "never"}]},
        "workflow": {
            "retry_policy": {"max_retries": 3, "backoff_multiplier": 1},
            "steps": [
                {"kind": "prompt", "id": "think", "prompt": "Repeat the input in one sentence."},
                {"kind": "tool", "id": "reckon", "tool": "desk__add", "arguments": {"a": 1, "b": 2}},
                {"kind": "condition", "id": "three", "step": "reckon", "test": "contains", "value": "3",
                 "then": "wait", "otherwise": "end"},
                {"kind": "tool", "id": "wait", "tool": "desk__slow", "arguments": {"seconds": 0.3}},
                {"kind": "tool", "id": "write", "tool": "desk__note", "arguments": {"text": "{{input}}"}},
                {"kind": "tool", "id": "stamp", "tool": "desk__note_once", "arguments": {"text": "stamp {{input}}"}},
                {"kind": "prompt", "id": "close", "prompt": "Say in one sentence what {{write}} means."},
            ],
        },
    }  # fmt: skip


class Clerk:
    """Keeps runs going on whatever server there is, and remembers which were acknowledged."""

    def __init__(self) -> None:
        self.url: str | None = None
        self.acknowledged: dict[str, str] = {}
        self.completed = 0
        self.stopping = False

    async def keep_running(self, agent: str) -> None:
        """One run after the other; a request without an answer is repeated with its key."""
        while not self.stopping:
            text, key = f"letter {uuid4().hex}", uuid4().hex
            run = await self._started(agent, text, key)
            self.acknowledged[run] = text
            found = await self._until(run, {"completed", "failed", "waiting"}, give_up=lambda: self.stopping)
            self.completed += found["status"] == "completed"

    async def call(self, method: str, path: str, **more: Any) -> Any:
        """An answer of the API, from whichever server comes to give it."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            assert time.monotonic() < end, f"no answer to {method} {path}"
            url = self.url
            with contextlib.suppress(httpx.TransportError):
                if url is not None:
                    async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=30) as client:
                        answer = await client.request(method, path, **more)
                    if answer.status_code not in (409, 503):
                        assert answer.is_success, answer.text
                        return answer.json()
            await asyncio.sleep(0.05)

    async def _started(self, agent: str, text: str, key: str) -> str:
        body, headers = {"input": text}, {"idempotency-key": key}
        run: dict[str, Any] = await self.call("POST", f"/agents/{agent}/runs", json=body, headers=headers)
        return run["id"]

    async def _until(self, run: str, wanted: set[str], give_up: Any = lambda: False) -> dict[str, Any]:
        begun = time.monotonic()
        while True:
            found: dict[str, Any] = await self.call("GET", f"/runs/{run}")
            if found["status"] in wanted or give_up():
                return found
            # While it is killed again and again, nobody can say how long a run takes.
            assert not self.stopping or time.monotonic() < begun + PATIENCE_SECONDS, f"run {run} goes on for ever"
            await asyncio.sleep(0.05)

    async def end(self, run: str) -> dict[str, Any]:
        """The run when it has ended; calls that somebody has to be asked about are refused."""
        while True:
            found = await self._until(run, {"completed", "failed", "waiting"})
            if found["status"] != "waiting":
                return found
            for one in found["approvals"]:
                assert "may have had its effect" in one["reason"]
                await self.call("POST", f"/runs/{run}/approvals/{one['call_id']}", json={"approved": False})


async def test_killed_in_the_middle_of_workflows(data_folder: Path, mcp_server: McpToolServer) -> None:
    seed = int.from_bytes(os.urandom(3))
    moments = random.Random(seed)  # noqa: S311 — for moments, not secrets
    clerk = Clerk()
    server = await _live(data_folder, mcp_server, clerk)
    try:
        agent = (await clerk.call("POST", "/agents", json=workflow(mcp_server.url)))["id"]
        working = [asyncio.create_task(clerk.keep_running(agent)) for _ in range(RUNNING)]
        for _ in range(KILLS):
            await _somewhere_in_the_middle(mcp_server, moments)
            clerk.url = None
            await asyncio.to_thread(server.kill, postgres=False)
            server = await _live(data_folder, mcp_server, clerk)
        undisturbed = clerk.completed + 1
        await eventually(lambda: clerk.completed >= undisturbed, PATIENCE_SECONDS)
        clerk.stopping = True
        await asyncio.gather(*working)
        ended = {run: await clerk.end(run) for run in clerk.acknowledged}
        steps = {run: await clerk.call("GET", f"/runs/{run}/steps") for run in clerk.acknowledged}
        assert await asyncio.to_thread(server.stop) == 0
    except BaseException:
        await asyncio.to_thread(server.kill)
        raise
    _nothing_twice(clerk, ended, steps, mcp_server, f"(seed {seed}, {len(ended)} runs)")


async def _somewhere_in_the_middle(mcp_server: McpToolServer, moments: random.Random) -> None:
    """Mostly while steps are being done, now and then before any is."""
    begun, end = len(mcp_server.calls), time.monotonic() + LOADING_SECONDS
    if moments.random() < 0.8:
        while len(mcp_server.calls) == begun and time.monotonic() < end:  # noqa: ASYNC110 — another thread counts
            await asyncio.sleep(0.01)
    await asyncio.sleep(moments.uniform(0, LONGEST_WORK))


async def _live(folder: Path, mcp_server: McpToolServer, clerk: Clerk) -> NumenServer:
    settings = {"NUMEN_TOOL_PRIVATE_HOSTS": mcp_server.private_host, "NUMEN_LLM_PROVIDER": "offline"}
    server = await asyncio.to_thread(lambda: NumenServer(folder, **settings))
    clerk.url = server.url
    return server


def _nothing_twice(
    clerk: Clerk, ended: dict[str, Any], steps: dict[str, Any], mcp_server: McpToolServer, told: str
) -> None:
    assert len(ended) >= RUNNING, told
    noted = Counter(mcp_server.notes)
    assert not [text for text, times in noted.items() if times > 1], told
    assert set(mcp_server.effects.values()) <= {1}, told
    for run, found in ended.items():
        text, done = clerk.acknowledged[run], {one["step"] for one in steps[run] if one["status"] == "completed"}
        if found["status"] == "completed":
            assert (noted[text], noted[f"stamp {text}"]) == (1, 1), f"{run} {told}"
            assert {"think", "reckon", "three", "wait", "write", "stamp", "close"} == done, f"{run} {told}"
        else:  # somebody was asked about a call that was in the middle, and refused it
            assert "denied" in {one["status"] for one in steps[run]}, f"{found} {told}"
        assert [one["ordinal"] for one in steps[run]] == list(range(1, len(steps[run]) + 1)), told
    assert any(found["status"] == "completed" for found in ended.values()), told
