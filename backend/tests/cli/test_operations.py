"""What an operator does: serve, migrate, seed, doctor; and how the command behaves as a program."""

from __future__ import annotations

import json
import re
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from backend import __version__
from backend.cli.doctor import lines_of, report
from backend.scripts.standard.rule import Verdict
from backend.scripts.standard.run import Score
from backend.tests.cli.conftest import Numen
from backend.tests.fixtures_server import NumenServer

HEAVY = (
    "fastapi",
    "uvicorn",
    "asyncpg",
    "langgraph",
    "openai",
    "rich",
    "pydantic_settings",
    "backend.container",
    "backend.models",
)


COMMANDS = ("serve", "chat", "run", "session", "agents", "runs", "doctor")


# --- as a program ---


def test_a_short_command_loads_nothing_heavy(running_server: NumenServer) -> None:
    code = "import sys; from backend.cli.__main__ import app; app(['agents', 'list'], standalone_mode=False); "
    code += f"sys.exit(', '.join(name for name in {HEAVY} if name in sys.modules) or 0)"
    said = running_server.run([sys.executable, "-c", code])
    assert said.status == 0, said.err
    assert "IntakeAgent" in said.out


def test_the_program_is_what_installation_calls(running_server: NumenServer) -> None:
    said = running_server.run(["numen", "agents", "get", "Nobody at all"])
    assert (said.status, said.out) == (1, "")
    assert said.err == "numen: There is no agent named Nobody at all. `numen agents list` shows them all.\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["agents", "list", "--status", "gone"],
        ["chat"],
        ["serve", "--port", "http"],
        ["agents", "apply"],
    ],
)
def test_a_wrong_command_line_is_told_apart(nowhere: Numen, arguments: list[str]) -> None:
    said = nowhere(*arguments)
    assert said.status == 2
    assert "Usage" in said.err


def test_version_and_help(nowhere: Numen) -> None:
    assert nowhere.ok("--version") == f"numen {__version__}\n"
    described = nowhere.ok("--help")
    assert all(re.search(rf"^  {name} ", described, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("arguments", [["agents", "list"], ["chat", "Somebody", "-m", "Hello"], ["keys", "list"]])
def test_without_a_server_it_is_said_how_to_start_one(nowhere: Numen, arguments: list[str]) -> None:
    said = nowhere(*arguments)
    assert (said.status, said.out) == (1, "")
    start = "Start it with `numen serve` (or `make run`), or set NUMEN_URL."
    assert said.err == f"numen: No server answers at http://127.0.0.1:1. {start}\n"


def test_another_program_at_the_address_is_no_numen(numen: Numen) -> None:
    said = numen("agents", "list", NUMEN_URL=f"{numen.url}/docs?")
    assert said.status == 1
    assert "does not answer like Numen (status 200, text/html" in said.err


# --- serve ---


def test_the_server_says_what_a_person_needs(running_server: NumenServer) -> None:
    said = running_server.announced
    assert "Development mode: no key is asked for" in said
    assert "Answers come from the built-in offline provider" in said
    line = next(line for line in said.splitlines() if line.strip().startswith("curl"))
    answer = running_server.run(["bash", "-c", line])
    assert json.loads(answer.out)["metadata"]["offline"] is True


def test_a_wrong_setting_is_told_before_anything_starts(nowhere: Numen) -> None:
    said = nowhere("serve", NUMEN_PORT="http")
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith("numen: NUMEN_PORT: 'http' does not fit")


def test_a_port_and_a_data_folder_that_are_taken_are_told(running_server: NumenServer) -> None:
    port = str(urlsplit(running_server.url).port)
    start = partial(running_server.numen, "serve", "--port")
    with ThreadPoolExecutor() as both:
        no_port, no_folder = both.map(start, (port, "0"))
    assert f"numen: Cannot listen on 127.0.0.1:{port}" in no_port.err
    assert re.search(r"^numen: Process \d+ already serves from ", no_folder.err, re.MULTILINE)
    for said in (no_port, no_folder):
        assert (said.status, said.out) == (1, "")
        assert "Traceback" not in said.err


def test_keys_mode_prints_its_first_key_and_sigterm_stops_everything(data_folder: Path) -> None:
    server = NumenServer(data_folder, NUMEN_AUTH="keys")
    try:
        refused = server.numen("agents", "list")
        assert (refused.status, refused.out) == (1, "")
        assert refused.err.endswith(" Set NUMEN_API_KEY.\n")
        key = re.search(r"numen_sk_\w+", server.wait_until_announced("curl"))
        assert key is not None
        assert server.numen("agents", "list", settings={"NUMEN_API_KEY": key[0]}).status == 0
    except BaseException:
        server.kill()
        raise
    assert server.stop(signal.SIGTERM) == 0


# --- migrate, seed, doctor: beside a running server ---


def beside(server: NumenServer) -> dict[str, str]:
    """The settings of a command that works on the same deployment as the server."""
    ours = server.environment()
    return {name: ours[name] for name in ("NUMEN_DATA_DIR", "NUMEN_PROMPTS_DIR", "NUMEN_LLM_PROVIDERS")}


def test_migrate_and_seed_change_nothing_twice(numen: Numen, running_server: NumenServer) -> None:
    assert numen.ok("migrate", **beside(running_server)) == "The schema is up to date.\n"
    assert numen.ok("seed", **beside(running_server)).splitlines() == [
        "IntakeAgent - Manifestation Coach: there already",
        "TherapyAgent - Hypnotherapist: there already",
    ]


def test_seed_brings_agents_back_to_the_shipped_contracts(numen: Numen, running_server: NumenServer) -> None:
    name = "TherapyAgent - Hypnotherapist"
    before = numen.json("agents", "get", name)
    exported = json.loads(numen.ok("agents", "export", name))
    exported["contract"]["traits"]["humor"] = 100
    exported["versions"] = []
    numen.ok("agents", "apply", "-f", numen.write("funny.json", exported))
    assert numen.json("agents", "get", name)["traits"]["humor"] == 100
    assert f"{name}: there already" in numen.ok("seed", **beside(running_server))
    assert f"{name}: updated" in numen.ok("seed", "--update", **beside(running_server))
    after = numen.json("agents", "get", name)
    assert after["traits"] == before["traits"]
    assert after["version"] != before["version"]


def test_the_doctor_looks_at_the_deployment(numen: Numen, running_server: NumenServer) -> None:
    said = numen("doctor", **beside(running_server))
    lines = said.out.splitlines()
    assert said.status == 0
    checks = [
        "python",
        "settings",
        "data",
        "mirror",
        "database",
        "migrations",
        "walls",
        "server",
        "release",
        "mirror",
        "index",
        "models",
    ]
    assert [line.split()[1] for line in lines if not line.startswith(" ")] == checks
    assert "warn  models         the built-in offline provider, which answers by rule" in lines
    assert any("→ Set OPENAI_API_KEY" in line for line in lines)
    told = json.loads(numen.ok("doctor", "--json", **beside(running_server)))
    assert {one["status"] for one in told} == {"ok", "warn"}


def test_the_doctor_finds_what_is_wrong(nowhere: Numen) -> None:
    said = nowhere("doctor", NUMEN_DATA_DIR=str(nowhere.folder), NUMEN_PROMPTS_DIR=str(nowhere.folder))
    assert said.status == 1
    assert "fail  server         nothing answers at http://127.0.0.1:1" in said.out
    said = nowhere("doctor", NUMEN_PORT="70000")
    assert said.status == 1
    assert "fail  settings       NUMEN_PORT: '70000' does not fit" in said.out


def test_memories_are_indexed_anew_by_the_server_that_has_the_index(numen: Numen, running_server: NumenServer) -> None:
    for _ in range(2):
        said = numen("memories", "reindex", **beside(running_server))
        assert said.status == 0, said.err
        assert re.search(r"^\d+ memories are to be indexed anew; the server \(process \d+\) does it now\.$", said.out)


def test_the_standard_holds_on_a_running_server(numen: Numen, running_server: NumenServer) -> None:
    said = numen("doctor", "--standard", **beside(running_server))
    assert said.status == 0, said.out
    assert said.out.splitlines()[-1] == "score 100/100"
    assert re.search(r"^ 1 passed The contract is king$", said.out, re.MULTILINE)
    assert re.search(r"^100/100 of what is counted, in \d+\.\d s$", said.out, re.MULTILINE)


def test_a_rule_that_does_not_hold_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    verdicts = [Verdict(1, "Holds", True, ["seen"]), Verdict(2, "Does not", False, [], ["found 3"])]
    assert report(verdicts, Score(10, 20, 1.25, cleaned_up=True), machine=False) == 1
    assert capsys.readouterr().out == "10/20 of what is counted, in 1.2 s\nscore 10/100\n"
    assert lines_of(verdicts[1]) == [" 2 FAILED Does not", "          NOT: found 3"]
    assert report(verdicts, Score(10, 20, 1.25, cleaned_up=True), machine=True) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["score"], told["counted"], told["of"]) == (10, 20, 100)
    assert [(one["number"], one["passed"], one["failures"]) for one in told["rules"]] == [
        (1, True, []),
        (2, False, ["found 3"]),
    ]


def test_what_is_left_behind_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert report([], Score(90, 90, 1, cleaned_up=False), machine=False) == 1
    assert "folders of scratch agents are left over" in capsys.readouterr().err
    assert report([], Score(90, 90, 1, cleaned_up=True), machine=False) == 0
