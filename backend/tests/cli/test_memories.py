"""`numen memories`, against a real server."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest

from backend.tests.cli.conftest import Numen

PATIENCE = 30
IDENTITY = {"short_description": "A guide to the night sky"}


@pytest.fixture
def agent(numen: Numen) -> str:
    """The name of a new agent."""
    name = f"Agent {uuid4().hex[:8]}"
    numen.ok("agents", "apply", "-f", numen.write("made.json", {"name": name, "identity": IDENTITY}))
    return name


def indexed(numen: Numen, agent: str) -> None:
    """Wait until everything that the agent knows can be found."""
    give_up = time.monotonic() + PATIENCE
    while not all(one["indexed_at"] for one in numen.json("memories", "list", agent, "--json")):
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_what_is_added_is_listed_found_and_forgotten(numen: Numen, agent: str) -> None:
    kept = numen.ok("memories", "add", agent, "The dome opens at dusk.", "--kind", "fact")
    memory_id = kept.strip().removeprefix("kept: ")
    assert (
        numen.ok("memories", "add", agent, "the dome opens at dusk") == f"known already, and confirmed: {memory_id}\n"
    )
    numen.ok("memories", "add", agent, "The telescope is\nin repair.")
    header, *rows = numen.ok("memories", "list", agent).splitlines()
    assert header.split() == ["SAID", "SCOPE", "KIND", "ID", "TEXT"]
    assert [row.split("  ")[-1] for row in rows] == ["The telescope is in repair.", "The dome opens at dusk."]
    assert memory_id in rows[1]
    assert len(numen.json("memories", "list", agent, "--kind", "fact", "--json")) == 1
    assert len(numen.json("memories", "list", agent, "--limit", "1", "--json")) == 1

    indexed(numen, agent)
    header, first, *_ = numen.ok("memories", "search", agent, "when", "does", "the", "dome", "open").splitlines()
    assert header.split() == ["SCORE", "RELEVANCE", "SAID", "SCOPE", "KIND", "ID", "TEXT"]
    assert first.endswith("The dome opens at dusk.")
    found = numen.json("memories", "search", agent, "when does the dome open", "--json", "--limit", "1")
    assert [one["memory"]["id"] for one in found] == [memory_id]

    assert numen.ok("memories", "forget", memory_id) == f"forgotten: {memory_id}\n"
    assert numen("memories", "forget", memory_id).err == "numen: There is no memory with this id.\n"
    assert [one["text"] for one in numen.json("memories", "list", agent, "--json")] == ["The telescope is\nin repair."]


def test_of_a_person_of_a_product(numen: Numen, agent: str) -> None:
    numen.ok("memories", "add", agent, "I like tea.", "--user", "customer-1")
    numen.ok("memories", "add", agent, "Tea is served at four.")
    [mine] = numen.json("memories", "list", agent, "--user", "customer-1", "--json")
    assert (mine["text"], mine["scope"]) == ("I like tea.", "user")
    assert "No memories." in numen("memories", "list", agent, "--user", "customer-2").err
    assert numen("memories", "forget", mine["id"], "--user", "customer-2").status == 1
    assert "forgotten" in numen.ok("memories", "forget", mine["id"], "--user", "customer-1")


def test_everything_of_a_thread_is_forgotten(numen: Numen, agent: str) -> None:
    numen.ok("chat", agent, "-m", "My boat is called Heron.")
    [told] = numen.json("memories", "list", agent, "--json")
    thread = told["thread_id"]
    assert thread
    numen.ok("memories", "add", agent, "They were in a hurry.", "--thread", thread)
    assert len(numen.json("memories", "list", agent, "--thread", thread, "--json")) == 2
    assert numen.ok("memories", "forget", "--thread", thread) == "forgotten: 2 memories\n"
    assert numen.ok("memories", "forget", "--thread", thread) == "forgotten: 0 memories\n"
    assert numen.json("memories", "list", agent, "--json") == []


def test_what_cannot_be_meant(numen: Numen, agent: str) -> None:
    name_one = "numen: Name one memory by its id, or a thread with --thread.\n"
    assert numen("memories", "forget").err == name_one
    assert numen("memories", "forget", str(uuid4()), "--thread", str(uuid4())).err == name_one
    assert numen("memories", "forget", "--thread", str(uuid4())).err == "numen: There is no thread with this id.\n"
    assert numen("memories", "forget", "a/../b?c").status == 1
    assert "There is no agent named" in numen("memories", "list", f"{agent} x").err
    said = numen("memories", "add", agent, " ")
    assert said.status == 1
    assert "/text" in said.err
