"""The two roles that serve: derived or an operator's own, on a server that asks for passwords."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

import asyncpg
import pytest

from backend.embedded.postgres import EmbeddedPostgres
from backend.errors import BrokenWall, Misconfigured
from backend.stores.database import Database
from backend.stores.pool import open_pool
from backend.stores.roles import Logins, password_of, user_of
from backend.stores.schema import bring_up_to_date, create_database
from backend.stores.wall import refuse_gaps
from backend.tests.factories import make_tenant
from backend.tests.temporary_folder import temporary_folder

if TYPE_CHECKING:
    from asyncpg import Connection

TCP = "postgresql://house:secret@db.example.org:5433/numen?sslmode=require"


# --- derived ---


def test_logins_follow_from_the_owners_and_stay_the_same() -> None:
    logins = Logins.derived(TCP)
    assert logins == Logins.derived(TCP)
    assert (user_of(logins.app), user_of(logins.worker)) == ("numen_app", "numen_worker")
    assert logins.app.endswith("@db.example.org:5433/numen?sslmode=require")
    assert len({password_of(url) for url in (TCP, logins.app, logins.worker)}) == 3
    assert "secret" not in logins.app + logins.worker


@pytest.mark.parametrize(
    "other", [TCP.replace("secret", "other"), TCP.replace("/numen?", "/shop?")], ids=["password", "database"]
)
def test_another_password_or_database_has_other_logins(other: str) -> None:
    ours, theirs = Logins.derived(TCP), Logins.derived(other)
    for kind in ("app", "worker"):
        assert password_of(getattr(ours, kind)) != password_of(getattr(theirs, kind))


def test_user_and_password_may_stand_in_the_query() -> None:
    in_query = "postgresql://db.example.org:5433/numen?sslmode=require&user=house&password=secret"
    assert Logins.derived(in_query).app == Logins.derived(TCP).app


def test_without_a_database_it_is_the_users() -> None:
    assert Logins.derived("postgresql://house:secret@db.example.org").app.endswith("@db.example.org/house")


@pytest.mark.parametrize("url", ["postgresql://house@db.example.org/numen", "postgresql:///numen?user=house&host=/run"])
def test_nothing_is_derived_from_no_password(url: str) -> None:
    """Who knows the database's name would know such a password, too."""
    logins = Logins.derived(url)
    assert (user_of(logins.app), password_of(logins.app)) == ("numen_app", "")
    assert (user_of(logins.worker), password_of(logins.worker)) == ("numen_worker", "")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://house:secret@db.example.org/numen", "must look like postgresql://"),
        ("db.example.org", "must look like postgresql://"),
        ("postgresql://:secret@db.example.org", "names no user"),
        (f"postgresql://house:secret@db.example.org/{'n' * 60}", "at most 56 bytes"),
        (f"postgresql://house:secret@db.example.org/{'ü' * 30}", "at most 56 bytes"),
    ],
)
def test_urls_that_cannot_work_are_refused(url: str, told: str) -> None:
    with pytest.raises(Misconfigured, match=told):
        Logins.derived(url)


# --- on a server ---


@pytest.fixture(scope="module")
async def strict_server() -> AsyncGenerator[EmbeddedPostgres]:
    """A server of its own, without any of our roles yet, that asks everybody but postgres for a password."""
    with temporary_folder() as folder:
        server = EmbeddedPostgres(folder)
        await asyncio.to_thread(server.start)
        try:
            rules = "local all postgres trust\nlocal all all scram-sha-256\n"
            (server.data / "pg_hba.conf").write_text(rules, "utf-8")
            await as_postgres(server, "ALTER ROLE postgres PASSWORD 'secret'; SELECT pg_reload_conf()")
            yield server
        finally:
            await asyncio.to_thread(server.stop)


def url_of(server: EmbeddedPostgres, database: str, login: str = "postgres:secret") -> str:
    """Where to connect as this user with this password."""
    return server.dsn("X", login).replace("%3A", ":").replace("/X?", f"/{quote(database, safe='')}?")


async def as_postgres(server: EmbeddedPostgres, sql: str, database: str = "postgres") -> None:
    connection = await asyncpg.connect(server.dsn(database))
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def make_owner(server: EmbeddedPostgres, name: str, rights: str) -> str:
    """A database with an owner of its own; the owner's URL."""
    await as_postgres(server, f"CREATE ROLE {name} LOGIN PASSWORD 'secret' {rights}")
    await as_postgres(server, f"CREATE DATABASE {name} OWNER {name}")
    return url_of(server, name, f"{name}:secret")


@asynccontextmanager
async def serving(logins: Logins) -> AsyncGenerator[Database]:
    """The database as a server opens it: both pools, the wall checked."""
    app = await open_pool(logins.app, size=1, name="app")
    worker = await open_pool(logins.worker, size=1, name="worker")
    database = Database(app, worker)
    try:
        await refuse_gaps(app, worker)
        yield database
    finally:
        await database.close()


async def test_databases_that_boot_at_once_on_a_new_server(strict_server: EmbeddedPostgres) -> None:
    """Roles belong to the cluster, so this comes first: nobody made them yet."""
    names = [f"twin_{number}" for number in range(6)]
    for name in names:
        await create_database(strict_server.dsn(), name)
    logins = [Logins.derived(url_of(strict_server, name)) for name in names] * 2
    await asyncio.gather(*(bring_up_to_date(one) for one in logins))
    for one in logins[: len(names)]:
        async with serving(one) as database:
            await make_tenant(database)


@pytest.mark.parametrize("name", ['Odd "name"', "per%cent", "ümlaut", "a/b?c#d@e:f", "n" * 56])
async def test_odd_names_of_databases(name: str, strict_server: EmbeddedPostgres) -> None:
    await create_database(strict_server.dsn(), name)
    logins = Logins.derived(url_of(strict_server, name))
    await bring_up_to_date(logins)
    async with serving(logins) as database:
        await make_tenant(database)


async def test_an_owner_who_may_make_roles(strict_server: EmbeddedPostgres) -> None:
    await forget_groups(strict_server)
    url = await make_owner(strict_server, "maker", "CREATEROLE")
    logins = Logins.derived(url)
    assert await bring_up_to_date(logins) != []
    assert await bring_up_to_date(logins) == []
    async with serving(logins) as database:
        await make_tenant(database)
    wrong = Logins.derived(url.replace(":secret@", ":other@"))
    with pytest.raises(Misconfigured, match="refuses the login"):
        await open_pool(wrong.app, size=1, name="a wrong password")


async def forget_groups(server: EmbeddedPostgres) -> None:
    """Drop every database of these tests and our roles with them."""
    connection = await asyncpg.connect(server.dsn())
    named = "SELECT quote_ident(datname) FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1')"
    for row in await connection.fetch(named):
        await connection.execute(f"DROP DATABASE {row[0]} WITH (FORCE)")
    for row in await connection.fetch(
        "SELECT quote_ident(rolname) FROM pg_roles WHERE rolname ~ '^[^p].*_(app|worker)s?$'"
    ):
        await connection.execute(f"DROP ROLE {row[0]}")
    await connection.close()


async def test_an_owner_who_may_not_gets_the_statements_and_they_suffice(strict_server: EmbeddedPostgres) -> None:
    await forget_groups(strict_server)
    url = await make_owner(strict_server, "tenant_of_a_host", "")
    logins = Logins.derived(url)
    with pytest.raises(Misconfigured, match="may not make roles") as refused:
        await bring_up_to_date(logins)
    text, _, statements = refused.value.detail.partition(":\n")
    assert "let an administrator run these" in text
    assert "secret" not in refused.value.detail
    assert password_of(logins.app) not in refused.value.detail
    await as_postgres(strict_server, statements, "tenant_of_a_host")
    assert await bring_up_to_date(logins) != []
    assert await bring_up_to_date(logins) == []
    async with serving(logins) as database:
        await make_tenant(database)


async def test_the_password_follows_when_the_owners_is_changed(strict_server: EmbeddedPostgres) -> None:
    await forget_groups(strict_server)
    url = await make_owner(strict_server, "changing", "CREATEROLE")
    before = Logins.derived(url)
    await bring_up_to_date(before)
    await as_postgres(strict_server, "ALTER ROLE changing PASSWORD 'changed'")
    after = Logins.derived(url.replace(":secret@", ":changed@"))
    await bring_up_to_date(after)
    async with serving(after) as database:
        await make_tenant(database)
    with pytest.raises(Misconfigured, match="refuses the login"):
        await open_pool(before.app, size=1, name="the password before")


# --- an operator's own login ---


async def test_an_operators_own_login(strict_server: EmbeddedPostgres) -> None:
    await forget_groups(strict_server)
    await create_database(strict_server.dsn(), "operated")
    await as_postgres(strict_server, "DROP ROLE IF EXISTS chosen; CREATE ROLE chosen LOGIN PASSWORD 'by hand'")
    own = url_of(strict_server, "operated", "chosen:by hand")
    logins = Logins.derived(url_of(strict_server, "operated"), own)
    assert logins.app == own
    await bring_up_to_date(logins)
    async with serving(logins) as database:
        await make_tenant(database)
    connection: Connection = await asyncpg.connect(own)  # its password was not touched
    assert await connection.fetchval("SELECT pg_has_role('numen_apps', 'member')")
    assert not await connection.fetchval("SELECT pg_has_role('numen_workers', 'member')")
    await connection.close()


async def test_an_operators_login_that_does_not_exist_is_named(strict_server: EmbeddedPostgres) -> None:
    await create_database(strict_server.dsn(), "operated")
    logins = Logins.derived(url_of(strict_server, "operated"), url_of(strict_server, "operated", "nobody:x"))
    with pytest.raises(Misconfigured, match="names the role nobody, which the database server does not have"):
        await bring_up_to_date(logins)


async def test_the_owner_itself_is_no_login_for_the_app(strict_server: EmbeddedPostgres) -> None:
    await create_database(strict_server.dsn(), "careless")
    url = url_of(strict_server, "careless")
    logins = Logins.derived(url, url)
    await bring_up_to_date(logins)
    with pytest.raises(BrokenWall, match="superuser"):
        async with serving(logins):
            pass
