"""Every route of the OpenAPI document with a request that works: what tests over all routes are made from.

A new route needs a body here when it takes one, and a kind when its address has a new sort of id; until then
`test_every_route_has_a_case` fails.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
from fastapi import FastAPI

from backend.models.erasure import Certificate
from backend.models.interview_progress import InterviewProgress
from backend.models.run import RunRequest
from backend.models.session import SessionCreate
from backend.models.tenant import ApiKeyCreate, Caller
from backend.models.webhook import WebhookCreate
from backend.scripts.default_agents import load_default_agents
from backend.stores.erasures import ErasurePlan
from backend.tests.api.signed_events import signed_headers
from backend.tests.factories import make_user
from backend.tests.fixtures_api import Api, Person, random_id

VOICE = {"provider": "local", "voice_id": "en-us"}
SPEAKING = frozenset({"speak", "previewVoice", "transcribe"})
"""What only passes through: each time it is spoken and heard anew."""
OPEN_TAGS = frozenset({"operations", "problems"})
"""What answers without credentials."""

Body = dict[str, Any] | None

_IDENTITY = {"short_description": "A guide to the night sky"}
_WHEN = "2026-11-01T09:00:00Z"
_PORTABLE = {"name": "Imported", "identity": _IDENTITY, "version": "1.0.0", "created_at": _WHEN, "updated_at": _WHEN}

BODIES: Mapping[str, Body] = {
    "createAgent": {"name": "Created", "identity": _IDENTITY},
    "importAgent": {
        "contract": _PORTABLE,
        "versions": [{"version": "1.0.0", "created_at": _WHEN, "contract": _PORTABLE}],
    },
    "updateAgent": {"identity": {"mission": "to be changed"}},
    "rollbackAgent": {"version": "1.0.0"},
    "duplicateAgent": {"name": "Copied"},
    "createThread": {"title": "A thread"},
    "updateThread": {"title": "Another title"},
    "giveFeedback": {"score": 1.0, "reason": "That helped."},
    "chat": {"message": "Hello"},
    "streamChat": {"message": "Hello"},
    "createApiKey": {"name": "one more"},
    "createMemory": {"text": "The observatory is closed on Mondays."},
    "createMemories": {"memories": [{"text": "The dome opens at dusk.", "kind": "fact"}]},
    "updateMemory": {"text": "To be corrected."},
    "createWebhook": {"name": "orders of the shop"},
    "receiveEvent": {"type": "order.paid", "data": {"order": 4711}},
    "speak": {"text": "Hello."},
    "previewVoice": {"provider": "local", "voice_id": "en-us", "text": "Hello."},
    "createSession": {},
    "answerInterview": {"message": "I want to sleep better."},
    "consentToPlan": {"accepted": True},
    "startRun": {"input": "The dome opens at dusk."},
    "answerApproval": {"approved": True},
}
"""A body that works, by operation; routes that are not here take none."""

QUERIES: Mapping[str, str] = {"searchMemories": "q=When+does+the+dome+open"}
"""A query that works, by operation, for those that need one."""

VERSIONS = {"version": "1.0.0", "a": "1.0.0", "b": "1.1.0"}
IDS = (
    "agent_id", "thread_id", "message_id", "run_id", "api_key_id", "memory_id", "user_id", "erasure_id",
    "working_agent_id", "webhook_id", "waiting_run_id", "call_id", "session_id", "open_session_id",
    "complete_session_id", "agreed_session_id",
)  # fmt: skip
SESSIONS = IDS[-4:]
WORKING = frozenset({"createWebhook", "listWebhooks", "startRun"})
"""What is asked of an agent that works: here its address names a `working_agent_id`, which events set off."""
INSTEAD = {
    **dict.fromkeys(WORKING, ("{agent_id}", "{working_agent_id}")),
    "answerApproval": ("{run_id}", "{waiting_run_id}"),
    "answerInterview": ("{session_id}", "{open_session_id}"),
    "consentToPlan": ("{session_id}", "{complete_session_id}"),
    "startTherapy": ("{session_id}", "{agreed_session_id}"),
}
"""What stands in an address in place of another name, by operation: of sessions there are some at different stages."""
_LAST = (
    "forgetMemory",
    "forgetThreadMemories",
    "revokeApiKey",
    "deleteWebhook",
    "deleteThread",
    "archiveAgent",
    "erasePerson",
)  # what ends things is tried after all else


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the API."""

    method: str
    path: str
    operation: str
    open: bool
    signed: bool
    takes_body: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def _template(self) -> str:
        return self.path.replace(*INSTEAD.get(self.operation, ("", "")))

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in the address."""
        return tuple(re.findall(r"{(\w+)}", self._template))

    @property
    def ids(self) -> tuple[str, ...]:
        """The names in the address that stand for somebody's things."""
        return tuple(name for name in self.parameters if name in IDS)

    @property
    def body(self) -> Body:
        """A body that works."""
        return BODIES.get(self.operation)

    def url(self, values: Mapping[str, str]) -> str:
        """The address with these values, and with a query where the route needs one."""
        path = self._template.format_map({**VERSIONS, "code": "thread-busy", **values})
        query = QUERIES.get(self.operation)
        return f"{path}?{query}" if query else path

    def known(self, values: Mapping[str, str]) -> dict[str, str]:
        """The values that the address takes, by the names that the document has for them."""
        names = re.findall(r"{(\w+)}", self.path)
        return {name: values[ours] for name, ours in zip(names, self.parameters, strict=True) if ours in values}

    def headers(self, world: World) -> dict[str, str]:
        """What a request needs beside a key: the signature, where one is asked for."""
        if not self.signed:
            return {}
        return signed_headers(world.webhook_secret, httpx.Request("POST", "/", json=self.body).content)

    def url_with(self, values: Mapping[str, str], query: str) -> str:
        """The address with more in its query."""
        url = self.url(values)
        return f"{url}{'&' if '?' in url else '?'}{query}"


def all_routes(app: FastAPI) -> list[Route]:
    """Every operation of the document, in an order in which each can succeed."""
    routes = list(_routes(app.openapi()))
    order = {operation: place for place, operation in enumerate(_LAST, 1)}
    return sorted(routes, key=lambda route: order.get(route.operation, 0))


def _routes(document: dict[str, Any]) -> Iterator[Route]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield Route(
                method=method.upper(),
                path=path,
                operation=operation["operationId"],
                open=bool(OPEN_TAGS & set(operation.get("tags", ()))),
                signed={"webhookSignature": []} in operation.get("security", ()),
                takes_body="application/json" in operation.get("requestBody", {}).get("content", ()),
            )


@dataclass(frozen=True, slots=True)
class World:
    """One thing of every kind, all of one person."""

    agent_id: str
    thread_id: str
    message_id: str
    run_id: str
    api_key_id: str
    memory_id: str
    user_id: str
    erasure_id: str
    working_agent_id: str
    webhook_id: str
    webhook_secret: str
    waiting_run_id: str
    call_id: str
    session_id: str
    open_session_id: str
    complete_session_id: str
    agreed_session_id: str

    def values(self) -> dict[str, str]:
        """Its ids by the names that they have in addresses."""
        return {name: getattr(self, name) for name in IDS}


async def make_world(api: Api, owner: Person, person: Person | None = None) -> World:
    """An agent of two versions and an API key of the owner; the person's conversation with it, a memory of them, and
    sessions with two more agents.

    The person can be erased; without one it is the owner's conversation, and a colleague of theirs who can.
    """
    erasable = person.caller if person else await make_user(api.container.database, owner.caller.tenant_id)
    person = person or owner
    agent = await owner.make_agent(voice=VOICE)
    await owner.ok("PATCH", f"/api/v1/agents/{agent['id']}", {"traits": {"empathy": 51}})
    said = await api.said(person.caller, UUID(agent["id"]))
    key = await api.container.access.create_key(owner.caller, ApiKeyCreate(name="to be revoked"))
    memory_id = await make_memory(owner, agent["id"], str(person.caller.user_id))
    told = (str(said.thread_id), str(said.message_id), str(said.metadata.run_id))
    erasure_id = await make_erasure(api, person.caller)
    working = await make_working_agent(owner)
    hook = await api.container.webhooks.create(owner.caller, UUID(working), WebhookCreate(name="to be deleted"))
    held = (str(key.id), memory_id, str(erasable.user_id), erasure_id)
    sessions = await make_sessions(api, owner, person.caller, said.metadata.run_id)
    waiting = await make_waiting_run(api, working, person.caller)
    return World(agent["id"], *told, *held, working, str(hook.id), hook.secret, *waiting, *sessions)


async def make_sessions(api: Api, owner: Person, caller: Caller, run_id: UUID) -> tuple[str, ...]:
    """The ids of sessions with agents of their own, as in `SESSIONS`: one that is over, one that has begun, one with a
    plan, and one whose plan is agreed to. The agents are those of every deployment, but without a model.
    """
    agents: list[str] = []
    for shipped in load_default_agents().values():
        contract = shipped.model_dump(mode="json", exclude_unset=True)
        contract |= {"configuration": contract["configuration"] | {"llm_provider": "offline"}, "voice": VOICE}
        agents.append((await owner.make_agent(**contract))["id"])
    new = SessionCreate(intake_agent_id=UUID(agents[0]), therapy_agent_id=UUID(agents[1]))
    made = [await api.container.sessions.create(caller, new) for _ in SESSIONS]
    over, _, planned, agreed = made
    async with api.container.database.tenant(caller.tenant_id) as tx:
        for one in (over, planned, agreed):
            done = InterviewProgress(answers={"goals": ("sleep",)}, confirmed=True)
            await tx.sessions.progress(one.id, done, "complete", "Thank you.", {"goals": ["sleep"]})
            if one is not planned:
                await tx.sessions.consent(one.id)
        await tx.sessions.begin_script(over.id, run_id, 1)
        await tx.sessions.end_script(over.id, run_id, "completed")
    return tuple(str(one.id) for one in made)


async def make_working_agent(owner: Person) -> str:
    """The id of an agent that events set off, and that asks a person before it looks at the clock."""
    grant = {"kind": "builtin", "name": "current_time", "approval": "always"}
    steps = [{"kind": "tool", "id": "time", "tool": "current_time"}]
    agent = await owner.make_agent(
        name="Works",
        type="workflow",
        configuration={"tools_enabled": True},
        capabilities={"tools": [grant]},
        workflow={"trigger_type": "event", "steps": steps},
    )
    return agent["id"]


async def make_waiting_run(api: Api, working_agent_id: str, caller: Caller) -> tuple[str, str]:
    """The ids of a run and of its tool call, which waits until a person has agreed."""
    run = await api.container.tasks.start(caller, UUID(working_agent_id), RunRequest())
    async with asyncio.timeout(20):
        while not run.approvals:
            await asyncio.sleep(0.01)
            run = await api.container.runs.get(caller, run.id)
    return str(run.id), str(run.approvals[0].call_id)


async def make_memory(owner: Person, agent_id: str, user_id: str) -> str:
    """The id of something that the agent knows of this person."""
    body = {"text": "I have a telescope.", "user_id": user_id}
    memory = await owner.ok("POST", f"/api/v1/agents/{agent_id}/memories", body)
    return memory["id"]


async def make_erasure(api: Api, caller: Caller) -> str:
    """The id of an erasure, of nobody in particular, that this caller asked for."""
    now = datetime.now(UTC)
    done = Certificate(stores=[], requested_at=now, completed_at=now, not_verified=[])
    async with api.container.database.tenant(caller.tenant_id) as tx:
        erasure = await tx.erasures.open(uuid4(), uuid4(), caller.user_id, {}, ErasurePlan())
        await tx.erasures.finish(erasure.id, done)
    return str(erasure.id)


def nowhere() -> dict[str, str]:
    """Ids of every kind that nothing has."""
    return {name: random_id() for name in IDS}
