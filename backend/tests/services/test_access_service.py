"""Who gets in, as whom, for how long; and the keys that open the door."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4
from zlib import crc32

import pytest

from backend.errors import (
    ApiKeyNotFound,
    Forbidden,
    Invalid,
    SecretAlreadyShown,
    Unauthenticated,
)
from backend.models.tenant import ApiKeyCreate, Caller, Role
from backend.services.access_service import AccessService, Credentials
from backend.services.secret_key import SecretKey
from backend.stores.database import Database
from backend.tests.factories import TenantFactory, make_default_tenant, make_user
from backend.tests.fakes import FixedTokens, FrozenClock

if TYPE_CHECKING:
    from asyncpg import Connection

BOOTSTRAP = "bootstrap-key-of-thirty-two-chars"
KNOWN_HOST = "127.0.0.1:8000"
SUSPEND = {
    "user": "UPDATE users SET status = 'suspended'",
    "tenant": "UPDATE tenants SET status = 'suspended'",
}


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def access(database: Database, clock: FrozenClock) -> AccessService:
    return AccessService(database, mode="keys", clock=clock, bootstrap_key=BOOTSTRAP)


@pytest.fixture
def at_home(database: Database, clock: FrozenClock) -> AccessService:
    origins = ["https://console.example.org"]
    return AccessService(database, mode="development", clock=clock, allowed_origins=origins)


def bearer(token: str, person: str | None = None) -> Credentials:
    return Credentials(authorization=f"Bearer {token}", numen_user=person, host=KNOWN_HOST)


async def new_key(access: AccessService, caller: Caller, **wanted: Any) -> str:
    made = await access.create_key(caller, ApiKeyCreate(name="a key", **wanted))
    return made.key


# --- keys ------------------------------------------------------------------------------------------------


async def test_a_key_opens_as_its_user_with_its_role_and_scopes(access: AccessService, tenant: TenantFactory) -> None:
    owner = await tenant(scopes=frozenset({"act_as"}))
    made = await access.create_key(owner, ApiKeyCreate(name="backend", role="admin", scopes=["act_as"]))
    caller = await access.authenticate(bearer(made.key))
    assert caller == Caller(owner.tenant_id, owner.user_id, Role.ADMIN, frozenset({"act_as"}), made.id)


async def test_the_scheme_is_written_in_any_case(access: AccessService, tenant: TenantFactory) -> None:
    token = await new_key(access, await tenant())
    assert (await access.authenticate(Credentials(f"bEARER {token}"))).role == Role.MEMBER


async def test_two_live_keys_open_at_once_and_each_can_be_revoked(access: AccessService, tenant: TenantFactory) -> None:
    owner = await tenant()
    old, new = await new_key(access, owner), await new_key(access, owner)
    first = await access.authenticate(bearer(old))
    await access.authenticate(bearer(new))
    assert first.api_key_id is not None
    await access.revoke_key(owner, first.api_key_id)
    with pytest.raises(Unauthenticated, match="revoked"):
        await access.authenticate(bearer(old))
    assert (await access.authenticate(bearer(new))).user_id == owner.user_id


async def test_neither_the_secret_nor_a_part_of_it_is_stored(
    access: AccessService, tenant: TenantFactory, owner: Connection
) -> None:
    token = await new_key(access, await tenant())
    secret = token.split("_")[3]
    rows = [str(dict(row)) for table in ("api_keys", "audit_log") for row in await owner.fetch(f"TABLE {table}")]
    assert len(rows) == 2
    assert not any(secret[:16] in row for row in rows)
    assert SecretKey.parse(token) is not None
    assert secret not in repr(SecretKey.parse(token))


def mistyped(token: str) -> dict[str, str]:
    _, _, public, secret, crc = token.split("_")
    with_other_secret = f"numen_sk_{public}_{secret[::-1]}"
    unknown = f"numen_sk_{'0' * 16}_{secret}"
    return {
        "nothing": "",
        "a space": " ",
        "cut": token[:-1],
        "longer": f"{token}0",
        "another checksum": f"numen_sk_{public}_{secret}_{int(crc, 16) ^ 1:08x}",
        "another secret": f"{with_other_secret}_{crc}",
        "another secret with its checksum": f"{with_other_secret}_{crc32(with_other_secret.encode()):08x}",
        "another id with its checksum": f"{unknown}_{crc32(unknown.encode()):08x}",
        "upper case": token.upper(),
        "a space before": f" {token}",
        "a space behind": f"{token} ",
        "a line break behind": f"{token}\n",
        "two": f"{token}, Bearer {token}",
        "NUL": f"{token}\0",
        "full-width digits": token.replace("0", "\uff10").replace("1", "\uff11"),
        "only the start": "numen_sk_",
        "a wildcard": f"numen_sk_%_{secret}_{crc}",
        "huge": "numen_sk_" + "a" * 100_000,
        "text that is no key": "hello",
        "a lone surrogate": "numen_sk_\ud800",
    }


@pytest.mark.parametrize("change", mistyped("numen_sk_1_2_3"))
async def test_a_key_that_is_not_exactly_right_is_refused(
    change: str, access: AccessService, tenant: TenantFactory
) -> None:
    token = await new_key(access, await tenant())
    with pytest.raises(Unauthenticated):
        await access.authenticate(Credentials(f"Bearer {mistyped(token)[change]}"))
    await access.authenticate(bearer(token))


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "numen_sk_x", "Token x", "Bearer\tx"]
)
@pytest.mark.parametrize("mode", ["keys", "development"])
async def test_another_kind_of_credentials_is_refused_in_every_mode(
    mode: str, header: str, access: AccessService, at_home: AccessService, database: Database
) -> None:
    await make_default_tenant(database)
    with pytest.raises(Unauthenticated):
        await (access if mode == "keys" else at_home).authenticate(Credentials(header, host=KNOWN_HOST))


async def test_keys_mode_refuses_who_sends_nothing(access: AccessService, database: Database) -> None:
    await make_default_tenant(database)
    with pytest.raises(Unauthenticated):
        await access.authenticate(Credentials(host=KNOWN_HOST))


async def test_a_key_ends_at_the_moment_it_expires_though_it_was_just_used(
    access: AccessService, tenant: TenantFactory, clock: FrozenClock
) -> None:
    token = await new_key(access, await tenant(), expires_at=clock.now() + timedelta(seconds=1))
    await access.authenticate(bearer(token))
    clock.advance(seconds=1)
    with pytest.raises(Unauthenticated, match="expired"):
        await access.authenticate(bearer(token))
    clock.advance(seconds=10)
    with pytest.raises(Unauthenticated, match="expired"):
        await access.authenticate(bearer(token))


async def test_a_key_revoked_by_another_process_is_refused_within_five_seconds(
    access: AccessService, database: Database, tenant: TenantFactory, clock: FrozenClock
) -> None:
    owner = await tenant()
    made = await access.create_key(owner, ApiKeyCreate(name="a key"))
    await access.authenticate(bearer(made.key))
    await AccessService(database, mode="keys", clock=clock).revoke_key(owner, made.id)
    clock.advance(seconds=3)
    with pytest.raises(Unauthenticated, match="revoked"):
        await access.authenticate(bearer(made.key))


async def test_a_key_revoked_here_is_refused_at_once(access: AccessService, tenant: TenantFactory) -> None:
    owner = await tenant()
    made = await access.create_key(owner, ApiKeyCreate(name="a key"))
    await access.authenticate(bearer(made.key))
    await access.revoke_key(owner, made.id)
    with pytest.raises(Unauthenticated, match="revoked"):
        await access.authenticate(bearer(made.key))


async def test_a_clock_that_is_set_back_does_not_let_a_revoked_key_live_on(
    access: AccessService, tenant: TenantFactory, clock: FrozenClock, owner: Connection
) -> None:
    made = await access.create_key(await tenant(), ApiKeyCreate(name="a key"))
    await access.authenticate(bearer(made.key))
    await owner.execute("UPDATE api_keys SET revoked_at = now()")
    clock.advance(hours=-1)
    with pytest.raises(Unauthenticated, match="revoked"):
        await access.authenticate(bearer(made.key))


@pytest.mark.parametrize("whose", SUSPEND)
async def test_a_suspended_account_is_forbidden_within_seconds(
    whose: str, access: AccessService, tenant: TenantFactory, clock: FrozenClock, owner: Connection
) -> None:
    token = await new_key(access, await tenant())
    await access.authenticate(bearer(token))
    await owner.execute(SUSPEND[whose])
    clock.advance(seconds=3)
    with pytest.raises(Forbidden, match="suspended"):
        await access.authenticate(bearer(token))


async def test_the_last_use_is_noted_once_a_minute(
    access: AccessService, tenant: TenantFactory, clock: FrozenClock, owner: Connection
) -> None:
    token = await new_key(access, await tenant())

    async def noted() -> Any:
        await access.authenticate(bearer(token))
        return await owner.fetchval("SELECT last_used_at FROM api_keys")

    first = await noted()
    assert first is not None
    clock.advance(seconds=first.timestamp() - clock.now().timestamp() + 10)  # the rows have the database's time
    assert await noted() == first
    clock.advance(seconds=60)
    assert await noted() > first


async def test_a_burst_of_one_key_asks_the_database_once(database: Database, clock: FrozenClock) -> None:
    counted = CountingDatabase(database)
    access = AccessService(counted, mode="keys", clock=clock)  # pyright: ignore[reportArgumentType] — it is one, and counts
    token = await new_key(access, await make_default_tenant(database))
    callers = await asyncio.gather(*(access.authenticate(bearer(token)) for _ in range(50)))
    assert len(set(callers)) == 1
    assert counted.workers == 1
    clock.advance(seconds=3)
    await access.authenticate(bearer(token))
    assert counted.workers == 2


async def test_one_of_a_burst_going_away_takes_nothing_from_the_others(
    access: AccessService, tenant: TenantFactory
) -> None:
    token = await new_key(access, await tenant())
    first, second = (asyncio.create_task(access.authenticate(bearer(token))) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).role == Role.MEMBER
    assert first.cancelled() or first.cancelling()


async def test_a_refusal_is_not_remembered(access: AccessService, database: Database) -> None:
    for _ in range(2):
        with pytest.raises(Forbidden, match="numen seed"):
            await access.authenticate(bearer(BOOTSTRAP))
    await make_default_tenant(database)
    assert (await access.authenticate(bearer(BOOTSTRAP))).role == Role.OWNER


# --- the bootstrap key and the first key -----------------------------------------------------------------


async def test_the_bootstrap_key_is_an_owner_of_the_default_tenant(access: AccessService, database: Database) -> None:
    default = await make_default_tenant(database)
    assert await access.authenticate(bearer(BOOTSTRAP)) == default
    for wrong in (BOOTSTRAP[:-1], BOOTSTRAP + "x", BOOTSTRAP.upper()):
        with pytest.raises(Unauthenticated):
            await access.authenticate(bearer(wrong))


async def test_the_first_key_is_made_once_and_again_when_none_opens(
    access: AccessService, database: Database, owner: Connection
) -> None:
    default = await make_default_tenant(database)
    first = await access.make_first_key()
    assert first is not None
    caller = await access.authenticate(bearer(first))
    assert replace(caller, api_key_id=None) == default
    assert await access.make_first_key() is None
    await owner.execute("UPDATE api_keys SET expires_at = now()")
    second = await access.make_first_key()
    assert second is not None
    assert caller.api_key_id is not None
    await access.revoke_key(default, caller.api_key_id)
    assert await access.make_first_key() is None


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


@pytest.mark.parametrize("subject", ["auth0|abc", str(uuid4())])
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


# --- making and listing keys -----------------------------------------------------------------------------


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("wanted", ["viewer", "member", "admin", "owner"])
async def test_a_key_never_has_more_rights_than_who_makes_it(
    role: Role, wanted: Any, access: AccessService, tenant: TenantFactory
) -> None:
    caller = await tenant(role)
    if Role.named(wanted) > role:
        with pytest.raises(Forbidden, match=wanted):
            await new_key(access, caller, role=wanted)
        assert await access.list_keys(caller) == []
    else:
        assert (
            await access.authenticate(bearer(await new_key(access, caller, role=wanted)))
        ).role.name.lower() == wanted


async def test_a_scope_that_one_does_not_have_cannot_be_given(access: AccessService, tenant: TenantFactory) -> None:
    with pytest.raises(Forbidden, match="act_as"):
        await new_key(access, await tenant(), scopes=["act_as"])


async def test_an_expiry_lies_in_the_future(access: AccessService, tenant: TenantFactory, clock: FrozenClock) -> None:
    owner = await tenant()
    with pytest.raises(Invalid, match="expires_at") as refused:
        await new_key(access, owner, expires_at=clock.now())
    assert refused.value.errors[0].pointer == "/expires_at"
    for moment in ("2026-12-01T00:00:00", "9999-12-31T23:59:59-12:00", "tomorrow"):
        with pytest.raises(ValueError, match="expires_at"):
            ApiKeyCreate.model_validate({"name": "a key", "expires_at": moment})


async def test_the_list_shows_every_key_of_the_tenant_and_no_other(
    access: AccessService, tenant: TenantFactory
) -> None:
    owner, other = await tenant(), await tenant()
    made = [await access.create_key(owner, ApiKeyCreate(name=f"key {number}")) for number in range(3)]
    await new_key(access, other)
    await access.revoke_key(owner, made[0].id)
    listed = await access.list_keys(owner)
    assert {one.id for one in listed} == {one.id for one in made}
    assert [one.id for one in listed if one.revoked_at] == [made[0].id]
    assert all(key.key.startswith(f"{key.prefix}_") for key in made)
    assert made[1].key not in str(listed)


async def test_another_tenants_key_is_as_absent_as_none(access: AccessService, tenant: TenantFactory) -> None:
    owner, other = await tenant(), await tenant()
    made = await access.create_key(owner, ApiKeyCreate(name="a key"))
    for key_id in (made.id, uuid4()):
        with pytest.raises(ApiKeyNotFound):
            await access.revoke_key(other, key_id)
    await access.authenticate(bearer(made.key))


async def test_the_same_operation_makes_one_key_and_never_shows_it_twice(
    access: AccessService, tenant: TenantFactory
) -> None:
    owner, operation = await tenant(), uuid4()
    made = await access.create_key(owner, ApiKeyCreate(name="a key"), operation)
    with pytest.raises(SecretAlreadyShown) as refused:
        await access.create_key(owner, ApiKeyCreate(name="a key"), operation)
    assert refused.value.context == {"api_key_id": str(made.id)}
    assert [one.id for one in await access.list_keys(owner)] == [made.id]


async def test_making_and_revoking_are_audited(
    access: AccessService, tenant: TenantFactory, database: Database
) -> None:
    owner = await tenant()
    made = await access.create_key(owner, ApiKeyCreate(name="a key"))
    await access.revoke_key(owner, made.id)
    async with database.tenant(owner.tenant_id) as tx:
        entries = await tx.audit.of_subject(made.id)
    assert [entry["action"] for entry in entries] == ["api_key.created", "api_key.revoked"]
    assert {entry["actor_id"] for entry in entries} == {owner.user_id}


# --- the cost --------------------------------------------------------------------------------------------


async def test_a_known_caller_costs_next_to_nothing(access: AccessService, tenant: TenantFactory) -> None:
    """The target is 10 µs (2 to 4 measured); the bound is wide for machines that do other things meanwhile."""
    token = await new_key(access, await tenant(scopes=frozenset({"act_as"})), scopes=["act_as"])
    credentials = bearer(token, "customer")
    await access.authenticate(credentials)
    loop = asyncio.get_running_loop()
    best = 1.0
    for _ in range(5):
        started = loop.time()
        for _ in range(200):
            await access.authenticate(credentials)
        best = min(best, (loop.time() - started) / 200)
    assert best < 50e-6


class CountingDatabase:
    """The database, counting how often the worker is asked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.workers = 0

    def tenant(self, tenant_id: UUID) -> Any:
        return self._database.tenant(tenant_id)

    def worker(self) -> Any:
        self.workers += 1
        return self._database.worker()
