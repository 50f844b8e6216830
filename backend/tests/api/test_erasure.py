"""A person in every store of a running server, erased; the server killed in the middle; and no byte of them left.

`make test-crash` kills it again and again (NUMEN_TEST_KILLS), at every step and at any moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest

from backend.models.tenant import DEFAULT_TENANT_ID
from backend.tests.api.test_crash import Mortal, rows_of
from backend.tests.fixtures_api import Api
from backend.tests.person_everywhere import plant_person
from backend.tests.protocol_servers.openai_server import OpenAIServer

if TYPE_CHECKING:
    pass

STEPS = ("index", "files", "certificate")
KILLS = int(os.environ.get("NUMEN_TEST_KILLS", "2"))
POWER_CUTS = 2
PATIENCE_SECONDS = 120


def holding(folder: Path, *words: str) -> list[str]:
    """The files below this folder that hold one of these words: as they are, as JSON escapes them, or as UTF-16."""
    sought = [form for one in words for form in (one.encode(), json.dumps(one)[1:-1].encode(), one.encode("utf-16-le"))]
    while True:  # a server that works meanwhile moves files: what may have been missed is looked through again
        with contextlib.suppress(FileNotFoundError):
            files = [path for path in folder.rglob("*") if path.is_file()]
            return sorted(
                path.relative_to(folder).as_posix() for path in files if any(one in path.read_bytes() for one in sought)
            )


async def counts_of(ask: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, int]:
    """What was removed from each store, as soon as there is a certificate, in which nothing may be found after."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        found = await ask()
        while found["status"] == "pending":
            await asyncio.sleep(0.02)
            found = await ask()
    stores = found["certificate"]["stores"]
    assert all(one["found_after"] == 0 for one in stores), stores
    return {one["store"]: one["removed"] for one in stores}


class Estate:
    """The data folder of a mortal server, seen from the API and from below."""

    def __init__(self, mortal: Mortal, folder: Path) -> None:
        self.mortal = mortal
        self.folder = folder
        self.http = httpx.AsyncClient(timeout=PATIENCE_SECONDS, trust_env=False)

    async def ok(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        url = f"{self.mortal.server.url}/api/v1{path}"
        answer = await self.http.request(
            method, url, json=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    async def live(self, words: str) -> str:
        """Somebody whose every word is this: through the API where it takes words, in the tables where it does not.

        The tables' files hold them.
        """
        agent = (await self.ok("GET", "/agents", None))[0]["id"]
        me = await self.ok("GET", "/me", numen_user=words)
        said = await self.ok(
            "POST", f"/agents/{agent}/chat", {"message": f"My name is {words}.", "metadata": {"from": words}},
            numen_user=words, idempotency_key=f"key-{words.encode().hex()}",
        )  # fmt: skip
        thread = said["thread_id"]
        await self.ok("PATCH", f"/threads/{thread}", {"title": words}, numen_user=words)
        message = f"/threads/{thread}/messages/{said['message_id']}/feedback"
        await self.ok("PUT", message, {"score": 1, "reason": words}, numen_user=words)
        about = {"text": f"Likes {words} a lot.", "user_id": me["user_id"], "kind": "fact"}
        memory = await self.ok("POST", f"/agents/{agent}/memories", about, idempotency_key=f"m-{me['user_id']}")
        memory = await self.ok("PATCH", f"/memories/{memory['id']}", {"text": f"Loves {words}."})
        asked = {"message": f"What do you know of {words}?", "thread_id": thread}
        await self.ok("POST", f"/agents/{agent}/chat", asked, numen_user=words)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while memory["indexed_at"] is None:
                await asyncio.sleep(0.02)
                memory = await self.ok("GET", f"/memories/{memory['id']}")
        async with rows_of(self.folder / "data") as rows:
            await rows.execute("UPDATE users SET email = $1 WHERE id = $2", f"{words}@example.org", UUID(me["user_id"]))
            await rows.execute("ANALYZE")
            await rows.execute("CHECKPOINT")
        return me["user_id"]

    async def plant(self, words: str) -> str:
        """Somebody in every column that there is; the log of writes holds them."""
        agent = UUID((await self.ok("GET", "/agents", None))[0]["id"])
        async with rows_of(self.folder / "data") as rows:
            planted = await plant_person(rows, DEFAULT_TENANT_ID, agent, words, turns=20)
        return str(planted.user_id)

    async def erase(self, user_id: str) -> dict[str, Any]:
        return await self.ok("DELETE", f"/users/{user_id}/data")

    async def certificate(self, erasure_id: str) -> dict[str, int]:
        """What was removed from each store, as soon as there is a certificate."""
        return await counts_of(lambda: self.ok("GET", f"/erasures/{erasure_id}"))

    def wait_for_step(self, erasure_id: str, step: str) -> None:
        """Until the server says that it takes this step."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not any(
            erasure_id in line and f'"step":"{step}"' in line.replace(": ", ":")
            for line in self.mortal.server.log.splitlines()
        ):
            assert time.monotonic() < give_up, f"step {step} is not taken: {self.mortal.server.log[-2000:]}"
            time.sleep(0.001)


@pytest.fixture
async def estate(data_folder: Path, openai_server: OpenAIServer) -> AsyncGenerator[Estate]:
    mortal = Mortal(data_folder, openai_server)
    await mortal.start()
    estate = Estate(mortal, data_folder)
    try:
        yield estate
        assert await asyncio.to_thread(mortal.server.stop) == 0
    except BaseException:
        await mortal.die(postgres=True)
        raise
    finally:
        await estate.http.aclose()


async def test_no_byte_is_left_whenever_the_server_is_killed(estate: Estate) -> None:
    chance = random.Random(os.urandom(4))  # noqa: S311 — for moments, not secrets
    first = chance.randrange(len(STEPS))
    for number in range(KILLS):
        step, words = STEPS[(first + number) % len(STEPS)], f"Quillfeather-{number}-{chance.getrandbits(40):x}-Zoë"
        people = [await estate.live(words.replace("ë", "e")), await estate.plant(f"{words}-planted")]
        known = (words, words.replace("ë", "e"))
        before = holding(estate.folder, *known)
        assert any("/base/" in one for one in before), before
        assert any("/pg_wal/" in one for one in before), before
        assert holding(estate.folder / "data" / "index", people[0])
        erasures = [await estate.erase(one) for one in people]
        await asyncio.to_thread(estate.wait_for_step, erasures[0]["id"], step)
        await asyncio.sleep(chance.choice([0, 0, chance.uniform(0, 0.3)]))
        await estate.mortal.die(postgres=number % POWER_CUTS == 0)
        await estate.mortal.start()
        lived, planted = [await estate.certificate(one["id"]) for one in erasures]
        assert holding(estate.folder, *known) == [], (step, number)
        assert holding(estate.folder / "data" / "index", *people) == [], (step, number)
        assert (planted["thread_messages"], planted["memories"], planted["runs"]) == (80, 21, 40), planted
        assert lived["thread_messages"] == 4, lived
        assert lived["search_index"] >= 1, lived
        assert lived["users"] == planted["users"] == 1
        again = await estate.ok("GET", "/me", numen_user=known[1])
        assert again["user_id"] != people[0]
        await estate.erase(again["user_id"])


async def test_others_are_answered_while_the_files_are_written_anew(estate: Estate) -> None:
    """Everybody waits for short moments only; so does who writes to the very tables."""
    person = await estate.plant("Quillfeather-4711")
    agent = (await estate.ok("GET", "/agents", None))[0]["id"]

    async def chat() -> None:
        await estate.ok("POST", f"/agents/{agent}/chat", {"message": "Hello"}, numen_user="somebody")

    await chat()  # the first one waits for the embedder to be loaded, not for us
    erasure = await estate.erase(person)
    longest = 0.0
    finished = asyncio.create_task(estate.certificate(erasure["id"]))
    while not finished.done():
        begun = time.perf_counter()
        await chat()
        longest = max(longest, time.perf_counter() - begun)
    await finished
    assert longest < 3, f"somebody waited for {longest:.1f} s"
    assert holding(estate.folder, "Quillfeather-4711") == []


# --- over HTTP ---


async def test_the_answer_says_where_the_certificate_will_be(api: Api) -> None:
    owner = await api.owner()
    person = await api.colleague(owner, "member")
    agent = await owner.make_agent()
    await api.said(person.caller, UUID(agent["id"]), "Hello")
    url = f"/api/v1/users/{person.caller.user_id}/data"
    answer = await owner.http.delete(url)
    assert answer.status_code == 202
    erasure = answer.json()
    assert answer.headers["location"] == f"/api/v1/erasures/{erasure['id']}"
    assert (erasure["status"], erasure["certificate"]) == ("pending", None)
    assert (await person.http.get("/api/v1/me")).status_code == 401
    removed = await counts_of(lambda: owner.ok("DELETE", url))  # repeating it tells how far it is
    again = await owner.http.delete(url)
    assert again.status_code == 200
    assert again.json() == await owner.ok("GET", answer.headers["location"])
    assert (removed["users"], removed["threads"], removed["thread_messages"]) == (1, 1, 2)
    assert "database_files" not in removed  # this database is not in a data folder of ours


async def test_a_member_reads_of_their_own_erasures_only(api: Api) -> None:
    owner = await api.owner()
    one, other = [await api.colleague(owner, "member") for _ in range(2)]
    erasure = await one.ok("DELETE", f"/api/v1/users/{one.caller.user_id}/data")
    place = f"/api/v1/erasures/{erasure['id']}"
    assert (await other.http.get(place)).status_code == 404
    assert (await owner.http.get(place)).status_code == 200
    assert (await other.http.delete(f"/api/v1/users/{owner.caller.user_id}/data")).status_code == 404
    assert (await owner.http.delete(f"/api/v1/users/{owner.caller.user_id}/data")).status_code == 409


async def test_a_turn_in_the_middle_is_stopped_and_stored_nowhere(api: Api, openai_server: OpenAIServer) -> None:
    openai_server.fault("slow_total", times=1)  # drips until it is let go
    owner = await api.owner()
    agent = await owner.make_agent()
    person = {"numen-user": "customer-1"}
    user_id = (await owner.ok("GET", "/api/v1/me", headers=person))["user_id"]
    chat = f"/api/v1/agents/{agent['id']}/chat"
    talking = asyncio.create_task(owner.http.post(chat, json={"message": "Tell me"}, headers=person))
    await asyncio.to_thread(openai_server.wait_for_calls, 1)
    erasure = await owner.ok("DELETE", f"/api/v1/users/{user_id}/data")
    answer = await talking
    assert answer.status_code == 503, answer.text
    removed = await counts_of(lambda: owner.ok("GET", f"/api/v1/erasures/{erasure['id']}"))
    assert (removed["server_memory"], removed["thread_messages"]) == (1, 1)
    assert await owner.ok("GET", f"/api/v1/agents/{agent['id']}/threads") == []
