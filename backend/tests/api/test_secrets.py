"""Secrets and what people say: through everything at log level debug, and nowhere to be read but where they belong."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from pydantic import SecretStr

from backend.models.tenant import ApiKeyCreate
from backend.settings import NamedProvider
from backend.telemetry import configure_logging
from backend.tests.api.event_reader import all_events
from backend.tests.fixtures_api import Api, Person, api_settings, borrowed, serving
from backend.tests.protocol_servers.openai_server import OpenAIServer

if TYPE_CHECKING:
    from asyncpg import Connection

SETTINGS = {
    "bootstrap key": "canary-bootstrap-0123456789-0123456789",
    "OpenAI key": "sk-canary-openai-0123456789",
    "provider's key": "canary-provider-0123456789",
    "JWT secret": "canary-jwt-secret-0123456789-0123456789",
    "database password": "canary-database-0123456789",
}
SENT = {
    "unknown key": "numen_sk_canaryunknown_0123456789",
    "token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.canarysignature",
    "password": "Y2FuYXJ5LW5hbWU6Y2FuYXJ5LXBhc3M=",
    "cookie": "canary-cookie-0123456789",
    "other key header": "canary-header-0123456789",
}
SAID = {
    "message": "canary message about my mother",
    "streamed message": "canary message about my father",
    "failed message": "canary message about my sister",
    "metadata": "canary-metadata-4711",
    "title": "canary title of a thread",
    "reason": "canary reason of a feedback",
    "answer": "canary answer of the model",
    "prompt": "canary persona of the agent",
    "search": "canary-search-words",
    "person": "canary-customer-4711",
    "refused value": "canary-refused-value",
    "fault": "sk-test-canary-000",
}
"""What the provider says of a bad key is in the last one; see `openai_faults.py`."""


@dataclass(slots=True)
class Told:
    """Everything that the server told anybody."""

    problems: list[str] = field(default_factory=list[str])

    async def keep(self, answer: httpx.Response) -> httpx.Response:
        if answer.status_code >= 400:
            self.problems.append(f"{answer.headers} {(await answer.aread()).decode()}")
        return answer


@pytest.fixture
def debug_logs() -> Generator[None]:
    configure_logging("debug", "json")
    yield
    configure_logging("warning", "json")


@pytest.fixture
async def talkative(
    debug_logs: None, database_url: str, openai_server: OpenAIServer, tmp_path: Path
) -> AsyncGenerator[Api]:
    """An application that logs all it can, and all of whose settings are canaries."""
    url = database_url.replace("postgres@", f"postgres:{SETTINGS['database password']}@")
    assert SETTINGS["database password"] in url
    settings = api_settings(
        url,
        tmp_path,
        bootstrap_key=SecretStr(SETTINGS["bootstrap key"]),
        openai_api_key=SecretStr(SETTINGS["OpenAI key"]),
        openai_base_url=openai_server.base_url,
        llm_providers={
            "local": NamedProvider(base_url=openai_server.base_url, api_key=SecretStr(SETTINGS["provider's key"]))
        },
        jwt_secret=SecretStr(SETTINGS["JWT secret"]),
        jwt_issuer="https://id.example.org",
        jwt_audience="numen",
        llm_total_seconds=5,
        log_level="debug",
    )
    async with serving(settings) as served, borrowed(served, openai_server):
        yield served


async def knock(api: Api, told: Told) -> None:
    """With every credential that is none, and with one that is the deployment's own."""
    for headers in (
        {"authorization": f"Bearer {SENT['unknown key']}"},
        {"authorization": f"Bearer {SENT['token']}"},
        {"authorization": f"Basic {SENT['password']}"},
        {"cookie": f"session={SENT['cookie']}", "x-api-key": SENT["other key header"]},
    ):
        answer = await told.keep(await api.client().get("/api/v1/me", headers=headers))
        assert answer.status_code == 401
    assert (await api.client(SETTINGS["bootstrap key"]).get("/api/v1/me")).status_code == 200


async def keys_of_all_kinds(api: Api, person: Person, told: Told) -> list[str]:
    """A key that lives, one that was revoked, one that has expired, and one made under an Idempotency-Key."""
    soon = datetime.now(UTC) + timedelta(milliseconds=50)
    expired = await api.container.access.create_key(person.caller, ApiKeyCreate(name="short", expires_at=soon))
    url, headers = "/api/v1/api-keys", {"idempotency-key": "make-a-key"}
    made = await person.ok("POST", url, {"name": "made"}, headers=headers)
    await told.keep(await person.http.post(url, json={"name": "made"}, headers=headers))
    revoked = await person.ok("POST", url, {"name": "revoked"})
    await person.ok("DELETE", f"{url}/{revoked['id']}")
    keys = [person.key, expired.key, made["key"], revoked["key"]]
    for key in keys:
        await told.keep(await api.client(key).get("/api/v1/me"))
    return keys


async def talk(person: Person, server: OpenAIServer, told: Told) -> None:
    """Say things that go well, fail, and are refused."""
    server.answer(SAID["answer"])
    identity = {"short_description": SAID["prompt"], "mission": SAID["prompt"]}
    agent = await person.make_agent(identity=identity, configuration={"llm_provider": "local"})
    url = f"/api/v1/agents/{agent['id']}"
    thread = await person.ok("POST", f"{url}/threads", {"title": SAID["title"]})
    body = {"message": SAID["message"], "thread_id": thread["id"], "metadata": {"note": SAID["metadata"]}}
    reply = await person.ok("POST", f"{url}/chat", body)
    feedback = f"/api/v1/threads/{thread['id']}/messages/{reply['message_id']}/feedback"
    await person.ok("PUT", feedback, {"score": -1.0, "reason": SAID["reason"]})
    streamed = {"message": SAID["streamed message"], "thread_id": thread["id"]}
    async with person.http.stream("POST", f"{url}/chat/stream", json=streamed) as answer:
        assert (await all_events(answer))[-1].type == "message.completed"
    assert {call.headers["authorization"].removeprefix("Bearer ") for call in server.calls} == {
        SETTINGS["provider's key"]
    }
    for kind in ("unauthorized", "server_error", "truncated_json", "reset"):
        server.fault(kind)
        body = {"message": SAID["failed message"], "thread_id": thread["id"]}
        assert (await told.keep(await person.http.post(f"{url}/chat", json=body))).status_code >= 502
        server.reset()
    await person.ok("GET", f"/api/v1/agents?q={SAID['search']}")
    await person.ok("GET", "/api/v1/me", headers={"numen-user": SAID["person"]})
    for refused in ({"traits": {"humor": SAID["refused value"]}}, {SAID["refused value"]: 1}, SAID["refused value"]):
        assert (await person.http.patch(url, json=refused)).status_code == 422
    assert (await person.http.get(f"/{SAID['refused value']}")).status_code == 404


async def whole_database(owner: Connection) -> str:
    """Every row as text, what is stored as bytes made readable."""
    tables = await owner.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    found = [str(await owner.fetch(f"SELECT t::text FROM {row['tablename']} t")) for row in tables]  # noqa: S608 — names of our own tables
    bodies = await owner.fetch("SELECT body FROM idempotency_keys WHERE body IS NOT NULL")
    return "".join([*found, *(bytes(row["body"]).decode() for row in bodies)])


async def test_nothing_is_told_to_whom_it_does_not_concern(
    talkative: Api, openai_server: OpenAIServer, owner: Connection, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told, person = Told(), await talkative.owner()
    await knock(talkative, told)
    keys = dict(
        zip(
            ("key", "expired key", "made key", "revoked key"),
            await keys_of_all_kinds(talkative, person, told),
            strict=True,
        )
    )
    await talk(person, openai_server, told)
    await talkative.settled()

    logged = "".join(capfd.readouterr())
    metrics = (await talkative.client().get("/metrics")).text
    files = mirrored(tmp_path)
    rows = await whole_database(owner)
    secrets = {**SETTINGS, **SENT, **keys}
    secrets |= {f"secret of the {name}": key.split("_")[3] for name, key in keys.items()}
    assert len(secrets) + len(SAID) >= 20
    for name, canary in {**secrets, **SAID}.items():
        assert canary not in logged, f"{name} is in the logs: {around(logged, canary)}"
        assert canary not in metrics, f"{name} is in the metrics"
    for name, canary in {**secrets, "answer": SAID["answer"], "fault": SAID["fault"]}.items():
        assert not any(canary in problem for problem in told.problems), f"{name} is in a problem"
        assert canary not in files, f"{name} is in a file"
        assert canary not in rows or name == "answer", f"{name} is in the database: {around(rows, canary)}"
    for name in ("message", "streamed message", "failed message", "metadata", "title", "reason", "person"):
        assert SAID[name] not in files, f"{name} is in a file"

    # The controls: all of it was really there, and the logs were really read.
    for name in ("message", "streamed message", "failed message", "metadata", "title", "reason", "answer", "prompt"):
        assert SAID[name] in rows, name
    assert SAID["prompt"] in files
    lines = [json.loads(line) for line in logged.splitlines() if line.startswith("{")]
    assert sum(line["event"] == "request" for line in lines) > 25
    assert len(told.problems) > 8


def mirrored(prompts: Path) -> str:
    return "".join(path.read_text() for path in prompts.rglob("*.json"))


def around(text: str, canary: str) -> str:
    place = text.index(canary)
    return text[max(0, place - 200) : place + len(canary) + 50]
