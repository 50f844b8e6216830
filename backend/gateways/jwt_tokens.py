"""JSON web tokens of the operator's own identity provider: one shared secret, or the public keys at a JWKS address."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast, get_args
from urllib.parse import urlsplit
from uuid import UUID

import httpx2
import jwt
import orjson

from backend.errors import Misconfigured, Unauthenticated, Unavailable
from backend.models.tenant import RoleName
from backend.ports import Clock, TokenClaims
from backend.telemetry import get_logger

LONGEST_TOKEN = 8192
SHORTEST_SECRET = 32
SECRET_ALGORITHMS = ("HS256",)
KEY_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
REQUIRED = ("exp", "iat", "sub", "iss", "aud")
SKEW_SECONDS = 10.0
"""How far the provider's clock may be ahead of ours (iat, nbf); never how long a token outlives its exp."""
KEYS_LIVE_FOR = timedelta(hours=1)
ASK_AGAIN_AFTER = timedelta(minutes=1)
ASK_AT_FIRST_AFTER = timedelta(seconds=5)
ASK_SECONDS = 5.0
_LARGEST_KEY_SET = 1_000_000
_LAST_MOMENT = 253_402_300_799
_ROLES = frozenset(get_args(RoleName))
_log = get_logger(__name__)


class JwtTokens:
    """A `TokenVerifier`.

    Claims: exp, iat, sub, iss, aud, the tenant's UUID (under `tenant_claim`), and optionally `role`, else it is member.
    Errors of the constructor: `Misconfigured`.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        issuer: str | None,
        audience: str | None,
        secret: str | None = None,
        jwks_url: str | None = None,
        tenant_claim: str = "tenant_id",
    ) -> None:
        if not issuer or not audience:
            raise Misconfigured("Tokens need NUMEN_JWT_ISSUER and NUMEN_JWT_AUDIENCE: without them any would do.")
        if (secret is None) == (jwks_url is None):
            raise Misconfigured("Tokens need either NUMEN_JWT_SECRET or NUMEN_JWT_JWKS_URL, not both.")
        if secret is not None and len(secret.encode()) < SHORTEST_SECRET:
            raise Misconfigured(f"NUMEN_JWT_SECRET needs at least {SHORTEST_SECRET} bytes.")
        self._clock = clock
        self._issuer = issuer
        self._audience = audience
        self._tenant_claim = tenant_claim
        self._secret = secret
        self._keys = None if jwks_url is None else _PublishedKeys(jwks_url, clock)

    async def verify(self, token: str) -> TokenClaims:
        """The claims of a valid token. Errors: `Unauthenticated`, `Unavailable` while the keys cannot be had."""
        if len(token) > LONGEST_TOKEN or not token.isascii():
            raise Unauthenticated(f"The token is not ASCII, or longer than {LONGEST_TOKEN} bytes.")
        try:
            claims = await self._signed_claims(token)
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("The token has expired.") from error
        except jwt.PyJWTError as error:
            _log.info("token refused", reason=type(error).__name__)
            raise Unauthenticated("The token is not valid here.") from error
        expires_at = _moment(claims, "exp")
        _moment(claims, "iat")
        if expires_at <= self._clock.now():
            raise Unauthenticated("The token has expired.")
        return TokenClaims(
            subject=_subject(claims),
            tenant_id=_tenant(claims, self._tenant_claim),
            role=_role(claims),
            expires_at=expires_at,
        )

    async def close(self) -> None:
        """Give back connections."""
        if self._keys is not None:
            await self._keys.close()

    async def _signed_claims(self, token: str) -> Mapping[str, Any]:
        key: str | jwt.PyJWK
        if self._keys is None:
            key, algorithms = cast("str", self._secret), SECRET_ALGORITHMS
        else:
            kid = jwt.get_unverified_header(token).get("kid")
            if kid is None:
                raise Unauthenticated("The token does not say which key signed it (kid).")
            key, algorithms = await self._keys.named(kid), KEY_ALGORITHMS
        return jwt.decode(
            token,
            key,
            algorithms,
            {"require": [*REQUIRED, self._tenant_claim], "enforce_minimum_key_length": True},
            audience=self._audience,
            issuer=self._issuer,
            leeway=SKEW_SECONDS,
        )


class _PublishedKeys:
    """The key set at an address: fetched when first needed, hourly, and when a token names a key that is not in it."""

    def __init__(self, url: str, clock: Clock) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise Misconfigured("NUMEN_JWT_JWKS_URL must be an http or https address.")
        self._url = url
        self._clock = clock
        self._client = httpx2.AsyncClient(timeout=ASK_SECONDS, follow_redirects=False, trust_env=False)
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at: datetime | None = None
        self._asked_at: datetime | None = None
        self._asking = asyncio.Lock()

    async def named(self, kid: str) -> jwt.PyJWK:
        """The key of this name. Errors: `Unauthenticated` when there is none, `Unavailable` when no keys are known."""
        if kid not in self._keys or not self._within(self._fetched_at, KEYS_LIVE_FOR):
            async with self._asking:
                pause = ASK_AGAIN_AFTER if self._keys else ASK_AT_FIRST_AFTER
                if not self._within(self._asked_at, pause):  # else somebody has asked while we waited
                    self._asked_at = self._clock.now()
                    await self._fetch()
        if not self._keys:
            raise Unavailable("The keys that tokens are checked with cannot be fetched right now.", retry_after=5)
        if kid not in self._keys:
            raise Unauthenticated("The token is signed with a key that is not published.")
        return self._keys[kid]

    async def close(self) -> None:
        await self._client.aclose()

    def _within(self, moment: datetime | None, duration: timedelta) -> bool:
        return moment is not None and timedelta(0) <= self._clock.now() - moment < duration

    async def _fetch(self) -> None:
        """Take over the published set; when it cannot be had, the known keys stay."""
        try:
            async with asyncio.timeout(ASK_SECONDS):
                self._keys = _usable(await self._document())
            self._fetched_at = self._clock.now()
        except (httpx2.HTTPError, TimeoutError, ValueError) as error:
            _log.warning("token keys not fetched", url=self._url, reason=f"{type(error).__name__}: {error}")

    async def _document(self) -> bytes:
        body = bytearray()
        async with self._client.stream("GET", self._url, headers={"accept": "application/json"}) as answer:
            answer.raise_for_status()
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > _LARGEST_KEY_SET:
                    raise ValueError("the key set is too large")
        return bytes(body)


def _usable(document: bytes) -> dict[str, jwt.PyJWK]:
    """The set's public signing keys by name; what is no such key is left out. Errors: `ValueError` for no set."""
    parsed: Any = orjson.loads(document)
    published: Any = cast("dict[str, Any]", parsed).get("keys") if isinstance(parsed, dict) else None
    if not isinstance(published, list):
        raise ValueError("not a key set")  # noqa: TRY004 — a bad answer, not a bad argument
    keys: dict[str, jwt.PyJWK] = {}
    for one in cast("list[Any]", published):
        if not isinstance(one, dict):
            continue
        described = cast("dict[str, Any]", one)
        try:
            key = jwt.PyJWK.from_dict(described)
        except (jwt.PyJWTError, TypeError, ValueError) as error:
            _log.warning("token key left out", kid=str(described.get("kid")), reason=str(type(error).__name__))
            continue
        # A shared secret has no business among published keys, and a key for encryption signs nothing.
        if key.key_id and key.algorithm_name in KEY_ALGORITHMS and key.public_key_use in (None, "sig"):
            keys[key.key_id] = key
    return keys


def _moment(claims: Mapping[str, Any], name: str) -> datetime:
    # The library takes "1700000000" for a number; a provider that writes it is broken, a forger may be at work.
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LAST_MOMENT:
        raise Unauthenticated(f"The token's {name} must be a number of seconds since 1970.")
    return datetime.fromtimestamp(value, UTC)


def _subject(claims: Mapping[str, Any]) -> str:
    subject = claims["sub"]
    if not isinstance(subject, str) or not subject:
        raise Unauthenticated("The token has no subject (sub).")
    return subject


def _tenant(claims: Mapping[str, Any], name: str) -> UUID:
    value = claims[name]
    try:
        return UUID(value if isinstance(value, str) else "")
    except ValueError as error:
        raise Unauthenticated(f"The token's {name} must be the UUID of a tenant.") from error


def _role(claims: Mapping[str, Any]) -> RoleName:
    role = claims.get("role", "member")
    if not isinstance(role, str) or role not in _ROLES:
        raise Unauthenticated("The token's role must be one of owner, admin, member, viewer.")
    return cast("RoleName", role)
