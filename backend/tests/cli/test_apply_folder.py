"""`numen agents apply -f folder/`: everything is planned, shown, and then done."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from backend.cli.agent_folder import MIRRORED_ATTRIBUTES, MIRRORED_CONTRACT
from backend.cli.change_lines import change_lines
from backend.models.agent import ContractParts
from backend.models.agent_versions import FieldChange
from backend.services.contract_mirror import ATTRIBUTES_FILE, CONTRACT_FILE
from backend.tests.cli.conftest import Numen, Operator
from backend.tests.cli.terminal import Terminal
from backend.tests.fixtures_api import Api
from backend.tests.fixtures_server import NumenServer

IDENTITY = {"short_description": "A guide to the night sky"}
Document = dict[str, Any]


def contract(name: str, **parts: Any) -> Document:
    return {"name": name, "identity": IDENTITY, **parts}


def asking(*agent_ids: str) -> Document:
    """The parts of a workflow that lets these agents answer."""
    steps: list[Document] = [{"kind": "agent", "id": f"ask_{at}", "agent_id": one} for at, one in enumerate(agent_ids)]
    arguments = {"agent": agent_ids[0], "message": "Well?"}
    steps += [
        {"kind": "tool", "id": "hand", "tool": "hand_off", "arguments": arguments},
        {"kind": "tool", "id": "name", "tool": "hand_off", "arguments": {**arguments, "agent": "Somebody"}},
    ]
    granted = {"tools": [{"kind": "builtin", "name": "hand_off"}]}
    return {
        "type": "workflow",
        "workflow": {"steps": steps},
        "configuration": {"tools_enabled": True},
        "capabilities": granted,
    }


def named_by(agent: Document) -> list[str]:
    """The agents that the steps of such a workflow name."""
    return [one.get("agent_id") or one["arguments"]["agent"] for one in agent["workflow"]["steps"]]


async def agents(operator: Operator, **query: str) -> list[Document]:
    """The agents in service, oldest first."""
    return (await operator.person.ok("GET", "/api/v1/agents", params=query))[::-1]


async def versions(operator: Operator) -> dict[str, str]:
    """Every agent's newest version, by its id."""
    return {
        one["id"]: one["version"] for some in ({}, {"status": "archived"}) for one in await agents(operator, **some)
    }


# --- create, update, nothing ---


async def test_a_folder_is_planned_as_a_whole_and_applied(operator: Operator) -> None:
    write = operator.numen.write
    write("agents/stars.json", contract("Stars"))
    write("agents/sky/moon.json", contract("Moon", traits={"humor": 80}))
    write("agents/.hidden/sun.json", contract("Sun"))
    write("agents/sky/.draft.json", contract("Sun"))
    (operator.numen.folder / "agents" / "README.md").write_text("not JSON")
    lines = (await operator.ok("agents", "apply", "-f", "agents")).splitlines()
    assert lines[:3] == ["Stars: is new", "Moon: is new", "2 to create, 0 to update, 0 unchanged"]
    assert lines[3].startswith("Stars: created, 1.0.0")
    assert [one["name"] for one in await agents(operator)] == ["Stars", "Moon"]

    assert await operator.ok("agents", "apply", "-f", "agents/") == "0 to create, 0 to update, 2 unchanged\n"
    write("agents/sky/moon.json", contract("Moon", traits={"humor": 90}))
    write("agents/mars.json", contract("Mars"))
    plan = "Mars: is new\nMoon: 1.0.0 → 1.1.0\n  traits.humor: 80 → 90\n1 to create, 1 to update, 1 unchanged\n"
    assert await operator.ok("agents", "apply", "-f", "agents", "--dry-run") == plan
    assert {one["name"]: one["version"] for one in await agents(operator)} == {"Stars": "1.0.0", "Moon": "1.0.0"}
    assert (await operator.ok("agents", "apply", "-f", "agents", "--yes")).startswith(plan)
    now = {one["name"]: (one["version"], one["traits"]["humor"]) for one in await agents(operator)}
    assert now == {"Stars": ("1.0.0", 30), "Moon": ("1.1.0", 90), "Mars": ("1.0.0", 30)}


async def test_files_and_folders_together_are_one_plan(operator: Operator) -> None:
    operator.numen.write("a/one.json", contract("One"))
    two = operator.numen.write("two.json", contract("Two"))
    three = json.dumps(contract("Three"))
    said = await operator.ok("agents", "apply", "-f", "a", "-f", two, "-f", "-", "-f", "a/one.json", typed=three)
    assert "3 to create, 0 to update, 0 unchanged\n" in said


async def test_check_says_by_its_status_whether_something_is_to_be_done(operator: Operator) -> None:
    file = operator.numen.write("a/one.json", contract("One"))
    for source in (file, "a"):
        said = await operator("agents", "apply", "-f", source, "--check")
        assert (said.status, said.out.splitlines()[0]) == (2, "One: is new")
    assert await agents(operator) == []
    await operator.ok("agents", "apply", "-f", file)
    for source in (file, "a"):
        assert (await operator("agents", "apply", "-f", source, "--check")).status == 0


async def test_many_files_take_few_requests_and_all_agents_are_seen(operator: Operator) -> None:
    for at in range(120):
        operator.numen.write(f"many/{at:03}.json", contract(f"Agent {at}"))
    assert "120 to create" in await operator.ok("agents", "apply", "-f", "many")
    assert await operator.ok("agents", "apply", "-f", "many") == "0 to create, 0 to update, 120 unchanged\n"


# --- what is wrong is told before anything is done ---


def test_everything_that_is_wrong_with_the_files_is_told_at_once(nowhere: Numen) -> None:
    nowhere.write("a/good.json", contract("Good"))
    nowhere.write("a/traits.json", contract("Bad", traits={"humor": 101}))
    nowhere.write("a/package.json", {"name": "website", "version": "1.0.0", "scripts": {}})
    nowhere.write("a/list.json", [])
    nowhere.write("a/lonely/agent_attributes.json", {"id": 1, "name": "x", "traits": {}, "configuration": {}})
    nowhere.write("a/z/twin.json", contract("Good"))
    said = nowhere("agents", "apply", "-f", "a", "-f", "nothing.json")
    assert (said.status, said.out) == (1, "")
    assert said.err.splitlines() == [
        "numen: a/list.json holds no agent: a contract is a JSON object.",
        "numen: a/package.json holds no agent: a contract has a name and an identity.",
        "numen: a/traits.json: /traits/humor must be a whole number from 0 to 100, not 101.",
        "numen: a/lonely/agent_attributes.json holds the attributes of an agent; "
        "its contract is in the file beside it.",
        "numen: nothing.json cannot be read: No such file or directory.",
        "numen: a/z/twin.json and a/good.json both name Good.",
        "numen: 6 files cannot be applied; nothing was done.",
    ]


def test_an_empty_folder_is_a_mistake(nowhere: Numen) -> None:
    (nowhere.folder / "empty").mkdir()
    assert nowhere("agents", "apply", "-f", "empty").err == "numen: empty holds no JSON files.\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["one.json", "--prune"], "no folder is given"), ([".", "--prune-tag", "x"], "limits --prune")],
)
def test_options_that_mean_nothing_are_refused(nowhere: Numen, arguments: list[str], complaint: str) -> None:
    said = nowhere("agents", "apply", "-f", *arguments)
    assert said.status == 2
    assert complaint in " ".join(said.err.replace("│", "").split())


async def test_agents_that_cannot_be_told_apart_stop_everything(operator: Operator) -> None:
    for _ in range(2):
        await operator.person.make_agent(name="Twin")
    operator.numen.write("a/new.json", contract("New"))
    operator.numen.write("a/twin.json", contract("Twin"))
    said = await operator("agents", "apply", "-f", "a")
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith("numen: a/twin.json: 2 agents are named Twin (")
    assert len(await agents(operator)) == 2


# --- what the server refuses ---


async def test_what_the_server_refuses_does_not_hold_up_the_others(operator: Operator) -> None:
    helper = await operator.person.make_agent(name="Helper")
    lost = str(uuid4())
    operator.numen.write("a/1.json", contract("Odd", configuration={"llm_provider": "nobody"}))
    odd = {**helper, "id": lost, "name": "Lost", "configuration": {"llm_provider": "nobody"}}
    operator.numen.write("a/2.json", without_counters(odd))
    operator.numen.write("a/3.json", contract("Asks", **asking(lost)))
    operator.numen.write("a/4.json", contract("Fine"))
    said = await operator("agents", "apply", "-f", "a", "--prune", "--yes")
    assert said.status == 1
    complaints = said.err.splitlines()
    assert complaints[0].startswith("numen: Odd: ")
    assert "/configuration/llm_provider no provider of this name is set up here" in complaints[0]
    assert "numen: Asks: not applied, because it names Lost." in complaints
    assert complaints[-1] == "numen: 3 of 4 files could not be applied. No agent was archived."
    assert [one["name"] for one in await agents(operator)] == ["Helper", "Fine"]


def without_counters(agent: Document) -> Document:
    """An agent as the mirror writes it."""
    return {name: agent[name] for name in agent if name not in Counters}


Counters = ("status", "interaction_count", "last_interaction_at", "warnings")


# --- prune ---


async def test_agents_without_a_file_are_archived_only_when_told(operator: Operator) -> None:
    for name, tags in (("Old", ["team"]), ("Other", ["other"]), ("Kept", ["team"])):
        await operator.person.make_agent(name=name, tags=tags)
    operator.numen.write("a/kept.json", contract("Kept", tags=["team"]))
    assert await operator.ok("agents", "apply", "-f", "a") == "0 to create, 0 to update, 1 unchanged\n"
    tagged = ["agents", "apply", "-f", "a", "--prune", "--prune-tag", "team", "--prune-tag", "none"]
    said = await operator(*tagged, "--check")
    assert said.status == 2
    assert "Old: no file is for it, 1.0.0 is archived (" in said.out
    assert said.out.endswith("0 to create, 0 to update, 1 unchanged, 1 to archive\n")
    refused = await operator(*tagged)
    assert refused.status == 1
    assert refused.err == "numen: Nothing was done: where nobody can be asked, agents are archived only with --yes.\n"
    assert len(await agents(operator)) == 3
    assert "Old: archived (" in await operator.ok(*tagged, "--yes")
    assert [one["name"] for one in await agents(operator)] == ["Other", "Kept"]
    assert "Other: archived (" in await operator.ok("agents", "apply", "-f", "a", "--prune", "--yes")
    assert [one["name"] for one in await agents(operator)] == ["Kept"]


# --- the mirror ---


async def furnish(operator: Operator) -> None:
    """Agents of all states, some of one name, and one that names another."""
    make, ok = operator.person.make_agent, operator.person.ok
    stars = await make(name="Stars", traits={"humor": 77}, tags=["sky"], voice={"voice_id": "calm-female"})
    asks = await make(name="Asks", **asking(stars["id"]))
    paused = await make(name="Paused")
    gone, again = await make(name="Gone"), await make(name="Gone")
    await ok("PATCH", f"/api/v1/agents/{stars['id']}", {"traits": {"empathy": 1}})
    await ok("PATCH", f"/api/v1/agents/{paused['id']}", {"status": "inactive"})
    for one in (gone, again):
        await ok("DELETE", f"/api/v1/agents/{one['id']}")
    await make(name="Gone", traits={"humor": 1})
    await ok("PATCH", f"/api/v1/agents/{asks['id']}", {"tags": ["asks"]})


async def test_the_mirror_applied_back_changes_nothing(operator: Operator, api: Api) -> None:
    await furnish(operator)
    await operator.person.make_agent(name="Paused")  # a twin, which its id tells apart
    stranger = await api.owner()
    await stranger.make_agent(name="Of somebody else")
    await api.settled()
    mirror = str(api.container.settings.prompts_dir)
    before = await versions(operator)
    said = await operator("agents", "apply", "-f", mirror)
    assert (said.status, said.out) == (0, "0 to create, 0 to update, 7 unchanged\n")
    assert said.err.endswith(" files of other tenants are passed over.\n")
    assert await versions(operator) == before
    assert (await operator("agents", "apply", "-f", mirror, "--prune", "--check")).status == 0


async def test_the_mirror_makes_its_agents_where_there_are_none(operator: Operator, api: Api) -> None:
    await furnish(operator)
    await api.settled()
    mirror, source = str(api.container.settings.prompts_dir), str(operator.person.caller.tenant_id)
    before = [one for status in ("active", "inactive", "archived") for one in await agents(operator, status=status)]

    person = await api.owner()
    elsewhere = Operator(Numen(api.url, operator.numen.folder, person.key), person)
    await (await api.owner()).make_agent(name="Of a third")
    await api.settled()
    unclear = await elsewhere("agents", "apply", "-f", mirror)
    assert unclear.status == 1
    assert "say whose agents you mean with --from-tenant: " in unclear.err
    said = await elsewhere("agents", "apply", "-f", mirror, "--from-tenant", source)
    assert said.status == 0, said
    assert "6 to create, 0 to update, 0 unchanged" in said.out
    after = [one for status in ("active", "inactive", "archived") for one in await agents(elsewhere, status=status)]
    assert sorted(map(comparable, after)) == sorted(map(comparable, before))
    [stars] = [one for one in after if one["name"] == "Stars"]
    [asks] = [one for one in after if one["name"] == "Asks"]
    assert named_by(asks) == [stars["id"], stars["id"], "Somebody"]

    made = await versions(elsewhere)
    again = await elsewhere("agents", "apply", "-f", mirror, "--from-tenant", source)
    assert again.out == "0 to create, 0 to update, 6 unchanged\n"
    assert await versions(elsewhere) == made


def comparable(agent: Document) -> str:
    """What a person wrote of an agent, its status and tags; not which agent it names."""
    parts = {name: agent.get(name) for name in ContractParts.model_fields if name != "workflow"}
    return json.dumps({**parts, "status": agent["status"], "tags": agent["metadata"]["tags"]}, sort_keys=True)


async def test_agents_that_name_each_other_find_each_other_elsewhere(operator: Operator) -> None:
    ids = {name: str(uuid4()) for name in ("Egg", "Hen")}
    template = without_counters(await operator.person.make_agent(name="Template"))
    for name, other in (("Egg", "Hen"), ("Hen", "Egg")):
        document = {**template, "id": ids[name], "name": name, **asking(ids[other], ids[name])}
        operator.numen.write(f"a/{ids[name]}/{MIRRORED_CONTRACT}", document)
        operator.numen.write(f"a/{ids[name]}/{MIRRORED_ATTRIBUTES}", {"id": ids[name]})
    await operator.ok("agents", "apply", "-f", "a")
    found = {one["name"]: one for one in await agents(operator)}
    for name, other in (("Egg", "Hen"), ("Hen", "Egg")):
        assert named_by(found[name]) == [found[other]["id"], found[name]["id"], found[other]["id"], "Somebody"]
    assert await operator.ok("agents", "apply", "-f", "a") == "0 to create, 0 to update, 2 unchanged\n"


async def test_mirrored_twins_are_not_made_twice_elsewhere(operator: Operator) -> None:
    template = without_counters(await operator.person.make_agent(name="Template"))
    for at in range(2):
        operator.numen.write(f"a/{at}.json", {**template, "id": str(uuid4()), "name": "Twin"})
    said = await operator("agents", "apply", "-f", "a")
    assert (said.status, said.err) == (1, "numen: a/1.json and a/0.json both mean Twin.\n")


async def test_an_archived_agent_comes_back_with_its_file(operator: Operator, api: Api) -> None:
    agent = await operator.person.make_agent(name="Phoenix")
    await api.settled()
    file = mirrored(api, agent["id"])
    await operator.person.ok("DELETE", f"/api/v1/agents/{agent['id']}")
    operator.numen.write("a/phoenix.json", file)
    assert "  status: archived → active" in await operator.ok("agents", "apply", "-f", "a")
    file["metadata"]["status"] = "archived"
    operator.numen.write("a/phoenix.json", file)
    assert "  status: active → archived" in await operator.ok("agents", "apply", "-f", "a")
    assert list(await versions(operator)) == [agent["id"]]


def mirrored(api: Api, agent_id: str) -> Document:
    return json.loads(Path(api.container.settings.prompts_dir, agent_id, CONTRACT_FILE).read_text("utf-8"))


def test_the_files_are_called_what_the_mirror_calls_them() -> None:
    assert (MIRRORED_CONTRACT, MIRRORED_ATTRIBUTES) == (CONTRACT_FILE, ATTRIBUTES_FILE)


# --- the diff ---


def test_long_texts_are_compared_line_by_line() -> None:
    story = "\n".join(f"Line {at} of a story" for at in range(9))
    change = FieldChange(path="/identity/mission", before=story, after=story.replace("Line 4", "\x1bVerse 4"))
    assert change_lines(change) == [
        "identity.mission:",
        "   Line 3 of a story",
        "  -Line 4 of a story",
        "  +Verse 4 of a story",
        "   Line 5 of a story",
    ]
    steps = [{"kind": "prompt", "id": f"step_{at}", "prompt": "Go on."} for at in range(3)]
    lines = change_lines(FieldChange(path="/workflow/steps", before=steps[:2], after=steps))
    assert lines[0] == "workflow.steps:"
    assert '  +    "id": "step_2",' in lines
    assert not any('"step_0"' in line for line in lines)
    assert change_lines(FieldChange(path="/memory", before={"enabled": True}, after=None)) == ["memory: taken away"]
    far = change_lines(FieldChange(path="/x", before=story, after=story.replace("Line 0", "A").replace("Line 8", "Z")))
    assert far.count("  …") == 1


# --- a terminal ---


@pytest.fixture
def sky(numen: Numen) -> str:
    """The name of an agent of which there is only a folder."""
    name = f"Sky {uuid4().hex[:8]}"
    numen.write("sky/one.json", contract(name))
    return name


@pytest.fixture
def applying(numen: Numen, running_server: NumenServer, sky: str) -> Generator[Terminal]:
    """Somebody who applies that folder."""
    environment = running_server.environment()
    opened = Terminal(numen.folder, environment, "agents", "apply", "-f", "sky")
    yield opened
    opened.leave()


@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("n", 1), ("", 1)])
def test_at_a_terminal_it_is_asked(applying: Terminal, numen: Numen, sky: str, answer: str, status: int) -> None:
    assert f"{sky}: is new" in applying.wait_for(r"Apply this\? \[y/N\]: ")
    applying.type(f"{answer}\n")
    assert applying.end() == status
    assert len(numen.json("agents", "list", "-q", sky, "--json")) == 1 - status
