"""`numen session`: a person is interviewed, agrees, and reads their script, offline."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from backend.tests.cli.conftest import Numen
from backend.tests.cli.terminal import Terminal
from backend.tests.fixtures_server import ROOT, NumenServer, Said

Document = dict[str, Any]


@pytest.fixture
def pair(numen: Numen) -> list[str]:
    """The options that name two new agents, who ask for little and write little."""
    mark = uuid4().hex[:8]
    asks: Document = {
        "name": f"Asks {mark}",
        "identity": {"short_description": "Asks what is needed"},
        "configuration": {"llm_provider": "offline"},
        "interview": {
            "opening": "Welcome.",
            "fields": [
                {"name": "goals", "kind": "list", "question": "What would you like to reach?"},
                {
                    "name": "tone",
                    "kind": "choice",
                    "question": "Shall it sound calm or lively?",
                    "options": [
                        {"value": "calm", "description": "Slow and even", "words": ["calm", "quiet"]},
                        {"value": "lively", "description": "Quick and bright", "words": ["lively", "bright"]},
                    ],
                },
            ],
            "confirmation": {"question": "Is that right?"},
        },
    }
    writes: Document = {
        "name": f"Writes {mark}",
        "identity": {"short_description": "Writes what is wanted"},
        "configuration": {"llm_provider": "offline"},
        "script": {"parts": [{"name": name, "purpose": purpose, "minutes": 0.5} for name, purpose in PARTS]},
    }
    numen.write("pair/asks.json", asks)
    numen.write("pair/writes.json", writes)
    numen.ok("agents", "apply", "-f", "pair")
    return ["--intake", asks["name"], "--therapy", writes["name"]]


PARTS = ("arrival", "settle down"), ("heart", "work on the goals")
TALK = "I want to sleep through the night.\nCalm, please.\nYes, that is right.\n"


def id_in(said: Said) -> str:
    found = re.match(r"Session ([0-9a-f-]{36})\n", said.err)
    assert found is not None
    return found[1]


def session(numen: Numen, session_id: str, rest: str = "") -> Any:
    return httpx.get(f"{numen.url}/api/v1/sessions/{session_id}{rest}", trust_env=False).raise_for_status().json()


def test_a_session_from_the_first_question_to_the_script(numen: Numen, pair: list[str]) -> None:
    said = numen("session", *pair, typed=f"{TALK}perhaps\ny\n")
    assert said.status == 0, said
    assert said.out.startswith("Welcome. What would you like to reach?\n")
    assert "Shall it sound calm or lively?" in said.out
    assert "\n  goals: sleep through the night\n  tone: calm\n" in said.out
    ended = session(numen, id_in(said))
    assert (ended["status"], ended["plan"]) == ("completed", {"goals": ["sleep through the night"], "tone": "calm"})
    parts = session(numen, id_in(said), "/script")["parts"]
    assert [one["name"] for one in parts] == [name for name, _ in PARTS]
    assert all(one["text"] in said.out for one in parts)
    assert [line for line in said.err.splitlines() if line.startswith("—")] == ["— arrival, 1 of 2", "— heart, 2 of 2"]
    again = numen("session", "--id", id_in(said))
    assert again.status == 0
    assert all(one["text"] in again.out for one in parts)


def test_a_session_is_gone_on_with_at_every_place(numen: Numen, pair: list[str]) -> None:
    first, *rest = f"{TALK}y\n".splitlines(keepends=True)
    said = numen("session", *pair, typed=first)
    assert said.status == 3
    session_id = id_in(said)
    for line in rest:
        assert said.err.endswith(f"To go on: numen session --id {session_id}\n")
        said = numen("session", "--id", session_id, typed=line)
    assert (said.status, session(numen, session_id)["status"]) == (0, "completed")


def test_a_plan_that_is_refused_is_talked_about_again(numen: Numen, pair: list[str]) -> None:
    said = numen("session", *pair, typed=f"{TALK}no\nLively, not calm.\nYes.\nyes\n")
    assert said.status == 0, said
    assert "  tone: calm\n" in said.out
    assert "  tone: lively\n" in said.out
    assert session(numen, id_in(said))["plan"]["tone"] == "lively"


def test_a_crisis_ends_the_session_with_its_answer(numen: Numen) -> None:
    said = numen("session", typed="I want to kill myself.\nCalm.\n")
    assert said.status == 1
    assert said.err.splitlines()[-1].startswith("numen: What was said sounded like a crisis.")
    ended = session(numen, id_in(said))
    assert ended["status"] == "failed"
    assert said.out.rstrip().endswith(ended["response"])
    assert numen("session", "--id", ended["id"]).status == 1


def test_sessions_are_of_the_person_who_is_spoken_for(numen: Numen, pair: list[str]) -> None:
    said = numen("session", *pair, "--user", "customer-7", typed=TALK.splitlines(keepends=True)[0])
    session_id = id_in(said)
    other = numen("session", "--id", session_id, "--user", "customer-8")
    assert (other.status, other.err) == (1, "numen: There is no session with this id.\n")
    assert numen("session", "--id", session_id, "--user", "customer-7").status == 3


def test_what_cannot_be_meant(numen: Numen, pair: list[str]) -> None:
    assert numen("session", "--id", str(uuid4()), *pair).status == 2
    assert numen("session", "--id", str(uuid4())).err == "numen: There is no session with this id.\n"
    assert "There is no agent named Nobody." in numen("session", "--intake", "Nobody at all").err.replace(" at all", "")
    swapped = numen("session", "--intake", pair[3])
    assert (swapped.status, swapped.out) == (1, "")


def test_the_example_pair_of_another_field(numen: Numen) -> None:
    contracts = ROOT / "examples" / "contracts"
    files = [str(contracts / f"tutor_{one}.json") for one in ("placement_interview", "lesson")]
    names = [json.loads((contracts / one).read_text("utf-8"))["name"] for one in files]
    numen.ok("agents", "apply", "-f", files[0], "-f", files[1])
    said = numen("session", "--intake", names[0], "--therapy", names[1], typed="Hello.\n")
    assert said.status == 3
    assert len(said.out.splitlines()) >= 2


# --- a terminal ---


@pytest.fixture
def sitting(running_server: NumenServer, pair: list[str]) -> Generator[Terminal]:
    """Somebody in a session."""
    opened = Terminal(running_server.folder, running_server.environment(), "session", *pair)
    yield opened
    opened.leave()


def test_a_session_at_a_terminal(sitting: Terminal) -> None:
    sitting.wait_for(r"Session [0-9a-f-]{36}")
    for line in TALK.splitlines():
        sitting.wait_for("you> ")
        sitting.type(f"{line}\n")
    asked = sitting.wait_for(r"Do you agree to this plan\? \[y/n\] ")
    assert "tone: calm" in asked
    sitting.type("y\n")
    sitting.wait_for("— heart, 2 of 2")
    assert sitting.end() == 0


def test_who_leaves_a_session_is_told_how_to_come_back(sitting: Terminal, numen: Numen) -> None:
    sitting.wait_for("you> ")
    sitting.type("\x04")
    told = sitting.wait_for(r"To go on: numen session --id [0-9a-f-]{36}")
    assert sitting.end() == 0
    assert session(numen, told.split()[-1])["status"] == "pending"
