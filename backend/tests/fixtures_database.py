"""Fixtures for everything that talks to the database: a really migrated one, emptied after each test that used it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import TYPE_CHECKING, cast

import asyncpg
import pytest

from backend.embedded.postgres import EmbeddedPostgres
from backend.stores.database import Database
from backend.stores.pool import open_pool
from backend.stores.roles import Logins
from backend.stores.schema import bring_up_to_date, create_database
from backend.tests.factories import TenantFactory, make_tenant

if TYPE_CHECKING:
    from asyncpg import Connection

DATABASE = "numen_tests"
# Deleting is ten times faster than truncating, which makes new files. As a replica no trigger runs, so that foreign
# keys ask for no order; the lock_timeout tells of a test that left work behind.
_EMPTY = """
DO $$
DECLARE name text;
BEGIN
    SET LOCAL lock_timeout = '10s';
    SET LOCAL session_replication_role = replica;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_migrations' LOOP
        EXECUTE format('DELETE FROM %I', name);
    END LOOP;
END $$"""


@pytest.fixture(scope="session")
async def database_url(postgres_server: EmbeddedPostgres) -> str:
    """The owner's URL of a migrated database; whoever uses it leaves it empty."""
    await create_database(postgres_server.dsn(), DATABASE)
    url = postgres_server.dsn(DATABASE)
    await bring_up_to_date(Logins.derived(url))
    return url


@pytest.fixture(scope="session")
async def owner(database_url: str) -> AsyncGenerator[Connection]:
    """A connection that sees and may do everything, to look behind the wall; nothing of the program works as it."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncGenerator[Database]:
    """The rows, seen as the program sees them: as the app's role and as the worker's."""
    logins = Logins.derived(database_url)
    app = await open_pool(logins.app, size=10, name="tests app")
    worker = await open_pool(logins.worker, size=4, name="tests worker")
    opened = Database(app, worker)
    yield opened
    await opened.close()


@pytest.fixture
async def emptied(owner: Connection) -> AsyncGenerator[None]:
    """Empty every table after the test."""
    yield
    await owner.execute(_EMPTY)


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest) -> None:
    """After a test that used the database, directly or through others, it is empty again."""
    if "database_url" in request.fixturenames:
        request.getfixturevalue("emptied")


@pytest.fixture
def tenant(database: Database) -> TenantFactory:
    """Makes tenants: `caller = await tenant()` is the owner of a new one."""
    return cast("TenantFactory", partial(make_tenant, database))
