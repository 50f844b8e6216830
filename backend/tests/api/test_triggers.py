"""What sets agents off besides a person, from outside: events that are signed, and schedules."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Generator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from backend.services.timetable import Timetable
from backend.telemetry import configure_logging
from backend.tests.api.signed_events import Sender
from backend.tests.fixtures_api import Api, Person, random_id
from backend.tests.protocol_servers.openai_server import OpenAIServer
from backend.tests.services.scheduling import SELDOM

if TYPE_CHECKING:
    from asyncpg import Connection

BODY = b'{ "type": "order.paid",\n  "data": {"order": 4711, "note": "caf\xc3\xa9 \\u2603", "price": 12.50} }'
STEPS = [{"kind": "prompt", "id": "sum", "prompt": "Sum up the input."}]
NONE_OF_OURS = {"webhook-id": "evt_1", "webhook-timestamp": "1", "webhook-signature": "v1,x"}


async def make_agent(person: Person, trigger: str = "event", **workflow: Any) -> dict[str, Any]:
    return await person.make_agent(type="workflow", workflow={"trigger_type": trigger, "steps": STEPS, **workflow})


async def make_sender(api: Api, person: Person, agent_id: str) -> Sender:
    made = await person.ok("POST", f"/api/v1/agents/{agent_id}/webhooks", {"name": "the shop"})
    return Sender(api.client(), made["id"], made["secret"])


async def input_of(person: Person, run_id: str) -> tuple[str, dict[str, Any]]:
    """What a run was given: the text, and the metadata that it was stored with."""
    run = await person.ok("GET", f"/api/v1/runs/{run_id}")
    said = await person.ok("GET", f"/api/v1/threads/{run['thread_id']}/messages")
    return said[0]["content"], said[0]["metadata"]


# --- events ---


async def test_an_event_is_a_run(api: Api) -> None:
    person = await api.owner()
    agent = await make_agent(person)
    sender = await make_sender(api, person, agent["id"])
    accepted = await sender.send(BODY, "evt_1")
    assert (accepted.status_code, accepted.json()["status"]) == (202, "running")
    run_id = accepted.json()["run_id"]
    await api.settled()
    run = await person.ok("GET", f"/api/v1/runs/{run_id}")
    assert (run["status"], run["kind"], run["user_id"]) == ("completed", "workflow", str(person.caller.user_id))
    text, metadata = await input_of(person, run_id)
    assert text == '{"type":"order.paid","data":{"order":4711,"note":"café ☃","price":12.5}}'
    assert metadata == {"trigger": "event", "webhook_id": sender.webhook_id, "event_id": "evt_1"}
    again = await sender.send(BODY, "evt_1", at=time.time() + 60)
    assert (again.status_code, again.json()) == (202, {"run_id": run_id, "status": "completed"})
    other = await sender.send(BODY, "evt_2")
    assert other.json()["run_id"] != run_id
    assert len(await person.ok("GET", f"/api/v1/agents/{agent['id']}/runs")) == 2


async def test_the_same_event_thirty_times_at_once_is_one_run(api: Api) -> None:
    person = await api.owner()
    agent = await make_agent(person)
    sender = await make_sender(api, person, agent["id"])
    answers = await asyncio.gather(*(sender.send(BODY, "evt_1") for _ in range(30)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["run_id"] for answer in answers}) == 1
    await api.settled()
    assert len(await person.ok("GET", f"/api/v1/agents/{agent['id']}/runs")) == 1


async def test_an_event_whose_run_failed_is_not_run_again(api: Api, openai_server: OpenAIServer) -> None:
    person = await api.owner()
    agent = await make_agent(person, retry_policy={"max_retries": 0})
    sender = await make_sender(api, person, agent["id"])
    openai_server.fault("unauthorized")
    run_id = (await sender.send(BODY, "evt_1")).json()["run_id"]
    await api.settled()
    openai_server.reset()
    again = await sender.send(BODY, "evt_1")
    assert (again.status_code, again.json()) == (202, {"run_id": run_id, "status": "failed"})
    assert (await sender.send(BODY, "evt_2")).json()["status"] == "running"
    await api.settled()


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"4711", b"null", b'{"deep": [[[[]]]]}', b" {} "])
async def test_any_json_is_an_event(api: Api, body: bytes) -> None:
    person = await api.owner()
    sender = await make_sender(api, person, (await make_agent(person))["id"])
    accepted = await sender.send(body)
    assert accepted.status_code == 202
    text, _ = await input_of(person, accepted.json()["run_id"])
    assert text == json.dumps(json.loads(body), separators=(",", ":"))
    await api.settled()


async def test_a_large_event_is_taken_and_a_larger_one_is_not(api: Api) -> None:
    person = await api.owner()
    sender = await make_sender(api, person, (await make_agent(person))["id"])
    large = json.dumps({"text": "speak " * 150_000}, separators=(",", ":")).encode()
    accepted = await sender.send(large)
    assert accepted.status_code == 202
    assert (await input_of(person, accepted.json()["run_id"]))[0] == large.decode()
    assert (await sender.send(large + b" " * 200_000)).status_code == 413
    await api.settled()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed-json"),
        (b"order=4711", 400, "malformed-json"),
        (b'{"a": NaN}', 400, "malformed-json"),
        (b'"\xff"', 400, "malformed-json"),
        (b'{"a": "\\u0000"}', 422, "invalid-request"),
        (b"[" * 65 + b"]" * 65, 422, "invalid-request"),
    ],
)
async def test_what_is_no_event_is_told_to_who_signed_it(api: Api, body: bytes, status: int, code: str) -> None:
    person = await api.owner()
    sender = await make_sender(api, person, (await make_agent(person))["id"])
    refused = await sender.send(body)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    unsigned = await sender.http.post(sender.url, content=body, headers=NONE_OF_OURS)
    assert unsigned.status_code == 401


async def test_whatever_is_not_signed_is_refused_alike(api: Api) -> None:
    """An unknown webhook, a key in place of a signature, headers twice or none, another body, an old event."""
    person = await api.owner()
    agent = await make_agent(person)
    sender, other = [await make_sender(api, person, agent["id"]) for _ in range(2)]
    good = sender.headers(BODY)
    key = {"authorization": f"Bearer {person.key}"}
    twice = [*good.items(), ("webhook-signature", good["webhook-signature"])]
    tries: list[tuple[str, bytes, Any]] = [
        (sender.url, BODY, {}),
        (sender.url, BODY, key),
        (sender.url, BODY, {**NONE_OF_OURS, **key}),
        (sender.url, BODY + b" ", good),
        (sender.url, BODY, twice),
        (sender.url, BODY, other.headers(BODY)),
        (sender.url, BODY, sender.headers(BODY, at=time.time() - 302)),
        (sender.url, BODY, sender.headers(BODY, at=time.time() + 302)),
        (other.url, BODY, good),
        (f"/api/v1/hooks/{random_id()}", BODY, good),
        ("/api/v1/hooks/not-an-id", BODY, good),
        (f"/api/v1/hooks/{agent['id']}", BODY, good),
        *((sender.url, BODY, {name: good[name] for name in good if name != missing}) for missing in NONE_OF_OURS),
    ]
    told: set[str] = set()
    for url, body, headers in tries:
        refused = await sender.http.post(url, content=body, headers=headers)
        assert refused.status_code == 401, (url, headers)
        assert refused.headers["www-authenticate"] == "Webhook-Signature"
        told.add(json.dumps({**refused.json(), "request_id": "", "instance": ""}))
    assert len(told) == 1
    assert json.loads(told.pop())["code"] == "signature-refused"
    assert await person.ok("GET", f"/api/v1/agents/{agent['id']}/runs") == []
    assert (await sender.http.post(sender.url, content=BODY, headers=good)).status_code == 202  # the control
    await api.settled()


async def test_a_deleted_webhook_takes_nothing_more(api: Api) -> None:
    person = await api.owner()
    sender = await make_sender(api, person, (await make_agent(person))["id"])
    assert (await sender.send(BODY)).status_code == 202
    await person.ok("DELETE", f"/api/v1/webhooks/{sender.webhook_id}")
    assert (await sender.send(BODY)).status_code == 401
    assert (await person.http.delete(f"/api/v1/webhooks/{sender.webhook_id}")).status_code == 404
    await api.settled()


async def test_an_agent_that_takes_no_events_says_why(api: Api) -> None:
    person = await api.owner()
    agent = await make_agent(person)
    url = f"/api/v1/agents/{agent['id']}"
    sender = await make_sender(api, person, agent["id"])

    async def refusal(status: int = 409) -> str:
        answer = await sender.send(BODY)
        assert answer.status_code == status
        return answer.json()["code"]

    await person.ok("PATCH", url, {"status": "inactive"})
    assert await refusal() == "agent-inactive"
    await person.ok("PATCH", url, {"status": "active", "workflow": {"trigger_type": "manual", "steps": STEPS}})
    assert await refusal() == "agent-takes-no-events"
    refused = await person.http.post(f"{url}/webhooks", json={"name": "x"})
    assert (refused.status_code, refused.json()["code"]) == (409, "agent-takes-no-events")
    await person.ok("DELETE", url)
    assert await refusal() == "agent-archived"
    assert await person.ok("GET", f"{url}/runs") == []


async def test_who_may_see_and_make_webhooks(api: Api) -> None:
    owner = await api.owner()
    agent = await make_agent(owner)
    url = f"/api/v1/agents/{agent['id']}/webhooks"
    admin, member = await api.colleague(owner, "admin"), await api.colleague(owner, "member")
    made = await admin.ok("POST", url, {"name": " mine "})
    assert (made["name"], made["user_id"]) == ("mine", str(admin.caller.user_id))
    for method, path, body in (
        ("GET", url, None),
        ("POST", url, {"name": "x"}),
        ("DELETE", "/api/v1/webhooks/x", None),
    ):
        assert (await member.http.request(method, path, json=body)).status_code == 403
    [shown] = await owner.ok("GET", url)
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    for wrong in ({}, {"name": ""}, {"name": " "}, {"name": "x" * 256}, {"name": "x", "secret": "whsec_x"}):
        assert (await owner.http.post(url, json=wrong)).status_code == 422


@pytest.fixture
def debug_logs() -> Generator[None]:
    configure_logging("debug", "json")
    yield
    configure_logging("warning", "json")


async def test_the_secret_is_told_to_nobody_again(
    api: Api, debug_logs: None, capfd: pytest.CaptureFixture[str], owner: Connection
) -> None:
    person = await api.owner()
    agent = await make_agent(person)
    url = f"/api/v1/agents/{agent['id']}/webhooks"
    made = await person.ok("POST", url, {"name": "the shop"}, headers={"idempotency-key": "one"})
    again = await person.http.post(url, json={"name": "the shop"}, headers={"idempotency-key": "one"})
    assert (again.status_code, again.json()["code"], again.json()["webhook_id"]) == (
        409, "secret-already-shown", made["id"],
    )  # fmt: skip
    sender = Sender(api.client(), made["id"], made["secret"])
    refused = await sender.http.post(sender.url, content=BODY, headers={**sender.headers(BODY), "webhook-id": "x"})
    await sender.send(BODY)
    await api.settled()
    metrics = (await sender.http.get("/metrics")).text
    logged = "".join(capfd.readouterr())
    assert "/api/v1/hooks/{webhook_id}" in logged
    told = [await person.http.get(url), again, refused]
    tables = ("idempotency_keys", "audit_log", "outbox", "runs")
    kept = str([await owner.fetch(f"SELECT t::text FROM {table} t") for table in tables])  # noqa: S608 — names of our own tables
    for text in (metrics, logged, kept, *(f"{answer.headers} {answer.text}" for answer in told)):
        assert made["secret"].removeprefix("whsec_")[:20] not in text
        assert BODY.decode()[:20] not in text


# --- schedules ---


async def test_a_tick_is_a_run(api: Api, owner: Connection) -> None:
    person = await api.owner()
    agent = await make_agent(person, "scheduled", schedule=SELDOM)
    following = Timetable(SELDOM).after(datetime.now(UTC)).isoformat().replace("+00:00", "Z")
    url = f"/api/v1/agents/{agent['id']}"
    async with asyncio.timeout(15):
        while (schedule := await person.ok("GET", f"{url}/schedule"))["next_at"] is None:  # noqa: ASYNC110 — it tells nobody
            await asyncio.sleep(0.02)
        assert (schedule["next_at"], schedule["schedule"]) == (following, SELDOM)
        assert (schedule["last_at"], schedule["ticks"], schedule["missed"]) == (None, 0, 0)
        await owner.execute("UPDATE agent_schedules SET next_at = clock_timestamp()")
        while not (runs := await person.ok("GET", f"{url}/runs")):  # noqa: ASYNC110 — as above
            await asyncio.sleep(0.02)
    await api.settled()
    schedule = await person.ok("GET", f"{url}/schedule")
    assert (schedule["next_at"], schedule["ticks"]) == (following, 1)
    [run] = runs
    assert run["user_id"] == str(person.caller.user_id)
    assert (await person.ok("GET", f"/api/v1/runs/{run['id']}"))["status"] == "completed"
    _, metadata = await input_of(person, run["id"])
    assert metadata["trigger"] == "schedule"
    assert metadata["scheduled_for"].removesuffix("+00:00") == schedule["last_at"].removesuffix("Z")


async def test_the_schedule_that_is_in_force(api: Api) -> None:
    person = await api.owner()
    viewer = await api.colleague(person, "viewer")
    none = {"schedule": None, "next_at": None, "last_at": None, "ticks": 0, "missed": 0, "last_missed": None}
    talker = await person.make_agent()
    url = f"/api/v1/agents/{talker['id']}/schedule"
    assert await viewer.ok("GET", url) == {"agent_id": talker["id"], **none}
    agent = await make_agent(person, "scheduled", schedule="@daily")
    url = f"/api/v1/agents/{agent['id']}"
    assert (await viewer.ok("GET", f"{url}/schedule"))["schedule"] == "@daily"
    await person.ok("PATCH", url, {"status": "inactive"})
    stopped = await viewer.ok("GET", f"{url}/schedule")
    assert (stopped["schedule"], stopped["next_at"]) == (None, None)
    assert (await viewer.http.get(f"/api/v1/agents/{random_id()}/schedule")).status_code == 404
    stranger = await api.owner()
    assert (await stranger.http.get(f"{url}/schedule")).status_code == 404
