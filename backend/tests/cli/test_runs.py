"""`numen run` and `numen runs`, against the real application."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Generator
from typing import Any
from uuid import uuid4

import pytest

from backend.tests.cli.conftest import Numen, Operator
from backend.tests.cli.terminal import Terminal
from backend.tests.fixtures_server import NumenServer
from backend.tests.protocol_servers.openai_server import OpenAIServer

UUID = r"[0-9a-f]{8}-[0-9a-f-]{27}"
ASK = {"kind": "tool", "id": "time", "tool": "current_time", "arguments": {"timezone": "Asia/Tokyo"}}
DRAFT = {"kind": "prompt", "id": "draft", "prompt": "Say it in a sentence."}


def worker(name: str, *steps: dict[str, Any], approval: str = "never", provider: str = "openai") -> dict[str, Any]:
    """The contract of a workflow that may ask for the time."""
    return {
        "name": name,
        "type": "workflow",
        "identity": {"short_description": "Does what it is told"},
        "configuration": {
            "llm_provider": provider,
            "llm_model": "test-model",
            "memory_enabled": False,
            "tools_enabled": True,
        },
        "capabilities": {"tools": [{"kind": "builtin", "name": "current_time", "approval": approval}]},
        "workflow": {"steps": list(steps), "retry_policy": {"max_retries": 1, "backoff_multiplier": 1}},
    }


async def make(operator: Operator, *steps: dict[str, Any], approval: str = "never") -> str:
    """The id of such an agent, called Worker."""
    made = await operator.person.ok("POST", "/api/v1/agents", worker("Worker", *steps, approval=approval))
    return made["id"]


async def test_a_run_is_followed_to_its_result(operator: Operator, openai_server: OpenAIServer) -> None:
    await make(operator, DRAFT, ASK, {**DRAFT, "id": "polish"})
    openai_server.answer("All is well.")
    said = await operator("run", "Worker", "Added: export as CSV.")
    assert (said.status, said.out) == (0, "All is well.\n")
    assert said.err.splitlines() == ["▸ draft", "✓ draft", "▸ time", "· current_time", "✓ time", "▸ polish", "✓ polish"]
    assert "Added: export as CSV." in json.dumps(openai_server.calls[0].body)

    [listed] = json.loads(await operator.ok("runs", "list", "Worker", "--json"))
    header, row = (await operator.ok("runs", "list", "Worker")).splitlines()
    assert header.split() == ["STARTED", "KIND", "STATUS", "SECONDS", "ID", "RESULT"]
    assert re.fullmatch(rf"\S+  workflow  completed  \d+\.\d +{listed['id']}  All is well\.", row)
    shown = (await operator.ok("runs", "show", listed["id"])).splitlines()
    assert re.fullmatch(rf"workflow {listed['id']}: completed, \S+Z, \d+\.\d s", shown[0])
    assert shown[1].split() == ["#", "STEP", "KIND", "TRY", "STATUS", "SECONDS", "GAVE"]
    assert [re.split("  +", line)[1:5] for line in shown[2:5]] == [
        ["draft", "model", "1", "completed"],
        ["time", "tool current_time", "1", "completed"],
        ["polish", "model", "1", "completed"],
    ]
    assert shown[-1] == "All is well."
    document = json.loads(await operator.ok("runs", "show", listed["id"], "--json"))
    assert (document["run"]["status"], len(document["steps"])) == ("completed", 3)
    again = await operator("runs", "follow", listed["id"])
    assert again == said


async def test_input_comes_from_a_pipe_and_the_run_goes_to_a_program(
    operator: Operator, openai_server: OpenAIServer
) -> None:
    await make(operator, DRAFT)
    openai_server.answer("Done.")
    run = json.loads(await operator.ok("run", "Worker", "-", "--json", typed="First\nSecond\n"))
    assert (run["status"], run["text"]) == ("completed", "Done.")
    assert r'"First\nSecond"' in openai_server.calls[0].body["messages"][-1]["content"]
    left = (await operator.ok("run", "Worker", "--detach")).strip()
    assert (await operator("runs", "follow", left)).out == "Done.\n"
    assert json.loads(await operator.ok("run", "Worker", "--detach", "--json"))["kind"] == "workflow"


async def test_a_failed_run_ends_with_1_and_says_what_failed(operator: Operator, openai_server: OpenAIServer) -> None:
    await make(operator, DRAFT)
    openai_server.fault("bad_request")
    said = await operator("run", "Worker")
    assert (said.status, said.out) == (1, "")
    *steps, last = said.err.splitlines()
    assert steps[0] == "▸ draft"
    assert steps[1].startswith("✗ draft: ")
    assert last.startswith("numen: Step draft failed")
    [run] = json.loads(await operator.ok("runs", "list", "Worker", "--status", "failed", "--json"))
    shown = await operator("runs", "show", run["id"])
    assert re.search(r"1 +draft +model +1 +failed", shown.out)
    assert "Step draft failed" in shown.err


async def test_a_run_that_waits_ends_with_3_and_is_answered_by_command(
    operator: Operator, openai_server: OpenAIServer
) -> None:
    await make(operator, ASK, DRAFT, approval="always")
    openai_server.answer("It is late.")
    said = await operator("run", "Worker")
    assert (said.status, said.out) == (3, "")
    assert "The agent wants to use current_time" in said.err
    assert '"timezone": "Asia/Tokyo"' in said.err
    told = re.search(rf"  numen (runs approve {UUID} {UUID})\n", said.err)
    assert told is not None
    _, _, run_id, call_id = told[1].split()
    assert (await operator.ok("runs", "list", "Worker", "--status", "waiting")).endswith("  waits for a person\n")
    assert told[1] in (await operator("runs", "show", run_id)).err

    agreed = await operator(*told[1].split())
    assert agreed.out.splitlines()[0] == f"{call_id}: approved"
    followed = await operator("runs", "follow", run_id)
    assert (followed.status, followed.out) == (0, "It is late.\n")
    assert followed.err.splitlines()[-4:] == ["· current_time", "✓ time", "▸ draft", "✓ draft"]
    twice = await operator(*told[1].split())
    assert (twice.status, twice.out) == (1, "")
    assert "No call of this run waits for an answer." in (await operator("runs", "approve", run_id)).err


async def test_a_call_is_denied_with_a_reason(operator: Operator) -> None:
    await make(operator, ASK, approval="always")
    await operator("run", "Worker")
    [listed] = json.loads(await operator.ok("runs", "list", "Worker", "--json"))
    run = await operator.person.ok("GET", f"/api/v1/runs/{listed['id']}")
    said = await operator("runs", "deny", run["id"], "--reason", "It is none of its business.")
    assert said.out.splitlines()[0] == f"{run['approvals'][0]['call_id']}: denied"
    assert "The agent wants to use current_time" in said.err
    followed = await operator("runs", "follow", run["id"])
    assert followed.status == 1
    assert "A person refused it." in followed.err
    document = json.loads(await operator.ok("runs", "show", run["id"], "--json"))
    assert [one["status"] for one in document["steps"]] == ["denied"]
    assert "none of its business" in json.dumps(document)


async def test_a_run_is_cancelled(operator: Operator, openai_server: OpenAIServer) -> None:
    await make(operator, DRAFT)
    openai_server.fault("slow_headers")
    run_id = (await operator.ok("run", "Worker", "--detach")).strip()
    await asyncio.to_thread(openai_server.wait_for_calls, 1, 15)
    assert await operator.ok("runs", "cancel", run_id) == f"{run_id}: cancelled\n"
    assert "There is no run with this id." in (await operator("runs", "cancel", str(uuid4()))).err
    assert "already ended" in (await operator("runs", "cancel", run_id)).err


async def test_who_only_talks_is_not_set_to_work(operator: Operator) -> None:
    await operator.person.make_agent(name="Talker")
    said = await operator("run", "Talker", "Work!")
    assert said.status == 1
    assert said.err.startswith("numen: An agent of type conversational is talked to")
    assert "No runs." in (await operator("runs", "list", "Talker")).err


# --- a chat whose tools are asked for ---


async def chatty(operator: Operator, openai_server: OpenAIServer, approval: str) -> None:
    """An agent that asks for the time once before it answers."""
    parts = worker("Chatty", approval=approval)
    await operator.person.ok("POST", "/api/v1/agents", {**parts, "type": "conversational", "workflow": None})
    openai_server.answer_once("Let me see. ", tool_calls=(("call_1", "current_time", '{"timezone": "Asia/Tokyo"}'),))
    openai_server.answer("It is late.")


async def test_a_chat_shows_the_tools_that_are_used(operator: Operator, openai_server: OpenAIServer) -> None:
    await chatty(operator, openai_server, "never")
    said = await operator("chat", "Chatty", "-m", "How late is it?")
    assert (said.status, said.out) == (0, "Let me see. \n\nIt is late.\n")
    assert said.err == "· current_time\n"


async def test_a_chat_that_waits_says_how_to_answer_and_goes_on(
    operator: Operator, openai_server: OpenAIServer
) -> None:
    await chatty(operator, openai_server, "always")
    said = await operator("chat", "Chatty", typed="How late is it?\nAnd now?\n")
    assert said.status == 3
    told = re.search(rf"numen (runs approve ({UUID}) {UUID})\n", said.err)
    assert told is not None
    await operator.ok(*told[1].split())
    followed = await operator("runs", "follow", told[2])
    assert followed.status == 0
    assert followed.out.endswith("It is late.\n")


# --- a terminal ---


@pytest.fixture
def waiting(numen: Numen, openai_server: OpenAIServer) -> str:
    """The name of a workflow that asks a person twice."""
    name = f"Worker {uuid4().hex[:8]}"
    steps = ASK, {**ASK, "id": "again"}
    numen.ok("agents", "apply", "-f", numen.write("w.json", worker(name, *steps, approval="always", provider="local")))
    return name


@pytest.fixture
def endless(numen: Numen, openai_server: OpenAIServer) -> str:
    """The name of a workflow whose model does not answer."""
    name = f"Worker {uuid4().hex[:8]}"
    numen.ok("agents", "apply", "-f", numen.write("w.json", worker(name, DRAFT, provider="local")))
    openai_server.fault("slow_headers")
    return name


@pytest.mark.parametrize(("command", "status"), [("run", "cancelled"), ("follow", "running")])
def test_ctrl_c_stops_a_run_but_not_one_that_is_only_watched(
    running_server: NumenServer, numen: Numen, endless: str, command: str, status: str
) -> None:
    arguments = ["run", endless]
    if command == "follow":
        arguments = ["runs", "follow", numen.ok("run", endless, "--detach").strip()]
    terminal = Terminal(running_server.folder, running_server.environment(), *arguments)
    try:
        terminal.wait_for("▸ draft")
        terminal.interrupt()
        assert terminal.end() == 130
    finally:
        terminal.leave()
    [run] = json.loads(numen.ok("runs", "list", endless, "--json"))
    assert run["status"] == status
    numen("runs", "cancel", run["id"])


@pytest.fixture
def working(running_server: NumenServer, waiting: str) -> Generator[Terminal]:
    """Somebody who runs it."""
    opened = Terminal(running_server.folder, running_server.environment(), "run", waiting)
    yield opened
    opened.leave()


def test_at_a_terminal_every_call_is_asked_for(working: Terminal, numen: Numen, waiting: str) -> None:
    asked = working.wait_for(r"Allow it\? \[y/n\]: ")
    assert "The agent wants to use current_time" in asked
    assert "Asia/Tokyo" in asked
    working.type("y\n")
    working.wait_for("✓ time")
    working.wait_for(r"Allow it\? \[y/n\]: ")
    working.type("n\n")
    working.wait_for("numen: Step again failed: A person refused it.")
    assert working.end() == 1
    [run] = json.loads(numen.ok("runs", "list", waiting, "--json"))
    assert run["status"] == "failed"


def test_who_leaves_a_question_open_is_told_how_to_come_back(working: Terminal, numen: Numen, waiting: str) -> None:
    working.wait_for(r"Allow it\? \[y/n\]: ")
    working.interrupt()
    working.wait_for(r"numen runs approve")
    assert working.end() == 3
    [run] = json.loads(numen.ok("runs", "list", waiting, "--json"))
    assert run["status"] == "waiting"
    numen.ok("runs", "cancel", run["id"])
