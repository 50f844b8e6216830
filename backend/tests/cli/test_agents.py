"""`numen agents`, against a real server."""

from __future__ import annotations

import json
from uuid import uuid4

import httpx
import pytest

from backend.tests.cli.conftest import Numen
from backend.tests.fixtures_server import ROOT, NumenServer

IDENTITY = {"short_description": "A guide to the night sky"}


def made(numen: Numen, **parts: object) -> str:
    """The name of a new agent."""
    name = f"Agent {uuid4().hex[:8]}"
    numen.ok("agents", "apply", "-f", numen.write("made.json", {"name": name, "identity": IDENTITY, **parts}))
    return name


def test_the_list_is_a_table_with_warnings_beside_it(numen: Numen) -> None:
    said = numen("agents", "list", "--type", "voice", "-q", "IntakeAgent")
    header, row = said.out.splitlines()
    assert header.split() == ["NAME", "TYPE", "VERSION", "STATUS", "MODEL", "TURNS", "ID"]
    assert row.startswith("IntakeAgent - Manifestation Coach  voice  1.0.0    active  gpt-4")
    assert "gpt-4 ended on 2026-10-23" in said.err


def test_the_list_is_filtered_and_comes_in_pages(numen: Numen) -> None:
    tag = uuid4().hex[:8]
    names = [made(numen, tags=[tag]) for _ in range(3)]
    found = [one["name"] for one in numen.json("agents", "list", "--tag", tag, "--json")]
    assert found == names[::-1]
    assert len(numen.json("agents", "list", "--tag", tag, "--limit", "2", "--json")) == 2
    numen.ok(
        "agents", "apply", "-f", numen.write("off.json", mirrored(numen, names[0]) | {"metadata": off(numen, names[0])})
    )
    assert [
        one["name"] for one in numen.json("agents", "list", "--tag", tag, "--status", "inactive", "--json")
    ] == names[:1]
    assert "No agents." in numen("agents", "list", "--tag", uuid4().hex[:8]).err


def mirrored(numen: Numen, name: str) -> dict[str, object]:
    """The agent as the mirror writes it."""
    agent = numen.json("agents", "get", name)
    rest = ("status", "interaction_count", "last_interaction_at", "warnings")
    return {key: value for key, value in agent.items() if key not in rest}


def off(numen: Numen, name: str) -> dict[str, object]:
    return {**numen.json("agents", "get", name)["metadata"], "status": "inactive"}


def test_an_agent_is_found_by_name_and_by_id(numen: Numen) -> None:
    name = made(numen)
    by_name = numen.json("agents", "get", name)
    assert numen.json("agents", "get", by_name["id"]) == by_name
    assert by_name["identity"]["short_description"] == IDENTITY["short_description"]


def test_a_misspelt_name_is_answered_with_those_that_are_alike(numen: Numen) -> None:
    said = numen("agents", "get", "TherapyAgent - Hypnotist")
    assert said.status == 1
    assert said.err == (
        "numen: There is no agent named TherapyAgent - Hypnotist. Do you mean TherapyAgent - Hypnotherapist?\n"
    )
    assert numen("agents", "get", str(uuid4())).err == "numen: There is no agent with this id.\n"


def test_a_name_that_two_agents_have_is_not_guessed(numen: Numen) -> None:
    name = made(numen)
    agent_id = numen.json("agents", "get", name)["id"]
    twin = httpx.post(f"{numen.url}/api/v1/agents/{agent_id}/duplicate", json={"name": name}, trust_env=False).json()
    for command in (["get", name], ["apply", "-f", numen.write("again.json", {"name": name, "identity": IDENTITY})]):
        said = numen("agents", *command)
        assert said.status == 1
        assert f"2 agents are named {name}" in said.err
        assert agent_id in said.err
        assert twin["id"] in said.err


# --- apply ---


def test_applying_a_contract_makes_the_agent_and_then_changes_it(numen: Numen) -> None:
    name = f"Applied {uuid4().hex[:8]}"
    contract = {"name": name, "identity": IDENTITY, "traits": {"humor": 80}, "tags": ["sky"]}
    file = numen.write("agent.json", contract)
    assert numen.ok("agents", "apply", "-f", file, "--dry-run") == f"{name}: is new\n"
    assert f"There is no agent named {name}." in numen("agents", "get", name).err
    assert f"{name}: created, 1.0.0" in numen.ok("agents", "apply", "-f", file)
    assert numen.ok("agents", "apply", "-f", file) == f"{name}: is as the file says (1.0.0)\n"
    changed = numen.write("agent.json", {**contract, "traits": {"empathy": 90}})
    plan = [f"{name}: 1.0.0 → 1.1.0", "  traits.empathy: 50 → 90", "  traits.humor: 80 → 30"]
    assert numen.ok("agents", "apply", "-f", changed, "--dry-run").splitlines() == plan
    assert numen.json("agents", "get", name)["version"] == "1.0.0"
    assert numen.ok("agents", "apply", "-f", changed).splitlines()[:3] == plan
    now = numen.json("agents", "get", name)
    assert (now["version"], now["traits"]["empathy"], now["traits"]["humor"]) == ("1.1.0", 90, 30)


def test_a_section_that_the_file_does_not_have_is_taken_away(numen: Numen) -> None:
    name = made(numen, voice={"voice_id": "calm-female"})
    file = numen.write("plain.json", {"name": name, "identity": IDENTITY})
    assert "voice: taken away" in numen.ok("agents", "apply", "-f", file)
    assert "voice" not in numen.json("agents", "get", name)


def test_a_mirrored_contract_can_be_applied(numen: Numen, running_server: NumenServer) -> None:
    name = made(numen, tags=["mirrored"])
    agent_id = numen.json("agents", "get", name)["id"]
    file = running_server.mirrored(agent_id)
    assert numen.ok("agents", "apply", "-f", str(file)) == f"{name}: is as the file says (1.0.0)\n"
    contract = json.loads(file.read_text("utf-8"))
    contract["name"], contract["metadata"]["status"] = f"{name} copy", "inactive"
    assert "created" in numen.ok("agents", "apply", "-f", numen.write("copy.json", contract))
    copy = numen.json("agents", "get", f"{name} copy")
    assert (copy["status"], copy["metadata"]["tags"]) == ("inactive", ["mirrored"])
    assert copy["id"] != agent_id


def test_an_export_comes_back_with_its_history(numen: Numen) -> None:
    name = made(numen)
    numen.ok("agents", "apply", "-f", numen.write("v.json", {"name": name, "identity": IDENTITY, "tags": ["later"]}))
    path = numen.folder / "export.json"
    assert numen.ok("agents", "export", name, "-o", str(path)) == f"{name} 1.0.1 → {path}\n"
    document = json.loads(path.read_text("utf-8"))
    document["contract"]["name"] = f"{name} elsewhere"
    said = numen.ok("agents", "apply", "-f", "-", typed=json.dumps(document))
    assert f"{name} elsewhere: is new, with its history" in said
    exported = numen.json("agents", "export", f"{name} elsewhere")
    assert [one["version"] for one in exported["versions"]] == ["1.0.0", "1.0.1"]
    assert numen.ok("agents", "apply", "-f", str(path)) == f"{name}: is as the file says (1.0.1)\n"


@pytest.mark.parametrize(
    "contract", sorted((ROOT / "examples" / "contracts").glob("*.json")), ids=lambda path: path.stem
)
def test_every_example_contract_can_be_planned(numen: Numen, contract: object) -> None:
    assert ": is new" in numen.ok("agents", "apply", "--dry-run", "-f", str(contract))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "is not JSON: Expecting property name enclosed in double quotes in line 1, column 2."),
        ("[]", "holds no agent: a contract is a JSON object."),
        ("\udcff", "is not text in UTF-8."),
        ('{"name": "x"}', "/identity is required."),
        ('{"name": "x", "identity": {"short_description": "x"}, "traits": {"humor": 101}}', "/traits/humor"),
        ('{"format": "numen.agent/2"}', "the format 'numen.agent/2' is not numen.agent/1."),
    ],
)
def test_what_is_wrong_with_a_file_is_said_before_the_server_is_asked(
    nowhere: Numen, text: str, complaint: str
) -> None:
    path = nowhere.folder / "wrong.json"
    path.write_text(text, "utf-8", errors="surrogateescape")
    said = nowhere("agents", "apply", "-f", str(path))
    assert said.status == 1
    assert said.err.startswith(f"numen: {path}")
    assert complaint in said.err
    assert said.err.count("\n") == 1


def test_a_file_that_is_not_there_and_one_that_cannot_be_written(numen: Numen) -> None:
    assert (
        numen("agents", "apply", "-f", "none.json").err
        == "numen: none.json cannot be read: No such file or directory.\n"
    )
    said = numen("agents", "export", "IntakeAgent - Manifestation Coach", "-o", "no/such/folder.json")
    assert said.status == 1
    assert "cannot be written: No such file or directory." in said.err


def test_what_this_deployment_cannot_honour_is_the_servers_word(numen: Numen) -> None:
    wanted = {"name": "Nobody", "identity": IDENTITY, "configuration": {"llm_provider": "nobody"}}
    said = numen("agents", "apply", "-f", numen.write("nobody.json", wanted))
    assert said.status == 1
    assert (
        "/configuration/llm_provider no provider of this name is set up here; known: local, offline, openai" in said.err
    )
    assert said.err.count("\n") == 1
