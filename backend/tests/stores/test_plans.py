"""Plans are made once and kept, perhaps while a table is small: they must be those of a large one."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from backend.stores.database import Database
from backend.stores.queries import load

if TYPE_CHECKING:
    from asyncpg import Connection

Node = dict[str, Any]


def nodes(node: Node) -> Generator[Node]:
    """The node and all below it."""
    yield node
    for child in node.get("Plans", []):
        yield from nodes(child)


async def reads(connection: Connection, sql: str) -> list[str]:
    """How the plan that is kept for a query reads each table: by which index, and what it looks up there."""
    statement = await connection.prepare(sql)
    given = ", ".join(["NULL"] * len(statement.get_parameters()))
    await connection.execute(f"PREPARE looked_at AS {sql}")
    try:
        found = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE looked_at{f'({given})' if given else ''}")
    finally:
        await connection.execute("DEALLOCATE looked_at")
    scans = [one for one in nodes(json.loads(found)[0]["Plan"]) if "Scan" in one["Node Type"] and "Index Name" in one]
    return [f"{one['Index Name']}: {one.get('Index Cond', 'everything')}" for one in scans]


@pytest.fixture(scope="module", autouse=True)
async def new_tables(owner: Connection) -> None:
    """New files, as in a new database: those from which others deleted stay large, and the planner asks for that."""
    names = await owner.fetchval("""
        SELECT string_agg(quote_ident(tablename), ', ')
          FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_migrations'""")
    await owner.execute(f"TRUNCATE {names} CASCADE")


@pytest.fixture(autouse=True)
async def unknown_tables(owner: Connection) -> None:
    """Nothing is known of any table, as in a new database: other tests may have had theirs analyzed."""
    await owner.execute("""
        SELECT pg_clear_relation_stats('public', c.relname), (
               SELECT count(pg_clear_attribute_stats('public', c.relname, a.attname::text, false)::text)
                 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
          FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'""")


@pytest.mark.parametrize("name", sorted(load("memories")))
async def test_no_query_of_memories_reads_a_tenants_whole_table(name: str, database: Database) -> None:
    async with database.tenant(uuid4()) as tx:
        found = await reads(tx.users._connection, load("memories")[name])  # pyright: ignore[reportPrivateUsage]
    assert found
    for one in found:
        whole = one.endswith((": (tenant_id = $1)", ": everything"))
        assert not whole or name == "held", found


async def test_a_claim_reads_what_is_due_of_its_kinds(database: Database) -> None:
    async with database.worker() as worker:
        found = await reads(worker._connection, load("worker")["claim_deliveries"])  # pyright: ignore[reportPrivateUsage]
    assert found == [
        "outbox_due: ((kind = ours.kind) AND (available_at <= statement_timestamp()))",
        'outbox_pkey: (id = "ANY_subquery".id)',
    ]


async def test_a_look_at_schedules_reads_what_is_scheduled(database: Database) -> None:
    async with database.worker() as worker:
        found = await reads(worker._connection, load("worker")["due_schedules"])  # pyright: ignore[reportPrivateUsage]
    assert found == [
        "agents_scheduled: everything",
        "agent_schedules_pkey: ((tenant_id = a.tenant_id) AND (agent_id = a.id))",
        "agent_schedules_due: (next_at <= statement_timestamp())",
        "agents_scheduled: ((tenant_id = s.tenant_id) AND (id = s.agent_id))",
    ]
