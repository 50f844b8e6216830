"""An agent that uses a real MCP server, over the real wire of a model that calls its tools."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from backend.graphs.prompt import compile_prompt
from backend.models.agent import AgentContract
from backend.ports import ToolSpec
from backend.tests.api.event_reader import Event, events_of
from backend.tests.fixtures_api import Api, Person, api_settings, borrowed, serving
from backend.tests.protocol_servers.mcp_server import McpToolServer
from backend.tests.protocol_servers.openai_server import OpenAIServer

CALL = ("call_1", "desk__add", '{"a": 2, "b": 3}')


@pytest.fixture(scope="module")
async def house(
    database_url: str,
    openai_server_process: OpenAIServer,
    mcp_server_process: McpToolServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[Api]:
    """A server of this module's own, whose operator lets tools be at the MCP server."""
    settings = api_settings(
        database_url,
        tmp_path_factory.mktemp("prompts"),
        openai_base_url=openai_server_process.base_url,
        tool_private_hosts=[mcp_server_process.private_host, f"127.0.0.1:{_closed_port()}"],
    )
    async with serving(settings) as api:
        yield api


@pytest.fixture
async def person(house: Api, openai_server: OpenAIServer) -> AsyncGenerator[Person]:
    async with borrowed(house, openai_server):
        yield await house.owner()


def _closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def granted(url: str, **grant: Any) -> dict[str, Any]:
    """The parts of a contract that may use this server's tools."""
    server = {"kind": "mcp", "name": "desk", "url": url, "approval": "never", "timeout_seconds": 5, **grant}
    return {
        "name": "Clerk",
        "identity": {"short_description": "Reckons and writes down", "mission": "Keep the books"},
        "configuration": {"tools_enabled": True, "memory_enabled": False},
        "capabilities": {"tools": [server]},
    }


async def stream(person: Person, agent: str, message: str) -> list[Event]:
    async with person.http.stream("POST", f"/api/v1/agents/{agent}/chat/stream", json={"message": message}) as answer:
        return [event async for event in events_of(answer)]


@pytest.mark.parametrize("how", ["streamed", "whole"])
async def test_a_tool_is_used_end_to_end(
    how: str, person: Person, openai_server: OpenAIServer, mcp_server: McpToolServer
) -> None:
    agent = await person.make_agent(**granted(mcp_server.url, allowed_tools=["add", "note"]))
    openai_server.answer_once("Let me see.", tool_calls=(CALL,))
    openai_server.answer("It is 5.")
    if how == "streamed":
        events = await stream(person, agent["id"], "What is 2 and 3?")
        assert [event.type for event in events if event.type.startswith("tool.")] == ["tool.call", "tool.result"]
        reply = events[-1].data
    else:
        reply = await person.ok("POST", f"/api/v1/agents/{agent['id']}/chat", {"message": "What is 2 and 3?"})
    assert reply["response"] == "Let me see.\n\nIt is 5."
    assert [(one["tool"], one["status"]) for one in reply["metadata"]["tools"]] == [("desk__add", "completed")]
    (call,) = mcp_server.called("add")
    assert (call.arguments, call.key) == ({"a": 2, "b": 3}, reply["metadata"]["tools"][0]["call_id"])
    first, second = [one.body for one in openai_server.calls]
    assert [one["function"]["name"] for one in first["tools"]] == ["desk__add", "desk__note"]
    *_, asked, told = second["messages"]
    assert [one["function"]["name"] for one in asked["tool_calls"]] == ["desk__add"]
    assert (told["role"], told["tool_call_id"], json.loads(told["content"])) == ("tool", "call_1", {"result": "5"})
    steps = await person.ok("GET", f"/api/v1/runs/{reply['metadata']['run_id']}/steps")
    assert [one["kind"] for one in steps] == ["model", "tool", "model"]


async def test_the_prompt_is_the_contract_and_its_tools_and_nothing_else(
    person: Person, openai_server: OpenAIServer, mcp_server: McpToolServer
) -> None:
    agent = await person.make_agent(**granted(mcp_server.url, allowed_tools=["add"]))
    openai_server.answer("Good day.")
    await person.ok("POST", f"/api/v1/agents/{agent['id']}/chat", {"message": "Hello"})
    (sent,) = [one.body for one in openai_server.calls]
    exported = await person.ok("GET", f"/api/v1/agents/{agent['id']}")
    own = AgentContract.model_fields.keys()
    contract = AgentContract.model_validate_json(json.dumps({name: exported[name] for name in exported if name in own}))
    tool = ToolSpec("desk__add", "Add two numbers.", {})
    assert sent["messages"] == [
        {"role": "system", "content": compile_prompt(contract, tools=[tool])},
        {"role": "user", "content": "Hello"},
    ]
    assert set(sent) <= {"model", "messages", "tools", "max_tokens", "temperature"}


async def test_a_call_waits_for_a_person(
    person: Person, house: Api, openai_server: OpenAIServer, mcp_server: McpToolServer
) -> None:
    agent = await person.make_agent(**granted(mcp_server.url, approval="always"))
    openai_server.answer_once("", tool_calls=(("call_1", "desk__note", '{"text": "milk"}'),))
    openai_server.answer("It is noted.")
    answer = await person.http.post(f"/api/v1/agents/{agent['id']}/chat", json={"message": "Note milk"})
    assert answer.status_code == 202, answer.text
    run = answer.json()
    ((call),) = run["approvals"]
    assert (run["status"], call["tool"], call["arguments"]) == ("waiting", "desk__note", {"text": "milk"})
    assert mcp_server.notes == []
    listed = await person.ok("GET", f"/api/v1/agents/{agent['id']}/runs", params={"status": "waiting"})
    assert [one["approvals"] for one in listed] == [run["approvals"]]
    stranger = await house.owner()
    path = f"/api/v1/runs/{run['id']}/approvals/{call['call_id']}"
    assert (await stranger.http.post(path, json={"approved": True})).status_code == 404
    assert (await person.http.post(path, json={"approved": "yes"})).status_code == 422
    await person.ok("POST", path, {"approved": True})
    async with asyncio.timeout(30):
        while (await person.ok("GET", f"/api/v1/runs/{run['id']}"))["status"] == "running":  # noqa: ASYNC110 — rows
            await asyncio.sleep(0.02)
    messages = await person.ok("GET", f"/api/v1/threads/{run['thread_id']}/messages")
    assert (messages[-1]["content"], mcp_server.notes) == ("It is noted.", ["milk"])
    again = await person.http.post(path, json={"approved": True})
    assert (again.status_code, again.json()["code"]) == (409, "run-finished")


async def test_a_server_that_is_away_is_told_to_the_model(
    person: Person, house: Api, openai_server: OpenAIServer
) -> None:
    away = house.container.settings.tool_private_hosts[1]
    agent = await person.make_agent(**granted(f"http://{away}/mcp"))
    openai_server.answer("I cannot reckon now.")
    reply = await person.ok("POST", f"/api/v1/agents/{agent['id']}/chat", {"message": "What is 2 and 3?"})
    assert reply["response"] == "I cannot reckon now."
    (sent,) = [one.body for one in openai_server.calls]
    assert "tools" not in sent
    assert 'These cannot be reached right now: "desk".' in sent["messages"][0]["content"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/mcp", "http://169.254.169.254/mcp", "http://[::1]/mcp"])
async def test_no_contract_names_an_address_inside(url: str, person: Person) -> None:
    answer = await person.http.post("/api/v1/agents", json=granted(url))
    assert answer.status_code == 422
    assert [one["pointer"] for one in answer.json()["errors"]] == ["/capabilities/tools/0/url"]
