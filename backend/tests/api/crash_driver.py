"""People who use a server that keeps dying: they repeat what was not answered, and remember what was."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

PATIENCE_SECONDS = 120


class NotNow(Exception):
    """An answer that is none yet; its code."""


class Address:
    """Where the server is at the moment, if it is."""

    def __init__(self) -> None:
        self._url: str | None = None
        self._up = asyncio.Event()

    def moved(self, url: str | None) -> None:
        """The server is here now, or gone."""
        self._url = url
        if url is None:
            self._up.clear()
        else:
            self._up.set()

    async def url(self) -> str:
        """The address, as soon as there is one."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._up.wait()
        assert self._url is not None
        return self._url


@dataclass(slots=True)
class Agent:
    """What was acknowledged of an agent: its versions, and the value of the trait that is changed."""

    id: str
    name: str
    humor: int = 30
    versions: list[str] = field(default_factory=lambda: ["1.0.0"])
    archived: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """One acknowledged turn."""

    thread_id: str
    message: str
    response: str
    message_id: str
    run_id: str


@dataclass(slots=True)
class Memory:
    """Everything that somebody was told had happened."""

    agents: list[Agent] = field(default_factory=list[Agent])
    turns: list[Turn] = field(default_factory=list[Turn])
    repeats: int = 0
    """Requests that had to be sent again, because the server died or was not there."""


class Person:
    """Works with agents and a thread of their own, until told to stop; then finishes what they began."""

    def __init__(self, address: Address, memory: Memory, number: int, chance: random.Random) -> None:
        self._address = address
        self._memory = memory
        self._number = number
        self._chance = chance
        self._http = httpx.AsyncClient(timeout=PATIENCE_SECONDS, trust_env=False)
        self._mine: list[Agent] = []
        self._threads: dict[str, str] = {}
        self._done = 0

    async def work(self, stop: asyncio.Event) -> None:
        """Create, change, talk and archive, one after the other."""
        async with self._http:
            await self._create()
            doings: list[Callable[[], Awaitable[None]]] = [self._create, self._change, self._change, self._archive]
            doings += [self._talk] * 4 + [self._listen] * 4
            while not stop.is_set():
                self._done += 1
                await self._chance.choice(doings)()

    async def _create(self) -> None:
        name = f"Agent {self._number}-{self._done}"
        provider = self._chance.choice(["offline", "local"])
        body = {
            "name": name,
            "identity": {"short_description": "Made while the server dies"},
            "configuration": {"llm_provider": provider},
        }
        made = await self._until_answered("POST", "/api/v1/agents", body, 201)
        agent = Agent(made["id"], name)
        self._mine.append(agent)
        self._memory.agents.append(agent)

    async def _change(self) -> None:
        agent = self._an_agent()
        humor = (agent.humor + self._chance.randint(1, 99)) % 101
        changed = await self._until_answered("PATCH", f"/api/v1/agents/{agent.id}", {"traits": {"humor": humor}}, 200)
        agent.humor = humor
        agent.versions.append(changed["version"])

    async def _archive(self) -> None:
        if len(self._mine) < 3:
            return
        agent = self._mine.pop(0)
        await self._until_answered("DELETE", f"/api/v1/agents/{agent.id}", None, 204)
        agent.archived = True

    async def _talk(self) -> None:
        agent, body = self._something_to_say()
        reply = await self._until_answered("POST", f"/api/v1/agents/{agent.id}/chat", body, 200)
        self._remember(agent, body["message"], reply)

    async def _listen(self) -> None:
        agent, body = self._something_to_say()
        url = f"/api/v1/agents/{agent.id}/chat/stream"
        self._remember(agent, body["message"], await self._until_answered("POST", url, body, 200, streamed=True))

    def _an_agent(self) -> Agent:
        return self._chance.choice(self._mine)

    def _something_to_say(self) -> tuple[Agent, dict[str, Any]]:
        agent = self._an_agent()
        body: dict[str, Any] = {"message": f"Word {self._number}-{self._done}"}
        if agent.id in self._threads:
            body["thread_id"] = self._threads[agent.id]
        return agent, body

    def _remember(self, agent: Agent, message: str, reply: dict[str, Any]) -> None:
        self._threads[agent.id] = reply["thread_id"]
        run_id = reply["metadata"]["run_id"]
        self._memory.turns.append(Turn(reply["thread_id"], message, reply["response"], reply["message_id"], run_id))

    async def _until_answered(
        self, method: str, path: str, body: Any, status: int, *, streamed: bool = False
    ) -> dict[str, Any]:
        """Send the same request under the same key until it is answered; whatever else is said must be temporary."""
        headers = {"idempotency-key": str(uuid4())}
        excuses: Counter[str] = Counter()
        give_up = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < give_up:
            url = await self._address.url() + path
            try:
                if streamed:
                    return await self._last_event(url, body, headers)
                return _told(await self._http.request(method, url, json=body, headers=headers), status)
            except httpx.TransportError as error:  # the server has just died
                excuses[type(error).__name__] += 1
            except NotNow as error:
                excuses[str(error)] += 1
            self._memory.repeats += 1
            await asyncio.sleep(0.02)
        raise AssertionError(f"{method} {path} was never answered: {excuses}")

    async def _last_event(self, url: str, body: Any, headers: dict[str, str]) -> dict[str, Any]:
        last = ""
        async with self._http.stream("POST", url, json=body, headers=headers) as answer:
            if answer.status_code != 200:
                await answer.aread()
                return _told(answer, 200)
            async for line in answer.aiter_lines():
                last = line or last
        kind, _, data = last.partition(": ")
        told: dict[str, Any] = json.loads(data) if kind == "data" else {"code": "cut off"}
        if "response" not in told:
            raise NotNow(str(told.get("code", "cut off")))
        return told


def _told(answer: httpx.Response, status: int) -> dict[str, Any]:
    if answer.status_code == status:
        return answer.json() if answer.content else {}
    code: str = answer.json()["code"]
    temporary = answer.status_code == 503 or code == "request-in-progress"
    assert temporary, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
    raise NotNow(code)
