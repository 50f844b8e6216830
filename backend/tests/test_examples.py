"""Everything that people may copy runs: the programs and contracts in examples/, and the commands in README.md."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from backend.scripts.default_agents import load_default_agents
from backend.tests.fixtures_server import ROOT, NumenServer, Said

EXAMPLES = ROOT / "examples"
CONTRACTS = sorted((EXAMPLES / "contracts").glob("*.json"))
PROGRAMS = sorted(path for path in EXAMPLES.iterdir() if path.is_file())
DOCUMENTS = [ROOT / "README.md"]

# What each program shows that did what it says; a program without an entry fails.
SHOWS = {
    "chat_once.py": [
        r"^you: Hello, who are you\?$",
        r"^IntakeAgent - Manifestation Coach: \S+",
        r"^\(by offline in \d+ ms, thread [0-9a-f-]{36}\)$",
    ],
    "curl.sh": [
        r'"user_id":"660e8400-e29b-41d4-a716-446655440001"',
        r"^event: message\.completed$",
        r"^user: And what can you do\?$",
        r"^1\.1\.0$",
        r'"code":"invalid-request".*"pointer":"/traits/empathy"',
        r"^archived$",
    ],
    "memory.py": [
        r"^you, in thread [0-9a-f]{8}: My boat is called Heron",
        r"^agent: .*(harbour|harbor) of Faro",
        r"^memory: ok, confidence [01]\.\d\d$",
        r"^  1\. My boat is called Heron, and it lies in the harbour of Faro\. \(semantic ",
        r"^after praise: reinforcement 0\.00 -> 0\.[1-9]\d, rank 1 -> 1$",
        r"^found: My boat is called Heron, .*\(relevance 0\.",
        r"^  1\. \(forgotten\) \(semantic ",
    ],
    "session.py": [
        r"^agent: Welcome\. I am glad that you are here\.",
        r"^agent \(preferences\): ",
        r"^agent \(confirmation\): .*gentle",
        r"^agent \(complete\): ",
        r'^plan: \{"goals": \["sleep through the night", "stop worrying about work"\], "tone": "gentle", '
        r'"session_type": "sleep_hypnosis", "voice_id": "calm-female", "notes": ".*sea.*"\}$',
        r"^without consent: 409 session-state$",
        r"^written: induction, \d+ words, [1-9]\d* pauses$",
        r"^written: emergence, \d+ words, [1-9]\d* pauses$",
        r"^induction begins: \S",
        r"^its first pause: [\d.]+ seconds after \d+ characters$",
        r"^completed; the transcript has 17 lines$",
        r"^agent: Hello! Five quick questions",
        r'^plan: \{"goals": \["order food", "chat with my neighbours"\], "level": "intermediate", "focus": "speaking", '
        r'"topics": \["[Cc]ooking", "football"\], "notes": ""\}$',
        r"^written: review, \d+ words, [1-9]\d* pauses$",
    ],
    "stream_and_resume.py": [
        r"^run\.started: run [0-9a-f-]{36}$",
        r"^connection closed after event 1-0$",
        r"^memory\.recalled 2-0: $",
        r"^message\.delta 2-\d+: \S",
        r"^message\.completed 3-\d+: $",
        r"^completed; the pieces are the whole answer: True$",
    ],
    "talk.py": [
        r"^IntakeAgent - Manifestation Coach speaks by local\. ELEVENLABS_API_KEY is not set",
        r"^you: Hello, who are you\?$",
        r"^agent: \S",
        r"^\(was interrupted after 1000 ms\)$",
        r"^\(was interrupted after 2000 ms\)$",
        r"^answer\.wav: 3\.0 seconds$",
    ],
    "version_and_rollback.py": [
        r"^Stargazer 1\.1\.0: empathy 90$",
        r"^-- Empathy 50/100:",
        r"^\+- Empathy 90/100:",
        r"^Stargazer 1\.2\.0: empathy 50$",
        r"^  1\.2\.0 .* Rolled back to 1\.0\.0$",
        r"^Stargazer is archived$",
    ],
}


def expect(said: Said, *patterns: str) -> None:
    """Errors: what the program said instead."""
    assert said.status == 0, f"{said.err}\n{said.out}"
    missing = [one for one in patterns if not re.search(one, said.out, re.MULTILINE)]
    assert not missing, f"{missing} not in:\n{said.out}"


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.name)
def test_every_program_does_what_it_says(running_server: NumenServer, program: Path) -> None:
    command = ["bash", str(program)] if program.suffix == ".sh" else [sys.executable, str(program)]
    expect(running_server.run(command), *SHOWS[program.name])


def test_programs_send_the_key(running_server: NumenServer) -> None:
    """A wrong key is refused also in development mode, so a program that succeeds with one would not have sent it."""
    for program in PROGRAMS:
        command = ["bash", str(program)] if program.suffix == ".sh" else [sys.executable, str(program)]
        said = running_server.run(command, settings={"NUMEN_API_KEY": "no-key-of-this-server"})
        assert said.status != 0, program.name
        assert "401" in said.err + said.out, program.name


def test_shell_programs_can_be_started() -> None:
    assert all(os.access(program, os.X_OK) for program in PROGRAMS if program.suffix == ".sh")


@pytest.mark.parametrize("path", CONTRACTS, ids=lambda path: path.stem)
def test_every_contract_makes_an_agent_that_lives(running_server: NumenServer, path: Path) -> None:
    contract = json.loads(path.read_text("utf-8"))
    with httpx.Client(base_url=f"{running_server.url}/api/v1/agents", trust_env=False) as http:
        made = http.post("", json=contract)
        assert made.status_code == 201, made.text
        agent = made.json()
        for part in contract.keys() - {"tags"}:
            assert contains(agent[part], contract[part]), part
        reply = http.post(f"/{agent['id']}/chat", json={"message": "Hello, who are you?"})
        chats = agent["type"] in ("conversational", "voice")
        assert reply.status_code == (200 if chats else 409), reply.text


def contains(whole: Any, part: Any) -> bool:
    """Whether what was sent is there again, beside defaults."""
    if isinstance(part, dict):
        sent = cast("dict[str, Any]", part)
        return all(name in whole and contains(whole[name], value) for name, value in sent.items())
    if isinstance(part, list):
        items = cast("list[Any]", part)
        return len(items) == len(whole) and all(map(contains, whole, items))
    return whole == part


# --- documents ---

_BLOCK = re.compile(r"^```bash test\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def marked_blocks(text: str) -> list[str]:
    """The commands in fenced blocks whose info string is `bash test`, in order."""
    return _BLOCK.findall(text)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_marked_command_runs(running_server: NumenServer, document: Path) -> None:
    """All blocks of a document are one session, since later ones use what earlier ones have set."""
    archive_all_but_the_default_agents(running_server)
    in_the_same_folder = running_server.folder / "examples"
    if not in_the_same_folder.exists():
        in_the_same_folder.symlink_to(ROOT / "examples")
    blocks = marked_blocks(document.read_text("utf-8"))
    assert blocks
    marks = [f'printf "\\nblock {number} done\\n"\n' for number in range(1, len(blocks) + 1)]
    script = "set -eu\n" + "".join(block + mark for block, mark in zip(blocks, marks, strict=True))
    said = running_server.run(["bash", "-c", script])
    expect(said, *(f"^block {number} done$" for number in range(1, len(blocks) + 1)))
    assert not re.search(r'"type": ?"/problems/', said.out), said.out
    assert "Traceback" not in said.err, said.err


def archive_all_but_the_default_agents(server: NumenServer) -> None:
    """As on the first day: a reader's server has no other agent of the names in the document."""
    with httpx.Client(base_url=f"{server.url}/api/v1/agents", trust_env=False) as http:
        while made := [one["id"] for one in http.get("", params={"limit": 100}).json() if not is_default(one)]:
            for agent_id in made:
                http.delete(f"/{agent_id}").raise_for_status()


def is_default(agent: dict[str, Any]) -> bool:
    return agent["name"] in {one.name for one in load_default_agents().values()}


def test_only_marked_blocks_are_taken() -> None:
    text = "```bash\nmake run\n```\n\n```bash test\none\ntwo\n```\n\n```python\nx\n```\n```bash test\nthree\n```\n"
    assert marked_blocks(text) == ["one\ntwo\n", "three\n"]
