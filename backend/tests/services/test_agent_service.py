"""The life of an agent: made, read, listed, changed and archived; each change whole or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError

from backend.errors import AgentNotFound, InvalidContract, PreconditionFailed
from backend.models.agent_record import AgentFilter
from backend.models.agent_requests import AgentCreateRequest, AgentResponse, AgentUpdateRequest
from backend.models.agent_versions import DuplicateRequest, RollbackRequest
from backend.models.page import Cursor
from backend.models.tenant import Caller
from backend.services.agent_service import AgentDocument, AgentService
from backend.services.contract_check import ContractCheck
from backend.services.model_catalog import ModelCatalog
from backend.stores.database import Database
from backend.tests.factories import TenantFactory, make_user
from backend.tests.fake_tool_servers import FixedToolServers
from backend.tests.models.contracts import TRAITS
from backend.tests.services.one_server import IDENTITY, OneServer, one_server, rows

if TYPE_CHECKING:
    from asyncpg import Connection

WRITTEN = ("agents", "agent_versions", "audit_log", "outbox")
EVERYTHING = AgentFilter()
NOBODY: set[str] = set()


@pytest.fixture
async def server(database: Database) -> AsyncGenerator[OneServer]:
    async with one_server(database) as opened:
        yield opened


@pytest.fixture
def agents(server: OneServer) -> AgentService:
    return server.agents


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


def wanted(**parts: Any) -> AgentCreateRequest:
    return AgentCreateRequest.model_validate({"name": "Stargazer", "identity": IDENTITY} | parts)


def change(**parts: Any) -> AgentUpdateRequest:
    return AgentUpdateRequest.model_validate(parts)


def read(document: AgentDocument) -> dict[str, Any]:
    """The answer, held against its own schema."""
    AgentResponse.model_validate_json(document.body)
    return json.loads(document.body)


async def audited(database: Database, caller: Caller, agent: UUID) -> list[str]:
    async with database.tenant(caller.tenant_id) as tx:
        return [entry["action"] for entry in await tx.audit.of_subject(agent)]


# --- create and get ---


async def test_a_new_agent_is_a_row_a_version_an_audit_entry_and_an_order(
    agents: AgentService, caller: Caller, database: Database, owner: Connection
) -> None:
    made = await agents.create(caller, wanted(tags=["night"], traits={"empathy": 90}))
    answer = read(made)
    assert await rows(owner, *WRITTEN) == [1, 1, 1, 1]
    assert await audited(database, caller, made.id) == ["agent.created"]
    assert (answer["id"], answer["version"], answer["status"]) == (str(made.id), "1.0.0", "active")
    assert answer["metadata"] == {
        "tenant_id": str(caller.tenant_id), "owner_id": str(caller.user_id), "tags": ["night"], "status": "active",
    }  # fmt: skip
    assert (answer["traits"]["empathy"], answer["traits"]["safety"]) == (90, 80)
    assert (answer["interaction_count"], answer["last_interaction_at"]) == (0, None)
    assert "voice" not in answer
    assert read(await agents.get(caller, made.id)) == answer


async def test_what_a_person_may_not_write_is_refused(agents: AgentService, caller: Caller) -> None:
    foreign: dict[str, Any] = {
        "id": str(uuid4()), "tenant_id": str(uuid4()), "owner_id": str(uuid4()), "version": "9.0.0",
        "created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z", "interaction_count": 7,
        "last_interaction_at": "2020-01-01T00:00:00Z", "warnings": [], "metadata": {"tenant_id": str(uuid4())},
    }  # fmt: skip
    for name, value in foreign.items():
        with pytest.raises(ValidationError):
            wanted(**{name: value})
        with pytest.raises(ValidationError):
            change(**{name: value})
    with pytest.raises(ValidationError):
        wanted(status="archived")


async def test_what_the_deployment_does_not_have_is_refused_and_leaves_nothing(
    agents: AgentService, caller: Caller, owner: Connection
) -> None:
    with pytest.raises(InvalidContract) as refused:
        await agents.create(caller, wanted(configuration={"llm_provider": "nowhere"}))
    assert [error.pointer for error in refused.value.errors] == ["/configuration/llm_provider"]
    assert "known: offline, openai" in refused.value.errors[0].detail
    assert await rows(owner, *WRITTEN) == [0, 0, 0, 0]


async def test_warnings_name_what_ends(agents: AgentService, caller: Caller) -> None:
    gone = read(await agents.create(caller, wanted(configuration={"llm_model": "gpt-4"})))
    assert gone["warnings"] == ["gpt-4 ended on 2026-10-23; turns run on gpt-6-luna"]
    workflow = {"steps": [{"kind": "prompt", "id": "draft", "prompt": "Write."}]}
    quiet = await agents.create(
        caller, wanted(type="workflow", workflow=workflow, configuration={"llm_model": "gpt-6-luna"})
    )
    assert read(quiet)["warnings"] == []


# --- lists ---


async def listed(
    agents: AgentService, caller: Caller, which: AgentFilter = EVERYTHING, **place: Any
) -> tuple[list[str], int, Cursor | None]:
    place = {"cursor": None, "limit": 50, "offset": 0} | place
    page = await agents.list_page(caller, which, **place)
    return [read(one)["name"] for one in page.items], page.total, page.next


async def test_lists_page_by_cursor_and_by_offset(server: OneServer, caller: Caller, tenant: TenantFactory) -> None:
    names = [f"Agent {number}" for number in range(7)]
    for name in names:
        server.clock.advance(seconds=name != "Agent 3")  # two of them in the same moment
        await server.agent(caller, name=name)
    await server.agent(await tenant(), name="Somebody else's")
    everything, total, following = await listed(server.agents, caller)
    assert (sorted(everything), total, following) == (names, 7, None)
    assert everything[:3] == ["Agent 6", "Agent 5", "Agent 4"]
    walked: list[str] = []
    cursor = None
    while True:
        found, total, cursor = await listed(server.agents, caller, cursor=cursor, limit=3)
        walked += found
        assert total == 7
        if cursor is None:
            break
        cursor = Cursor.decode(cursor.encode())
    assert walked == everything
    assert (await listed(server.agents, caller, limit=3, offset=5))[0] == everything[5:]
    assert await listed(server.agents, caller, limit=3, offset=50) == ([], 7, None)


async def test_a_page_is_not_moved_by_what_is_made_meanwhile(server: OneServer, caller: Caller) -> None:
    for number in range(4):
        server.clock.advance(seconds=1)
        await server.agent(caller, name=f"Agent {number}")
    _, _, cursor = await listed(server.agents, caller, limit=2)
    server.clock.advance(seconds=1)
    await server.agent(caller, name="New")
    assert (await listed(server.agents, caller, limit=2, cursor=cursor))[0] == ["Agent 1", "Agent 0"]


@pytest.mark.parametrize(
    ("which", "names"),
    [
        (AgentFilter(), {"Astra", "Boötes", "Corvus"}),
        (AgentFilter(status="active"), {"Astra", "Boötes"}),
        (AgentFilter(status="inactive"), {"Corvus"}),
        (AgentFilter(status="archived"), {"Draco"}),
        (AgentFilter(agent_type="voice"), {"Boötes"}),
        (AgentFilter(tag="night"), {"Astra", "Corvus"}),
        (AgentFilter(tag="nigh"), NOBODY),
        (AgentFilter(q="BOÖTES"), {"Boötes"}),
        (AgentFilter(q="comets"), {"Astra"}),
        (AgentFilter(q="100%"), {"Corvus"}),
        (AgentFilter(q="_"), NOBODY),
        (AgentFilter(status="inactive", agent_type="conversational", tag="night", q="corv"), {"Corvus"}),
        (AgentFilter(status="active", tag="night", q="corv"), NOBODY),
    ],
)
async def test_filters(which: AgentFilter, names: set[str], server: OneServer, caller: Caller) -> None:
    await server.agent(caller, name="Astra", identity={"short_description": "Finds Comets"}, tags=["night"])
    await server.agent(caller, name="Boötes", type="voice", voice={"voice_id": "calm"}, tags=["day"])
    crow = await server.agent(caller, name="Corvus", identity={"short_description": "100% dark"}, tags=["night"])
    dragon = await server.agent(caller, name="Draco", tags=["night"])
    await server.agents.update(caller, crow, change(status="inactive"))
    await server.agents.archive(caller, dragon)
    found, total, _ = await listed(server.agents, caller, which)
    assert (set(found), total) == (names, len(names))
    assert (await listed(server.agents, caller, which, limit=1))[1] == len(names)


async def test_a_name_finds_the_oldest_that_is_in_service(
    server: OneServer, caller: Caller, tenant: TenantFactory
) -> None:
    first, second = await server.agent(caller, name="Twin"), await server.agent(caller, name="Twin")
    found = await server.agents.named(caller, "Twin")
    assert found is not None
    await server.agents.archive(caller, found.id)
    other = await server.agents.named(caller, "Twin")
    assert other is not None
    assert {found.id, other.id} == {first, second}
    assert await server.agents.named(await tenant(), "Twin") is None


# --- update ---


async def test_an_update_is_a_merge(server: OneServer, caller: Caller) -> None:
    agent = await server.agent(caller, voice={"voice_id": "calm"}, tags=["night", "sky"])
    before = read(await server.agents.get(caller, agent))
    server.clock.advance(seconds=5)
    after = read(await server.agents.update(caller, agent, change(traits={"empathy": 90}, tags=["day"])))
    assert after["traits"] == before["traits"] | {"empathy": 90}
    assert after["metadata"]["tags"] == ["day"]
    assert (after["version"], after["voice"], after["created_at"]) == ("1.1.0", before["voice"], before["created_at"])
    assert after["updated_at"] > before["updated_at"]
    silent = change(voice=None, configuration={"voice_enabled": False})
    cleared = read(await server.agents.update(caller, agent, silent))
    assert "voice" not in cleared
    assert read(await server.agents.get(caller, agent)) == cleared


@pytest.mark.parametrize(
    ("parts", "version"),
    [
        ({"traits": {"empathy": 1}}, "1.1.0"),
        ({"identity": {"mission": "find comets"}}, "1.1.0"),
        ({"name": "Other", "traits": {"empathy": 1}}, "1.1.0"),
        ({"name": "Other"}, "1.0.1"),
        ({"tags": ["night"]}, "1.0.1"),
        ({"status": "inactive"}, "1.0.1"),
        ({}, "1.0.0"),
        ({"traits": {}}, "1.0.0"),
        ({"traits": {"empathy": 50}, "name": "Stargazer", "tags": [], "status": "active", "voice": None}, "1.0.0"),
        ({"change_summary": "Nothing really"}, "1.0.0"),
    ],
)
async def test_each_change_has_its_number_and_no_change_has_none(
    parts: dict[str, Any], version: str, server: OneServer, caller: Caller, owner: Connection
) -> None:
    agent = await server.agent(caller)
    assert (await server.agents.update(caller, agent, change(**parts))).version == version
    expected = 1 if version == "1.0.0" else 2
    assert await rows(owner, *WRITTEN) == [1, expected, expected, expected]


@pytest.mark.parametrize(
    "parts",
    [
        {"type": "voice"},
        {"type": "workflow"},
        {"voice": {"speed": 1.1}},
        {"configuration": {"voice_enabled": True}},
        {"configuration": {"llm_provider": "nowhere"}, "name": "Other"},
        {"workflow": {"steps": [{"kind": "prompt", "id": "draft", "prompt": "Write."}]}},
    ],
)
async def test_a_change_that_does_not_hold_changes_nothing(
    parts: dict[str, Any], server: OneServer, caller: Caller, owner: Connection
) -> None:
    agent = await server.agent(caller)
    before = read(await server.agents.get(caller, agent))
    with pytest.raises(InvalidContract) as refused:
        await server.agents.update(caller, agent, change(**parts))
    assert refused.value.errors
    assert read(await server.agents.get(caller, agent)) == before
    assert await rows(owner, *WRITTEN) == [1, 1, 1, 1]


async def test_if_match_names_the_version_that_is_there(server: OneServer, caller: Caller, owner: Connection) -> None:
    agent = await server.agent(caller)
    attempts = [
        server.agents.update(caller, agent, change(name="Other"), frozenset({"0.9.0"})),
        server.agents.update(caller, agent, change(), frozenset()),
        server.agents.archive(caller, agent, frozenset({"1.0.1"})),
        server.agents.rollback(caller, agent, RollbackRequest(version="1.0.0"), None, frozenset({"2.0.0"})),
    ]
    for attempt in attempts:
        with pytest.raises(PreconditionFailed) as refused:
            await attempt
        assert refused.value.context == {"current_version": "1.0.0"}
    assert await rows(owner, *WRITTEN) == [1, 1, 1, 1]
    changed = await server.agents.update(caller, agent, change(name="Other"), frozenset({"0.9.0", "1.0.0"}))
    assert changed.version == "1.0.1"


async def test_a_hundred_changes_at_once_lose_nothing(database: Database, caller: Caller, owner: Connection) -> None:
    work = [(trait, value) for value in range(1, 12) for trait in TRAITS] + [(TRAITS[0], 12)]
    assert len(work) == 100
    async with one_server(database) as one, one_server(database) as other:
        agent = await one.agent(caller)
        both = ((one, other)[at % 2] for at in range(100))
        await asyncio.gather(
            *(
                server.agents.update(caller, agent, change(traits={trait: value}))
                for server, (trait, value) in zip(both, work, strict=True)
            )
        )
        final = read(await other.agents.get(caller, agent))
    stored = await owner.fetch("SELECT ordinal, version, contract::text AS text FROM agent_versions ORDER BY ordinal")
    assert [row["ordinal"] for row in stored] == list(range(1, 102))
    assert [row["version"] for row in stored] == [f"1.{number}.0" for number in range(101)]
    traits: list[dict[str, int]] = [json.loads(row["text"])["traits"] for row in stored]
    made = [set(after.items()) - set(before.items()) for before, after in pairwise(traits)]
    assert all(len(one) == 1 for one in made)  # each stands on all that came before
    assert sorted(pair for one in made for pair in one) == sorted(work)
    assert final["traits"] == traits[-1]
    assert await rows(owner, "audit_log", "outbox") == [101, 101]


async def test_different_traits_at_once_are_all_there(server: OneServer, caller: Caller, owner: Connection) -> None:
    agent = await server.agent(caller)
    await asyncio.gather(
        *(server.agents.update(caller, agent, change(traits={trait: at})) for at, trait in enumerate(TRAITS, 1))
    )
    traits = read(await server.agents.get(caller, agent))["traits"]
    assert traits == {trait: at for at, trait in enumerate(TRAITS, 1)}
    assert await rows(owner, "agent_versions") == [1 + len(TRAITS)]


# --- archive ---


async def test_an_archived_agent_stays_readable_and_leaves_the_list(
    server: OneServer, caller: Caller, database: Database, owner: Connection
) -> None:
    agent = await server.agent(caller)
    await server.agents.archive(caller, agent)
    await server.agents.archive(caller, agent)
    assert await rows(owner, *WRITTEN) == [1, 2, 2, 2]
    assert await audited(database, caller, agent) == ["agent.created", "agent.archived"]
    assert read(await server.agents.get(caller, agent))["status"] == "archived"
    assert (await listed(server.agents, caller))[0] == []
    back = read(await server.agents.update(caller, agent, change(status="active")))
    assert (back["status"], back["version"]) == ("active", "1.0.2")


async def test_an_agent_whose_provider_is_gone_can_still_be_put_away(server: OneServer, caller: Caller) -> None:
    agent = await server.agent(caller)
    check = ContractCheck(ModelCatalog("gpt-6-luna", server.clock), ["offline"], FixedToolServers())
    smaller = AgentService(server.database, check, server.relay, server.clock)
    with pytest.raises(InvalidContract):
        await smaller.update(caller, agent, change(traits={"empathy": 1}))
    assert (await smaller.update(caller, agent, change(name="Other"))).version == "1.0.1"
    await smaller.archive(caller, agent)
    assert read(await smaller.get(caller, agent))["status"] == "archived"


# --- another tenant ---


async def test_another_tenants_agent_is_absent_everywhere(
    server: OneServer, caller: Caller, tenant: TenantFactory, owner: Connection
) -> None:
    agent, stranger, agents = await server.agent(caller), await tenant(), server.agents
    for absent in (agent, uuid4()):
        attempts = [
            agents.get(stranger, absent),
            agents.record(stranger, absent),
            agents.update(stranger, absent, change(name="Mine")),
            agents.archive(stranger, absent),
            agents.versions(stranger, absent, 10, 0),
            agents.version(stranger, absent, "1.0.0"),
            agents.compare(stranger, absent, "1.0.0", "1.0.0"),
            agents.rollback(stranger, absent, RollbackRequest(version="1.0.0")),
            agents.export(stranger, absent),
            agents.duplicate(stranger, absent, DuplicateRequest()),
        ]
        for attempt in attempts:
            with pytest.raises(AgentNotFound) as refused:
                await attempt
            assert refused.value.detail == "There is no agent with this id."
    assert await listed(agents, stranger) == ([], 0, None)
    assert await rows(owner, *WRITTEN) == [1, 1, 1, 1]


async def test_colleagues_share_agents(server: OneServer, caller: Caller, database: Database) -> None:
    colleague = await make_user(database, caller.tenant_id)
    agent = await server.agent(colleague)
    assert read(await server.agents.get(caller, agent))["metadata"]["owner_id"] == str(colleague.user_id)
