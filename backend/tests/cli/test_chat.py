"""`numen chat`: one message, a pipe, and a person at a terminal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Generator
from uuid import uuid4

import httpx
import pytest

from backend.tests.cli.conftest import Numen
from backend.tests.cli.terminal import PATIENCE, Terminal
from backend.tests.fixtures_server import NumenServer
from backend.tests.protocol_servers.openai_server import OpenAIServer


@pytest.fixture
def modelled(numen: Numen, openai_server: OpenAIServer) -> str:
    """The name of an agent that the local model server answers."""
    name = f"Modelled {uuid4().hex[:8]}"
    contract = {
        "name": name,
        "identity": {"short_description": "Answers by the local server"},
        "configuration": {"llm_provider": "local", "llm_model": "test-model"},
    }
    numen.ok("agents", "apply", "-f", numen.write("modelled.json", contract))
    openai_server.answer("Hello from the model.")
    return name


def messages(numen: Numen, name: str) -> list[tuple[str, str, str]]:
    """(role, status, content) of everything in the agent's newest thread."""
    agent_id = numen.json("agents", "get", name)["id"]
    with httpx.Client(base_url=f"{numen.url}/api/v1", trust_env=False) as http:
        thread = http.get(f"/agents/{agent_id}/threads").json()[0]["id"]
        found = http.get(f"/threads/{thread}/messages").json()
    return [(one["role"], one["status"], one["content"]) for one in found]


def test_one_message_gets_one_answer_and_nothing_else(numen: Numen, modelled: str) -> None:
    said = numen("chat", modelled, "-m", "Hello?")
    assert (said.status, said.out, said.err) == (0, "Hello from the model.\n", "")
    agent_id = numen.json("agents", "get", modelled)["id"]
    assert numen.ok("chat", agent_id, "-m", "Hello?") == "Hello from the model.\n"


def test_a_pipe_is_one_conversation_line_by_line(numen: Numen, modelled: str) -> None:
    said = numen.ok("chat", modelled, typed="First line\n\n  \nSecond line")
    assert said == "Hello from the model.\n" * 2
    assert [content for role, _, content in messages(numen, modelled) if role == "user"] == [
        "First line",
        "Second line",
    ]


def test_a_thread_can_be_gone_on_with(numen: Numen, modelled: str) -> None:
    numen.ok("chat", modelled, "-m", "One")
    agent_id = numen.json("agents", "get", modelled)["id"]
    thread = httpx.get(f"{numen.url}/api/v1/agents/{agent_id}/threads", trust_env=False).json()[0]["id"]
    numen.ok("chat", modelled, "--thread", thread, "-m", "Two")
    assert len(messages(numen, modelled)) == 4
    assert (
        numen("chat", modelled, "--thread", str(uuid4()), "-m", "Three").err
        == "numen: There is no thread with this id.\n"
    )


def test_a_person_of_a_product_has_threads_of_their_own(numen: Numen, modelled: str) -> None:
    numen.ok("chat", modelled, "-m", "Hello", "--user", "customer-ünïcode-42")
    agent_id = numen.json("agents", "get", modelled)["id"]
    path = f"{numen.url}/api/v1/agents/{agent_id}/threads"
    own = httpx.get(path, headers=[(b"numen-user", "customer-ünïcode-42".encode())], trust_env=False).json()
    others = httpx.get(path, headers={"numen-user": "customer-43"}, trust_env=False).json()
    assert (len(own), others) == (1, [])


def test_an_answer_cannot_steer_the_terminal(numen: Numen, modelled: str, openai_server: OpenAIServer) -> None:
    openai_server.answer(pieces=["Red: \x1b[31mred\x07", "\u2028 and\ttab\nline"])
    assert numen.ok("chat", modelled, "-m", "Colour?") == "Red: [31mred\u2028 and\ttab\nline\n"


def test_a_failed_turn_is_told_in_one_line(numen: Numen, modelled: str, openai_server: OpenAIServer) -> None:
    openai_server.fault("bad_request")
    said = numen("chat", modelled, typed="One\nTwo\n")
    assert said.status == 1
    assert said.err.startswith("numen: ")
    assert said.err.count("\n") == 2
    assert [status for _, status, _ in messages(numen, modelled)] == ["complete", "failed"] * 2


def test_an_archived_agent_does_not_chat(numen: Numen, modelled: str) -> None:
    agent_id = numen.json("agents", "get", modelled)["id"]
    httpx.delete(f"{numen.url}/api/v1/agents/{agent_id}", trust_env=False).raise_for_status()
    said = numen("chat", modelled, "-m", "Hello?")
    assert said.status == 1
    assert "archived" in said.err


# --- a terminal ---


@pytest.fixture
def terminal(running_server: NumenServer, modelled: str) -> Generator[Terminal]:
    """Somebody who talks to the agent."""
    opened = Terminal(running_server.folder, running_server.environment(), "chat", modelled)
    yield opened
    opened.leave()


def test_a_conversation_at_a_terminal(
    terminal: Terminal, modelled: str, numen: Numen, openai_server: OpenAIServer
) -> None:
    assert f"{modelled} 1.0.0, Answers by the local server" in terminal.wait_for("you> ")
    terminal.type("Good evening\n")
    terminal.wait_for(f"{modelled}> Hello from the model.")
    terminal.wait_for("you> ")
    openai_server.fault("slow_total")
    terminal.type("Tell me everything\n")
    terminal.wait_for(f"{modelled}> .*\\w")
    terminal.interrupt()
    terminal.wait_for("numen: The run was cancelled")
    terminal.wait_for("you> ")
    terminal.interrupt()
    terminal.wait_for("Ctrl-D leaves.")
    terminal.wait_for("you> ")
    terminal.type("\x04")
    terminal.wait_for("To go on: --thread [0-9a-f-]{36}")
    assert terminal.end() == 0
    told = messages(numen, modelled)
    assert [status for _, status, _ in told] == ["complete", "complete", "complete", "cancelled"]


def test_ctrl_c_stops_a_single_answer(
    running_server: NumenServer, modelled: str, numen: Numen, openai_server: OpenAIServer
) -> None:
    openai_server.fault("slow_total")
    command = [sys.executable, "-m", "backend.cli", "chat", modelled, "-m", "Tell me everything"]
    with subprocess.Popen(
        command, cwd=running_server.folder, env=running_server.environment(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        openai_server.wait_for_calls(1, PATIENCE)
        assert process.stdout is not None
        assert process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert complaint.startswith("numen: The run was cancelled")
    assert messages(numen, modelled)[-1][1] == "cancelled"


def test_what_the_stream_is_made_of(numen: Numen, modelled: str) -> None:
    """The command reads the public stream: what it prints is what any client gets."""
    agent_id = numen.json("agents", "get", modelled)["id"]
    path = f"{numen.url}/api/v1/agents/{agent_id}/chat/stream"
    text = httpx.post(path, json={"message": "Hello?"}, trust_env=False).text
    deltas = [json.loads(line[6:])["text"] for line in text.splitlines() if line.startswith('data: {"text"')]
    assert "".join(deltas) == "Hello from the model."
