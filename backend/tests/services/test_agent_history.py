"""Versions of an agent: read, compared, restored, copied and carried elsewhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from backend.errors import InvalidContract, VersionNotFound
from backend.models.agent_record import AgentFilter
from backend.models.agent_requests import AgentCreateRequest, AgentUpdateRequest
from backend.models.agent_versions import LONGEST_HISTORY, AgentExport, DuplicateRequest, RollbackRequest
from backend.models.tenant import Caller
from backend.stores.database import Database
from backend.tests.factories import TenantFactory
from backend.tests.services.one_server import IDENTITY, OneServer, one_server, rows

if TYPE_CHECKING:
    from asyncpg import Connection

WRITTEN = ("agents", "agent_versions", "audit_log", "outbox")


@pytest.fixture
async def server(database: Database) -> AsyncGenerator[OneServer]:
    async with one_server(database) as opened:
        yield opened


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


async def changed(server: OneServer, caller: Caller, agent: UUID, **parts: Any) -> str:
    return (await server.agents.update(caller, agent, AgentUpdateRequest.model_validate(parts))).version


async def read(server: OneServer, caller: Caller, agent: UUID) -> dict[str, Any]:
    return json.loads((await server.agents.get(caller, agent)).body)


async def numbers(server: OneServer, caller: Caller, agent: UUID) -> list[str]:
    """Versions, newest first."""
    return [one.version for one in (await server.agents.versions(caller, agent, 100, 0))[0]]


async def audited(database: Database, caller: Caller, agent: UUID) -> list[str]:
    async with database.tenant(caller.tenant_id) as tx:
        return [entry["action"] for entry in await tx.audit.of_subject(agent)]


# --- versions ---


async def test_every_version_stays_readable(server: OneServer, caller: Caller) -> None:
    agent = await server.agent(caller, traits={"empathy": 10})
    await changed(server, caller, agent, traits={"empathy": 20})
    await changed(server, caller, agent, name="Other", change_summary="A better name")
    found, total = await server.agents.versions(caller, agent, 2, 0)
    assert total == 3
    assert [(one.version, one.change_summary, one.created_by) for one in found] == [
        ("1.1.1", "A better name", caller.user_id), ("1.1.0", "traits.empathy: 10 → 20", caller.user_id),
    ]  # fmt: skip
    assert [one.version for one in (await server.agents.versions(caller, agent, 2, 2))[0]] == ["1.0.0"]
    first = await server.agents.version(caller, agent, "1.0.0")
    assert (first.contract.traits.empathy, first.contract.name, first.change_summary) == (10, "Stargazer", "Created")
    for missing in ("1.2.0", "nonsense", "1.0"):
        with pytest.raises(VersionNotFound):
            await server.agents.version(caller, agent, missing)


async def test_a_comparison_names_fields_and_prompt_lines(server: OneServer, caller: Caller) -> None:
    agent = await server.agent(caller, traits={"empathy": 10})
    await changed(server, caller, agent, traits={"empathy": 95})
    found = await server.agents.compare(caller, agent, "1.0.0", "1.1.0")
    assert [(one.path, one.before, one.after) for one in found.changes] == [("/traits/empathy", 10, 95)]
    lines = [line for line in found.prompt_diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert len(lines) == 2
    assert all("mpathy" in line for line in lines)
    assert found.prompt_before != found.prompt_after
    same = await server.agents.compare(caller, agent, "1.1.0", "1.1.0")
    assert (same.changes, same.prompt_diff) == ((), "")
    with pytest.raises(VersionNotFound):
        await server.agents.compare(caller, agent, "1.0.0", "7.0.0")


# --- rollback ---


async def test_a_rollback_is_a_new_version_that_equals_the_old(
    server: OneServer, caller: Caller, database: Database
) -> None:
    agent = await server.agent(caller, traits={"empathy": 10}, tags=["night"])
    before = await read(server, caller, agent)
    await changed(server, caller, agent, traits={"empathy": 95}, tags=[], name="Other", voice={"voice_id": "calm"})
    await changed(server, caller, agent, status="inactive")
    document = await server.agents.rollback(caller, agent, RollbackRequest(version="1.0.0"))
    after = json.loads(document.body)
    assert document.version == "1.2.0"
    kept = {"version", "updated_at", "status", "metadata"}
    assert {name: after[name] for name in after if name not in kept} == {
        name: before[name] for name in before if name not in kept
    }
    assert after["metadata"]["tags"] == ["night"]
    assert (after["status"], after["metadata"]["status"]) == ("inactive", "inactive")
    newest = (await server.agents.versions(caller, agent, 1, 0))[0][0]
    assert newest.change_summary == "Rolled back to 1.0.0"
    assert (await audited(database, caller, agent))[-1] == "agent.rolled_back"
    same = await server.agents.rollback(caller, agent, RollbackRequest(version="1.2.0"))
    assert same.version == "1.2.0"
    with pytest.raises(VersionNotFound):
        await server.agents.rollback(caller, agent, RollbackRequest(version="9.0.0"))


async def test_a_repeated_rollback_rolls_back_once(server: OneServer, caller: Caller, owner: Connection) -> None:
    agent, operation, back = await server.agent(caller), uuid4(), RollbackRequest(version="1.0.0")
    await changed(server, caller, agent, traits={"empathy": 95})
    found = await asyncio.gather(*(server.agents.rollback(caller, agent, back, operation) for _ in range(5)))
    assert {one.version for one in found} == {"1.2.0"}
    await changed(server, caller, agent, traits={"empathy": 1})
    late = await server.agents.rollback(caller, agent, back, operation, frozenset({"1.1.0"}))
    assert late.version == "1.3.0"  # what it asked for was done long ago, and is not done to what came after
    assert await rows(owner, *WRITTEN) == [1, 4, 4, 4]


# --- export and import ---


async def test_an_export_imports_as_the_same_agent_of_somebody_else(
    server: OneServer, caller: Caller, tenant: TenantFactory, owner: Connection
) -> None:
    agent = await server.agent(caller, traits={"empathy": 10}, tags=["night"])
    await changed(server, caller, agent, traits={"empathy": 95})
    await changed(server, caller, agent, name="Other", change_summary="A better name")
    file = await server.agents.export(caller, agent)
    text = file.model_dump_json()
    for secret in (caller.tenant_id, caller.user_id, agent):
        assert str(secret) not in text
    stranger = await tenant()
    made = await server.agents.import_file(stranger, AgentExport.model_validate_json(text))
    assert made.id != agent
    theirs, ours = await read(server, stranger, made.id), await read(server, caller, agent)
    assert theirs["metadata"] == ours["metadata"] | {
        "tenant_id": str(stranger.tenant_id), "owner_id": str(stranger.user_id),
    }  # fmt: skip
    differing = {"id", "metadata"}
    assert {k: v for k, v in theirs.items() if k not in differing} == {
        k: v for k, v in ours.items() if k not in differing
    }
    assert (
        await numbers(server, stranger, made.id) == await numbers(server, caller, agent) == ["1.1.1", "1.1.0", "1.0.0"]
    )
    again = await server.agents.export(stranger, made.id)
    assert again.contract == file.contract
    assert [(one.version, one.change_summary, one.contract) for one in again.versions] == [
        (one.version, one.change_summary, one.contract) for one in file.versions
    ]
    assert await changed(server, stranger, made.id, traits={"empathy": 1}) == "1.2.0"
    assert await rows(owner, "agents", "agent_versions") == [2, 7]


def portable(version: str, **parts: Any) -> dict[str, Any]:
    return {
        "name": "Stargazer", "identity": IDENTITY, "version": version,
        "created_at": "2026-11-01T09:00:00Z", "updated_at": "2026-11-01T09:00:00Z",
    } | parts  # fmt: skip


def entry(version: str) -> dict[str, Any]:
    return {"version": version, "created_at": "2026-11-01T09:00:00Z", "contract": portable(version)}


def export(version: str, *history: str, **parts: Any) -> AgentExport:
    return AgentExport.model_validate(
        {"contract": portable(version, **parts), "versions": [entry(one) for one in history]}
    )


async def test_a_history_is_put_in_order(server: OneServer, caller: Caller) -> None:
    file = export("1.10.0", "1.9.0", "1.10.0", "1.2.0", "1.0.0")
    made = await server.agents.import_file(caller, file)
    assert await numbers(server, caller, made.id) == ["1.10.0", "1.9.0", "1.2.0", "1.0.0"]
    assert await changed(server, caller, made.id, name="Other") == "1.10.1"


async def test_a_contract_alone_is_a_file_too(server: OneServer, caller: Caller) -> None:
    made = await server.agents.import_file(caller, export("3.4.5"))
    found, total = await server.agents.versions(caller, made.id, 10, 0)
    assert ([one.version for one in found], found[0].change_summary, total) == (["3.4.5"], "Imported", 1)


async def test_files_that_cannot_go_on_are_refused(server: OneServer, caller: Caller, owner: Connection) -> None:
    files = [
        export("1.0.0", "1.0.0", "1.1.0"),  # the next change would be 1.1.0
        export("999999999.0.0"),
        export("1.0.0", configuration={"llm_provider": "nowhere"}),
    ]
    for file in files:
        with pytest.raises(InvalidContract):
            await server.agents.import_file(caller, file)
    assert await rows(owner, *WRITTEN) == [0, 0, 0, 0]


async def test_the_largest_numbers_can_be_changed(server: OneServer, caller: Caller) -> None:
    large = 999_999_999
    made = await server.agents.import_file(caller, export(f"{large - 1}.{large - 1}.{large}"))
    assert await changed(server, caller, made.id, name="Other") == f"{large - 1}.{large}.0"
    assert await changed(server, caller, made.id, traits={"empathy": 1}) == f"{large}.0.0"
    assert (await read(server, caller, made.id))["version"] == f"{large}.0.0"


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
async def test_odd_moments_survive_and_stay_in_the_list(moment: str, server: OneServer, caller: Caller) -> None:
    made = await server.agents.import_file(caller, export("1.0.0", created_at=moment))
    await server.agent(caller)
    assert (await read(server, caller, made.id))["created_at"] == moment
    found: set[UUID] = set()
    cursor = None
    for _ in range(2):
        page = await server.agents.list_page(caller, AgentFilter(), cursor, 1, 0)
        found |= {one.id for one in page.items}
        cursor = page.next
    assert made.id in found
    assert len(found) == 2


async def test_a_long_history_is_exported_from_its_newest_end(
    server: OneServer, caller: Caller, owner: Connection
) -> None:
    agent = await server.agent(caller)
    await changed(server, caller, agent, traits={"empathy": 1})
    await owner.execute("UPDATE agent_versions SET ordinal = ordinal + 2000 WHERE ordinal = 2")
    await owner.execute(
        "INSERT INTO agent_versions (tenant_id, agent_id, ordinal, version, contract, change_summary, created_by)"
        " SELECT tenant_id, agent_id, number, '1.0.' || number,"
        " jsonb_set(contract, '{version}', to_jsonb('1.0.' || number)), '', created_by"
        " FROM agent_versions, generate_series(2, 1100) number WHERE version = '1.0.0'"
    )
    file = await server.agents.export(caller, agent)
    assert len(file.versions) == LONGEST_HISTORY
    assert (file.versions[0].version, file.versions[-1].version) == ("1.0.102", "1.1.0")
    AgentExport.model_validate_json(file.model_dump_json())


# --- requests that come twice ---


@pytest.mark.parametrize("what", ["create", "import", "duplicate"])
async def test_repeated_requests_make_nothing_twice(
    what: str, server: OneServer, caller: Caller, tenant: TenantFactory, owner: Connection
) -> None:
    source, operation = await server.agent(caller), uuid4()
    before = await rows(owner, *WRITTEN)

    async def make() -> UUID:
        if what == "create":
            wanted = AgentCreateRequest.model_validate({"name": "New", "identity": IDENTITY})
            return (await server.agents.create(caller, wanted, operation)).id
        if what == "import":
            return (await server.agents.import_file(caller, export("1.1.0", "1.0.0", "1.1.0"), operation)).id
        return (await server.agents.duplicate(caller, source, DuplicateRequest(), operation)).id

    made = await asyncio.gather(*(make() for _ in range(6)))
    assert len(set(made)) == 1
    assert await make() == made[0]
    versions = 2 if what == "import" else 1
    assert await rows(owner, *WRITTEN) == [before[0] + 1, before[1] + versions, before[2] + 1, before[3] + 1]
    await changed(server, caller, made[0], traits={"empathy": 1})
    assert await make() == made[0]
    assert (await read(server, caller, made[0]))["traits"]["empathy"] == 1


async def test_a_copy_begins_anew(server: OneServer, caller: Caller) -> None:
    source = await server.agent(
        caller, name="N" * 255, traits={"empathy": 10}, tags=["night"], voice={"voice_id": "calm"}
    )
    await changed(server, caller, source, traits={"empathy": 95}, status="archived")
    made = await server.agents.duplicate(caller, source, DuplicateRequest())
    copy, original = await read(server, caller, made.id), await read(server, caller, source)
    assert copy["name"] == "N" * 248 + " (copy)"
    assert (copy["version"], copy["status"], copy["metadata"]["tags"]) == ("1.0.0", "active", ["night"])
    for part in ("traits", "voice", "identity", "configuration"):
        assert copy[part] == original[part]
    assert (await server.agents.version(caller, made.id, "1.0.0")).change_summary.endswith(" 1.1.0")
    named = await server.agents.duplicate(caller, source, DuplicateRequest(name="Twin"))
    assert (await read(server, caller, named.id))["name"] == "Twin"
