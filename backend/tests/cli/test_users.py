"""`numen users`, against a real server."""

from __future__ import annotations

from uuid import uuid4

from backend.tests.cli.conftest import Numen

AGENT = "IntakeAgent - Manifestation Coach"


def test_a_person_is_erased_with_a_certificate(numen: Numen) -> None:
    person = f"customer-{uuid4().hex[:8]}"
    numen.ok("chat", AGENT, "-m", "Hello", "--user", person)
    said = numen.json("users", "erase", person, "--yes", "--json")
    assert said["status"] == "done"
    removed = {one["store"]: one["removed"] for one in said["certificate"]["stores"]}
    assert removed["users"] == removed["threads"] == 1
    assert removed["thread_messages"] == 2
    again = numen.ok("users", "erase", said["user_id"], "--yes")
    assert said["id"] in again
    assert "Not verified:" in again
    row = next(line.split() for line in again.splitlines() if line.startswith("thread_messages"))
    assert row == ["thread_messages", "2", "0"]


def test_it_asks_first(numen: Numen) -> None:
    person = f"customer-{uuid4().hex[:8]}"
    numen.ok("chat", AGENT, "-m", "Hello", "--user", person)
    said = numen("users", "erase", person, typed="n\n")
    assert said.status == 1
    assert "for good?" in said.out + said.err
    assert numen.json("users", "erase", person, "--yes", "--json")["certificate"]


def test_who_is_nobody_is_not_erased(numen: Numen) -> None:
    said = numen("users", "erase", str(uuid4()), "--yes")
    assert (said.status, said.err) == (1, "numen: There is no person with this id.\n")
