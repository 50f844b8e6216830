"""People of a product, development mode, and tokens."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from backend.errors import (
    Forbidden,
    Invalid,
    Unauthenticated,
)
from backend.models.tenant import Caller, Role
from backend.services.access_service import AccessService, Credentials
from backend.stores.database import Database
from backend.tests.factories import TenantFactory, make_default_tenant, make_user
from backend.tests.fakes import FixedTokens, FrozenClock

if TYPE_CHECKING:
    from asyncpg import Connection
from backend.tests.services.access import SUSPEND, access, at_home, bearer, clock, new_key

__all__ = ["access", "at_home", "clock"]


# --- people of a product ---------------------------------------------------------------------------------


async def test_a_person_is_made_on_first_use_and_stays_the_same(
    access: AccessService, tenant: TenantFactory, clock: FrozenClock, database: Database
) -> None:
    token = await new_key(access, await tenant(scopes=frozenset({"act_as"})), role="admin", scopes=["act_as"])
    backend = await access.authenticate(bearer(token))
    person = await access.authenticate(bearer(token, "customer-42"))
    assert person == Caller(backend.tenant_id, person.user_id, Role.MEMBER, frozenset(), backend.api_key_id)
    assert person.user_id != backend.user_id
    clock.advance(seconds=10)
    elsewhere = AccessService(database, mode="keys", clock=clock)
    assert (await elsewhere.authenticate(bearer(token, "customer-42"))).user_id == person.user_id
    assert (await access.authenticate(bearer(token, "customer-43"))).user_id != person.user_id


async def test_the_same_name_in_two_tenants_is_two_people(access: AccessService, tenant: TenantFactory) -> None:
    tokens = [await new_key(access, await tenant(scopes=frozenset({"act_as"})), scopes=["act_as"]) for _ in range(2)]
    people = [await access.authenticate(bearer(token, "anna@example.org")) for token in tokens]
    assert people[0].user_id != people[1].user_id
    assert people[0].tenant_id != people[1].tenant_id


async def test_a_viewers_key_stays_a_viewer_for_a_person(access: AccessService, tenant: TenantFactory) -> None:
    owner = await tenant(scopes=frozenset({"act_as"}))
    token = await new_key(access, owner, role="viewer", scopes=["act_as"])
    assert (await access.authenticate(bearer(token, "customer"))).role == Role.VIEWER


async def test_fifty_first_uses_at_once_make_one_person(
    access: AccessService, tenant: TenantFactory, owner: Connection
) -> None:
    token = await new_key(access, await tenant(scopes=frozenset({"act_as"})), scopes=["act_as"])
    people = await asyncio.gather(*(access.authenticate(bearer(token, "customer")) for _ in range(50)))
    assert len({one.user_id for one in people}) == 1
    assert await owner.fetchval("SELECT count(*) FROM users WHERE external_id = 'customer'") == 1


async def test_without_the_scope_nobody_is_spoken_for(
    access: AccessService, tenant: TenantFactory, owner: Connection
) -> None:
    token = await new_key(access, await tenant(), role="owner")
    with pytest.raises(Forbidden, match="act_as"):
        await access.authenticate(bearer(token, "customer"))
    assert await owner.fetchval("SELECT count(*) FROM users WHERE external_id IS NOT NULL") == 0


async def test_a_suspended_person_is_forbidden(
    access: AccessService, tenant: TenantFactory, clock: FrozenClock, owner: Connection
) -> None:
    token = await new_key(access, await tenant(scopes=frozenset({"act_as"})), scopes=["act_as"])
    await access.authenticate(bearer(token, "customer"))
    await owner.execute("UPDATE users SET status = 'suspended' WHERE external_id = 'customer'")
    clock.advance(seconds=3)
    with pytest.raises(Forbidden, match="suspended"):
        await access.authenticate(bearer(token, "customer"))
    await access.authenticate(bearer(token))


@pytest.mark.parametrize(
    "person",
    [
        "",
        " ",
        "a b",
        " a",
        "a\t",
        "a\nb",
        "a\0b",
        "x" * 201,
        "a\u200bb",
        "a\u2028b",
        "\udcff",
        "a, b",
        "\x7f",
        "a\u00a0b",
    ],
)
async def test_a_person_has_a_visible_name(person: str, access: AccessService, tenant: TenantFactory) -> None:
    token = await new_key(access, await tenant(scopes=frozenset({"act_as"})), scopes=["act_as"])
    with pytest.raises(Invalid, match="Numen-User"):
        await access.authenticate(bearer(token, person))


@pytest.mark.parametrize("person", ["1", "x" * 200, "auth0|64a1", "ünïcödé", "客户", "a%2Fb", "';DROP_TABLE_users;--"])
async def test_any_visible_name_will_do(person: str, access: AccessService, tenant: TenantFactory) -> None:
    token = await new_key(access, await tenant(scopes=frozenset({"act_as"})), scopes=["act_as"])
    assert (await access.authenticate(bearer(token, person))).role == Role.MEMBER


# --- development mode ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "LOCALHOST", "127.0.0.1", "127.8.9.1:80", "[::1]:8000"]
)
async def test_development_mode_asks_nobody_on_this_machine(
    host: str, at_home: AccessService, database: Database
) -> None:
    default = await make_default_tenant(database)
    assert await at_home.authenticate(Credentials(host=host)) == default
    person = await at_home.authenticate(Credentials(host=host, numen_user="customer"))
    assert person.role == Role.MEMBER


@pytest.mark.parametrize(
    "host",
    [
        None, "", "example.org", "localhost.example.org", "127.0.0.1.example.org", "evil.localhost", "192.168.1.4:8000",
        "0.0.0.0:8000", "[::]", "169.254.169.254", "localhost@example.org", "localhost:80:80", "localhost, example.org",
        "localhost.", "127.1", "2130706433", "[fe80::1]", "localhost/x", "[::ffff:10.0.0.1]", "999.0.0.1",
    ],
)  # fmt: skip
async def test_development_mode_answers_under_no_other_name(
    host: str | None, at_home: AccessService, database: Database
) -> None:
    await make_default_tenant(database)
    with pytest.raises(Forbidden, match="this machine"):
        await at_home.authenticate(Credentials(host=host))


@pytest.mark.parametrize(
    ("origin", "welcome"),
    [
        ("http://localhost:3000", True),
        ("https://127.0.0.1", True),
        ("http://[::1]:5173", True),
        ("https://console.example.org", True),
        ("https://Console.Example.org", True),
        ("http://console.example.org", False),
        ("https://console.example.org:8443", False),
        ("https://console.example.org.evil.org", False),
        ("https://evil.org", False),
        ("null", False),
        ("", False),
        ("file://", False),
        ("http://localhost.evil.org", False),
        ("chrome-extension://localhost", False),
        ("localhost", False),
    ],
)
async def test_development_mode_answers_our_own_pages_only(
    origin: str, welcome: bool, at_home: AccessService, database: Database
) -> None:
    default = await make_default_tenant(database)
    credentials = Credentials(host="localhost", origin=origin)
    if welcome:
        assert await at_home.authenticate(credentials) == default
    else:
        with pytest.raises(Forbidden, match="NUMEN_CORS_ORIGINS"):
            await at_home.authenticate(credentials)


async def test_a_key_that_is_sent_in_development_mode_counts(at_home: AccessService, tenant: TenantFactory) -> None:
    owner = await tenant()
    token = await new_key(at_home, owner, role="viewer")
    caller = await at_home.authenticate(Credentials(f"Bearer {token}", host="example.org"))
    assert (caller.tenant_id, caller.role) == (owner.tenant_id, Role.VIEWER)
    with pytest.raises(Unauthenticated):
        await at_home.authenticate(Credentials("Bearer wrong", host="localhost"))


# --- tokens ----------------------------------------------------------------------------------------------


def with_tokens(database: Database, clock: FrozenClock, tokens: FixedTokens) -> AccessService:
    return AccessService(database, mode="keys", clock=clock, token_verifier=tokens)


async def test_a_token_opens_as_a_known_user_with_the_role_it_gives(
    database: Database, clock: FrozenClock, tenant: TenantFactory
) -> None:
    owner = await tenant()
    known = await make_user(database, owner.tenant_id)
    tokens = FixedTokens(clock)
    tokens.know("good", owner.tenant_id, str(known.user_id), "admin")
    caller = await with_tokens(database, clock, tokens).authenticate(bearer("good"))
    assert caller == Caller(owner.tenant_id, known.user_id, Role.ADMIN)


@pytest.mark.parametrize("subject", ["auth0|abc", "7c1f0a52-6a0e-4a6e-9d57-2f0b8a1c3d4e"])
async def test_a_tokens_unknown_subject_becomes_a_person(
    subject: str, database: Database, clock: FrozenClock, tenant: TenantFactory, owner: Connection
) -> None:
    caller = await tenant()
    tokens = FixedTokens(clock)
    tokens.know("good", caller.tenant_id, subject, "member")
    person = await with_tokens(database, clock, tokens).authenticate(bearer("good"))
    stored = await owner.fetchval("SELECT external_id FROM users WHERE id = $1", person.user_id)
    assert (stored, person.role) == (subject, Role.MEMBER)


async def test_a_token_is_not_believed_beyond_its_expiry(
    database: Database, clock: FrozenClock, tenant: TenantFactory
) -> None:
    owner = await tenant()
    tokens = FixedTokens(clock, lifetime=timedelta(seconds=1))
    tokens.know("good", owner.tenant_id, "someone", "member")
    access = with_tokens(database, clock, tokens)
    await access.authenticate(bearer("good"))
    clock.advance(seconds=1)
    with pytest.raises(Unauthenticated, match="expired"):
        await access.authenticate(bearer("good"))


@pytest.mark.parametrize("whose", SUSPEND)
async def test_a_token_of_a_suspended_account_is_forbidden_and_makes_no_new_person(
    whose: str, database: Database, clock: FrozenClock, tenant: TenantFactory, owner: Connection
) -> None:
    caller = await tenant()
    await owner.execute(SUSPEND[whose])
    tokens = FixedTokens(clock)
    tokens.know("uuid", caller.tenant_id, str(caller.user_id), "owner")
    tokens.know("text", caller.tenant_id, "someone", "member")
    access = with_tokens(database, clock, tokens)
    with pytest.raises(Forbidden):
        await access.authenticate(bearer("uuid"))
    if whose == "tenant":
        with pytest.raises(Forbidden):
            await access.authenticate(bearer("text"))
    assert await owner.fetchval("SELECT count(*) FROM users") == 1


async def test_a_token_for_a_tenant_that_is_not_here_is_refused(database: Database, clock: FrozenClock) -> None:
    tokens = FixedTokens(clock)
    tokens.know("good", uuid4(), "someone", "owner")
    access = with_tokens(database, clock, tokens)
    for token in ("good", "unknown"):
        with pytest.raises(Unauthenticated):
            await access.authenticate(bearer(token))


@pytest.mark.parametrize("subject", ["x" * 201, "a b", "a\0", "\n"])
async def test_a_token_with_an_unusable_subject_is_refused(
    subject: str, database: Database, clock: FrozenClock, tenant: TenantFactory
) -> None:
    tokens = FixedTokens(clock)
    tokens.know("good", (await tenant()).tenant_id, subject, "owner")
    with pytest.raises(Unauthenticated, match="subject"):
        await with_tokens(database, clock, tokens).authenticate(bearer("good"))
