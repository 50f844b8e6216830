"""`numen keys`, against a real server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from backend.cli.failures import CommandFailed
from backend.cli.keys import when
from backend.tests.cli.conftest import Numen

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


def test_a_key_is_made_used_listed_and_revoked(numen: Numen) -> None:
    name = f"key {uuid4().hex[:8]}"
    said = numen("keys", "create", "--name", name, "--role", "admin", "--scope", "act_as", "--expires", "90d")
    key = said.out.strip()
    assert said.out == f"{key}\n"
    assert key.startswith("numen_sk_")
    assert "not shown again" in said.err
    assert key not in said.err
    row = next(line for line in numen.ok("keys", "list").splitlines() if line.startswith(name))
    until = (datetime.now(UTC) + timedelta(days=90)).date()
    assert f"admin  act_as  until {until}" in row
    assert numen.ok("agents", "list", "--json", NUMEN_API_KEY=key)
    assert "revoked" in numen.ok("keys", "revoke", name)
    refused = numen("agents", "list", NUMEN_API_KEY=key)
    assert (refused.status, refused.err) == (1, "numen: The API key has been revoked.\n")
    row = next(line for line in numen.ok("keys", "list").splitlines() if line.startswith(name))
    assert "revoked" in row
    assert numen("keys", "revoke", name).err == f"numen: There is no live key {name}; `numen keys list` shows them.\n"


def test_a_name_that_two_keys_have_is_not_guessed(numen: Numen) -> None:
    name = f"key {uuid4().hex[:8]}"
    made = [numen.json("keys", "create", "--name", name, "--json") for _ in range(2)]
    said = numen("keys", "revoke", name)
    assert said.status == 1
    assert all(one["id"] in said.err for one in made)
    assert "revoked" in numen.ok("keys", "revoke", made[0]["id"])
    assert "revoked" in numen.ok("keys", "revoke", made[1]["prefix"])
    listed = {one["id"]: one["revoked_at"] for one in numen.json("keys", "list", "--json")}
    assert all(listed[one["id"]] for one in made)


def test_a_person_of_a_product_needs_a_key_that_may_speak_for_them(numen: Numen) -> None:
    key = numen.ok("keys", "create", "--name", f"key {uuid4().hex[:8]}").strip()
    agent = "IntakeAgent - Manifestation Coach"
    said = numen("chat", agent, "-m", "Hello", "--user", "customer-42", NUMEN_API_KEY=key)
    assert (said.status, said.err) == (1, "numen: Numen-User needs credentials with the scope act_as.\n")
    assert numen.ok("chat", agent, "-m", "Hello", NUMEN_API_KEY=key)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12h", NOW + timedelta(hours=12)),
        ("2w", NOW + timedelta(weeks=2)),
        ("2027-06-30", datetime(2027, 6, 30, tzinfo=UTC)),
        ("2027-06-30T12:00:00+02:00", datetime(2027, 6, 30, 10, tzinfo=UTC)),
    ],
)
def test_an_expiry_is_a_span_or_a_date(text: str, expected: datetime) -> None:
    assert when(text, NOW) == expected


@pytest.mark.parametrize("text", ["soon", "0d", "90", "2027-13-01", ""])
def test_another_expiry_is_refused(text: str) -> None:
    with pytest.raises(CommandFailed, match="--expires takes 90d"):
        when(text, NOW)


def test_an_expiry_in_the_past_is_the_servers_word(numen: Numen) -> None:
    said = numen("keys", "create", "--name", "late", "--expires", "2020-01-01")
    assert (said.status, said.err) == (1, "numen: /expires_at must be in the future.\n")
