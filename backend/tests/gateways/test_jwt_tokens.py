"""Tokens: the good ones of both kinds get in, and no forgery does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from typing import cast
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from backend.errors import Misconfigured, Unauthenticated, Unavailable
from backend.gateways.jwt_tokens import JwtTokens
from backend.tests.fakes import FrozenClock
from backend.tests.gateways.forged_tokens import (
    AUDIENCE,
    EC_KEY,
    ED_KEY,
    ISSUER,
    NOW,
    SECRET,
    TENANT,
    Claims,
    by_key,
    by_secret,
    claims,
    forged_for_a_secret,
    forged_for_keys,
    handmade,
    part,
    published,
    signed,
)


class KeyServer:
    """An identity provider on this machine: publishes `document` and counts how often it is asked."""

    def __init__(self) -> None:
        self.document: bytes = b""
        self.status = 200
        self.asked = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/jwks.json"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def publish(self, *keys: Claims) -> None:
        self.document = json.dumps({"keys": list(keys)}).encode()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        head = f"HTTP/1.1 {self.status} X\r\ncontent-length: {len(self.document)}\r\nconnection: close\r\n\r\n"
        writer.write(head.encode() + self.document)
        await writer.drain()
        writer.close()


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(NOW)


@pytest.fixture
def with_secret(clock: FrozenClock) -> JwtTokens:
    return JwtTokens(clock=clock, issuer=ISSUER, audience=AUDIENCE, secret=SECRET)


@pytest.fixture
async def server() -> AsyncGenerator[KeyServer]:
    running = KeyServer()
    running.publish(published())
    yield running
    await running.stop()


@pytest.fixture
async def with_keys(clock: FrozenClock, server: KeyServer) -> AsyncGenerator[JwtTokens]:
    tokens = JwtTokens(clock=clock, issuer=ISSUER, audience=AUDIENCE, jwks_url=await server.start())
    yield tokens
    await tokens.close()


# --- good ones -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["secret", "key"])
async def test_a_good_token_says_who_where_what_and_until_when(
    kind: str, with_secret: JwtTokens, with_keys: JwtTokens
) -> None:
    found = await (with_secret.verify(by_secret()) if kind == "secret" else with_keys.verify(by_key()))
    assert (found.subject, found.tenant_id, found.role) == ("auth0|42", TENANT, "admin")
    assert type(found.tenant_id) is UUID
    assert found.expires_at == NOW + timedelta(hours=2)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["other", AUDIENCE]},
        {"exp": NOW.timestamp() + 3600.5},
        {"iat": NOW.timestamp() + 5},
        {"nbf": 1},
        {"x": [1]},
    ],
)
async def test_what_providers_also_write_is_understood(changes: Claims, with_secret: JwtTokens) -> None:
    assert (await with_secret.verify(by_secret(**changes))).tenant_id == TENANT


async def test_without_a_role_it_is_a_member(with_secret: JwtTokens) -> None:
    assert (await with_secret.verify(by_secret(role=None))).role == "member"


async def test_the_tenant_may_have_another_name(clock: FrozenClock) -> None:
    tokens = JwtTokens(
        clock=clock, issuer=ISSUER, audience=AUDIENCE, secret=SECRET, tenant_claim="https://numen/tenant"
    )
    token = by_secret(tenant_id=None, **{"https://numen/tenant": str(TENANT)})
    assert (await tokens.verify(token)).tenant_id == TENANT
    with pytest.raises(Unauthenticated):
        await tokens.verify(by_secret())


async def test_elliptic_keys_work_too(with_keys: JwtTokens, server: KeyServer) -> None:
    elliptic = ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True)
    edwards = OKPAlgorithm.to_jwk(ED_KEY.public_key(), as_dict=True)
    server.publish({**elliptic, "kid": "ec"}, {**edwards, "kid": "ed"})
    for token in (
        signed(claims(), EC_KEY, "ES256", kid="ec"),
        signed(claims(), ED_KEY, "EdDSA", kid="ed"),
    ):
        assert (await with_keys.verify(token)).subject == "auth0|42"


# --- forgeries -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", forged_for_a_secret())
async def test_no_forgery_passes_a_secret(name: str, with_secret: JwtTokens) -> None:
    with pytest.raises(Unauthenticated):
        await with_secret.verify(forged_for_a_secret()[name])


async def test_no_forgery_passes_the_keys(with_keys: JwtTokens) -> None:
    accepted: list[str] = []
    for name, token in forged_for_keys().items():
        try:
            await with_keys.verify(token)
            accepted.append(name)
        except Unauthenticated:
            continue
    assert accepted == []
    await with_keys.verify(by_key())  # the control


def test_there_are_enough_forgeries() -> None:
    assert len(forged_for_a_secret()) >= 60
    assert len(forged_for_keys()) >= 60


async def test_noise_in_every_place_of_a_token_is_refused(with_secret: JwtTokens) -> None:
    good = by_secret()
    changed = [f"{good[:at]}{'A' if good[at] != 'A' else 'B'}{good[at + 1 :]}" for at in range(len(good))]
    for token in changed:
        with pytest.raises(Unauthenticated):
            await with_secret.verify(token)


# --- the keys at an address ------------------------------------------------------------------------------


async def test_keys_are_fetched_once_for_many(with_keys: JwtTokens, server: KeyServer) -> None:
    await asyncio.gather(*(with_keys.verify(by_key(sub=f"user {number}")) for number in range(20)))
    assert server.asked == 1


async def test_a_new_key_is_found_but_unknown_ones_ask_at_most_once_a_minute(
    with_keys: JwtTokens, server: KeyServer, clock: FrozenClock
) -> None:
    await with_keys.verify(by_key())
    server.publish(published(), published("two"))
    for _ in range(10):
        with pytest.raises(Unauthenticated, match="not published"):
            await with_keys.verify(by_key("two"))
    assert server.asked == 1
    clock.advance(seconds=60)
    assert (await with_keys.verify(by_key("two"))).tenant_id == TENANT
    for number in range(10):
        with pytest.raises(Unauthenticated):
            await with_keys.verify(by_key("forger", kid=f"unknown {number}"))
    assert server.asked == 2


async def test_a_key_that_is_taken_back_ends_within_the_hour(
    with_keys: JwtTokens, server: KeyServer, clock: FrozenClock
) -> None:
    token = by_key(exp=int(NOW.timestamp()) + 7200)
    await with_keys.verify(token)
    server.publish(published("two"))
    clock.advance(minutes=59)
    await with_keys.verify(token)
    clock.advance(minutes=1)
    with pytest.raises(Unauthenticated, match="not published"):
        await with_keys.verify(token)


async def test_known_keys_serve_while_the_provider_is_away(
    with_keys: JwtTokens, server: KeyServer, clock: FrozenClock
) -> None:
    token = by_key(exp=int(NOW.timestamp()) + 7200)
    await with_keys.verify(token)
    clock.advance(hours=1)
    server.status = 500
    assert (await with_keys.verify(token)).tenant_id == TENANT
    await server.stop()
    clock.advance(minutes=2)
    assert (await with_keys.verify(token)).tenant_id == TENANT


def not_served(server: KeyServer) -> None:
    server.status = 404


def not_json(server: KeyServer) -> None:
    server.document = b"<html>"


def no_set(server: KeyServer) -> None:
    server.document = b'["keys"]'


def too_large(server: KeyServer) -> None:
    server.document = b" " * 2_000_000


def elsewhere(server: KeyServer) -> None:
    server.status = 302


@pytest.mark.parametrize("fault", [not_served, not_json, no_set, too_large, elsewhere])
async def test_without_any_keys_nobody_gets_in_until_they_come(
    fault: Callable[[KeyServer], None], with_keys: JwtTokens, server: KeyServer, clock: FrozenClock
) -> None:
    fault(server)
    with pytest.raises(Unavailable):
        await with_keys.verify(by_key())
    server.status = 200
    server.publish(published())
    clock.advance(seconds=5)
    assert (await with_keys.verify(by_key())).tenant_id == TENANT


async def test_only_public_signing_keys_are_taken(with_keys: JwtTokens, server: KeyServer) -> None:
    shared = {"kty": "oct", "k": part(SECRET.encode()), "kid": "shared", "alg": "HS256"}
    weak = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)  # noqa: S505 — meant to be
    server.publish(
        shared,
        published("forger", use="enc"),
        published("two", alg=["RS256"]),
        {**weak, "kid": "weak"},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": 7},
        cast("Claims", "no object"),
        published(),
    )
    await with_keys.verify(by_key())
    for token in (
        handmade({"alg": "HS256", "kid": "shared"}, claims()),
        by_key("forger"),
        by_key("two"),
        handmade({"alg": "RS256", "kid": "broken"}, claims()),
    ):
        with pytest.raises(Unauthenticated):
            await with_keys.verify(token)


# --- settings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"issuer": None},
        {"issuer": ""},
        {"audience": None},
        {"audience": ""},
        {"secret": "x" * 31},
        {"secret": ""},
        {"secret": None},
        {"jwks_url": "https://login.example.org/keys"},
        {"secret": None, "jwks_url": "file:///etc/passwd"},
    ],
)
def test_settings_that_would_let_anybody_in_stop_the_start(settings: Claims, clock: FrozenClock) -> None:
    good: Claims = {"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET}
    with pytest.raises(Misconfigured):
        JwtTokens(clock=clock, **{**good, **settings})
