"""What sounds like a crisis is answered with help, wherever it is said, before any model is asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from backend.scripts.default_agents import load_default_agents
from backend.tests.api.event_reader import events_of
from backend.tests.fixtures_api import Api, Person
from backend.tests.protocol_servers.openai_server import OpenAIServer

if TYPE_CHECKING:
    from asyncpg import Connection

CRY = "I want to kill myself tonight."
NEAR = "This deadline is killing me, I could do with a laugh."


@pytest.fixture
async def person(api: Api) -> Person:
    return await api.owner()


async def default_agent(person: Person, which: str) -> dict[str, Any]:
    shipped = load_default_agents()[which].model_dump(mode="json", exclude_none=True)
    return await person.make_agent(**shipped)


async def entries(owner: Connection) -> list[str]:
    rows = await owner.fetch("SELECT detail FROM audit_log WHERE action = 'safety.crisis' ORDER BY created_at")
    return [json.loads(row["detail"])["kind"] for row in rows]


@pytest.mark.parametrize("parts", [{"type": "conversational"}, {"type": "voice", "voice": {"voice_id": "calm-female"}}])
async def test_in_a_chat_and_in_a_stream(
    parts: dict[str, Any], person: Person, openai_server: OpenAIServer, owner: Connection
) -> None:
    agent = await person.make_agent(traits={"safety": 60}, **parts)
    path = f"/api/v1/agents/{agent['id']}/chat"
    reply = await person.ok("POST", path, {"message": CRY})
    assert reply["metadata"]["safety"] == {"crisis": True, "kind": "suicide"}
    async with person.http.stream("POST", f"{path}/stream", json={"message": CRY}) as answer:
        events = [event async for event in events_of(answer)]
    assert [event.type for event in events] == ["run.started", "message.delta", "message.completed"]
    assert events[-1].data["response"] == reply["response"] == events[1].data["text"]
    assert openai_server.calls == []
    assert await entries(owner) == ["suicide", "suicide"]
    messages = await person.ok("GET", f"/api/v1/threads/{reply['thread_id']}/messages")
    assert [one["content"] for one in messages] == [CRY, reply["response"]]
    openai_server.answer("Take a breath.")
    calm = await person.ok("POST", path, {"message": NEAR})
    assert (calm["response"], calm["metadata"]["safety"]) == ("Take a breath.", None)


async def test_an_agent_of_little_safety_answers_by_itself(person: Person, openai_server: OpenAIServer) -> None:
    agent = await person.make_agent(traits={"safety": 59})
    openai_server.answer("The author goes on.")
    reply = await person.ok("POST", f"/api/v1/agents/{agent['id']}/chat", {"message": CRY})
    assert (reply["response"], reply["metadata"]["safety"]) == ("The author goes on.", None)


async def test_in_a_session_which_ends_without_a_script(
    person: Person, openai_server: OpenAIServer, owner: Connection
) -> None:
    await default_agent(person, "intake")
    await default_agent(person, "therapy")
    session = await person.ok("POST", "/api/v1/sessions", {})
    path = f"/api/v1/sessions/{session['id']}"
    told = await person.ok("POST", f"{path}/messages", {"message": CRY})
    assert (told["status"], told["error"]["code"], told["error"]["kind"]) == ("failed", "crisis", "suicide")
    assert "help" in told["response"].lower()
    for rest, body in (("messages", {"message": "Go on"}), ("consent", {"accepted": True}), ("therapy", None)):
        answer = await person.http.post(f"{path}/{rest}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "session-state")
    assert openai_server.calls == []
    assert await entries(owner) == ["suicide"]
    again = await person.ok("POST", "/api/v1/sessions", {})
    assert again["status"] == "pending"


async def test_an_agent_that_hands_it_on_hands_on_the_help(
    person: Person, openai_server: OpenAIServer, owner: Connection
) -> None:
    """The other agent is asked in words of the first, which is no reason to let them pass."""
    grant = {"kind": "builtin", "name": "hand_off"}
    rough = await person.make_agent(
        name="Rough", traits={"safety": 0}, configuration={"tools_enabled": True}, capabilities={"tools": [grant]}
    )
    await person.make_agent(name="Careful", traits={"safety": 90})
    arguments = json.dumps({"agent": "Careful", "message": CRY})
    openai_server.answer_once("", tool_calls=(("call_1", "hand_off", arguments),))
    openai_server.answer("I passed that on.")
    await person.ok("POST", f"/api/v1/agents/{rough['id']}/chat", {"message": "Ask Careful."})
    assert len(openai_server.calls) == 2
    assert await entries(owner) == ["suicide"]
