"""AccessService: who is calling, what they may do, and the API keys that open the door."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Literal
from uuid import UUID

from backend.errors import ApiKeyNotFound, FieldError, Forbidden, Invalid, SecretAlreadyShown, Unauthenticated
from backend.models.tenant import (
    ADMIN_USER_ID,
    DEFAULT_TENANT_ID,
    ApiKey,
    ApiKeyCreate,
    ApiKeyCreated,
    Caller,
    Role,
)
from backend.ports import Clock, TokenVerifier
from backend.services.brief_cache import BriefCache
from backend.services.identifiers import new_id
from backend.services.secret_key import START, SecretKey
from backend.stores.api_keys import NewKey
from backend.stores.database import Database, TenantTransaction
from backend.stores.users import Standing
from backend.stores.worker import KnownKey

BELIEVED_FOR = timedelta(seconds=3)
"""How long an authentication is believed: a revoked key answers 401 everywhere within this time."""
TOUCH_EVERY = timedelta(minutes=1)
MOST_REMEMBERED = 10_000
LONGEST_TOKEN = 8192
LONGEST_PERSON = 200
ALL_SCOPES = frozenset({"act_as"})
_HOST = re.compile(r"(localhost|[0-9.]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", re.IGNORECASE)


@dataclass(slots=True)
class Credentials:
    """What a request says about who sends it: the headers of these names, None where one is missing."""

    authorization: str | None = None
    numen_user: str | None = None
    host: str | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class _Principal:
    caller: Caller
    expires_at: datetime | None = None


class AccessService:
    """Identity, and the API keys of a tenant.

    Authentications are believed for three seconds, under a digest of the token; what is revoked here is forgotten at
    once. `mode` "development" asks nobody for a key, but only from this machine.
    """

    def __init__(
        self,
        database: Database,
        *,
        mode: Literal["keys", "development"],
        clock: Clock,
        bootstrap_key: str | None = None,
        token_verifier: TokenVerifier | None = None,
        allowed_origins: Sequence[str] = (),
    ) -> None:
        self._database = database
        self._mode = mode
        self._clock = clock
        self._bootstrap_digest = None if bootstrap_key is None else _digest(bootstrap_key)
        self._tokens = token_verifier
        self._allowed_origins = frozenset(origin.lower().rstrip("/") for origin in allowed_origins)
        self._principals: BriefCache[bytes, _Principal] = BriefCache(clock, BELIEVED_FOR, MOST_REMEMBERED)
        self._people: BriefCache[tuple[UUID, str], UUID] = BriefCache(clock, BELIEVED_FOR, MOST_REMEMBERED)

    # --- who is calling ---

    async def authenticate(self, credentials: Credentials) -> Caller:
        """Who is calling, or the person they call for.

        Errors: `Unauthenticated` without valid credentials; `Forbidden` for a suspended account, for Numen-User without
        the scope act_as, and in development mode from another machine or page; `Invalid` for a malformed Numen-User.
        """
        if credentials.authorization is None:
            principal = await self._unnamed(credentials)
        else:
            token = _bearer(credentials.authorization)
            digest = _digest(token)
            principal = self._principals.get(digest) or await self._principals.obtain(
                digest, partial(self._let_in, token, digest)
            )
        if principal.expires_at is not None and principal.expires_at <= self._clock.now():
            raise Unauthenticated("The credentials have expired.")
        if credentials.numen_user is None:
            return principal.caller
        return await self._on_behalf(principal.caller, credentials.numen_user)

    async def _unnamed(self, credentials: Credentials) -> _Principal:
        if self._mode != "development":
            raise Unauthenticated("Send an API key: `Authorization: Bearer numen_sk_...`.")
        if not _is_local(credentials.host or ""):
            raise Forbidden(
                "Without a key, development mode answers only under a name of this machine: use http://localhost or "
                "http://127.0.0.1, or send an API key."
            )
        if credentials.origin is not None and not self._welcome(credentials.origin):
            raise Forbidden(
                "Development mode does not answer pages of other sites without a key. If this page is yours, name its "
                "origin in NUMEN_CORS_ORIGINS."
            )
        return await self._principals.obtain(b"development", self._default_owner)

    def _welcome(self, origin: str) -> bool:
        return origin.lower() in self._allowed_origins or _is_local_origin(origin)

    async def _let_in(self, token: str, digest: bytes) -> _Principal:
        if self._bootstrap_digest is not None and hmac.compare_digest(digest, self._bootstrap_digest):
            return await self._default_owner()
        if token.startswith(START):
            return await self._by_key(token)
        if self._tokens is not None:
            return await self._by_token(self._tokens, token)
        raise Unauthenticated("The credentials are not an API key of this server.")

    async def _by_key(self, token: str) -> _Principal:
        key = SecretKey.parse(token)
        if key is None:
            raise Unauthenticated("The API key is mistyped or incomplete: its checksum does not fit.")
        async with self._database.worker() as worker:
            known = await worker.key_by_prefix(key.prefix)
            if known is None or not hmac.compare_digest(known.secret_hash, key.secret_hash):
                raise Unauthenticated("There is no such API key.")
            self._refuse_closed(known)
            if known.last_used_at is None or self._clock.now() - known.last_used_at >= TOUCH_EVERY:
                await worker.touch_key(known.tenant_id, known.id)
        caller = Caller(known.tenant_id, known.user_id, Role.named(known.role), known.scopes, known.id)
        return _Principal(caller, known.expires_at)

    def _refuse_closed(self, known: KnownKey) -> None:
        if known.revoked_at is not None:
            raise Unauthenticated("The API key has been revoked.")
        if known.expires_at is not None and known.expires_at <= self._clock.now():
            raise Unauthenticated("The API key has expired.")
        if not known.active:
            raise Forbidden("The account that this API key belongs to is suspended.")

    async def _by_token(self, tokens: TokenVerifier, token: str) -> _Principal:
        claims = await tokens.verify(token)
        user_id = _as_uuid(claims.subject)
        async with self._database.tenant(claims.tenant_id) as tx:
            standing = await tx.users.standing(user_id or UUID(int=0))
            if standing is None:
                raise Unauthenticated("The token names a tenant that this server does not have.")
            if user_id is None or standing.user is None:
                user_id = await self._person(tx, claims.subject, standing)
            elif not standing.active:
                raise Forbidden("The account that the token belongs to is suspended.")
        return _Principal(Caller(claims.tenant_id, user_id, Role.named(claims.role)), claims.expires_at)

    async def _default_owner(self) -> _Principal:
        standing = await self._database.statements(DEFAULT_TENANT_ID).users.standing(ADMIN_USER_ID)
        if standing is None or not standing.active:
            raise Forbidden("The default tenant and its admin are suspended or not there: run `numen seed`.")
        return _Principal(Caller(DEFAULT_TENANT_ID, ADMIN_USER_ID, Role.OWNER, ALL_SCOPES))

    async def _on_behalf(self, caller: Caller, external_id: str) -> Caller:
        if "act_as" not in caller.scopes:
            raise Forbidden("Numen-User needs credentials with the scope act_as.")
        user_id = self._people.get((caller.tenant_id, external_id))
        if user_id is None:
            if not _is_visible(external_id):
                raise Invalid(f"Numen-User must be 1 to {LONGEST_PERSON} visible characters in UTF-8, without spaces.")
            ask = partial(self._known_person, caller.tenant_id, external_id)
            user_id = await self._people.obtain((caller.tenant_id, external_id), ask)
        return Caller(caller.tenant_id, user_id, min(caller.role, Role.MEMBER), api_key_id=caller.api_key_id)

    async def _known_person(self, tenant_id: UUID, external_id: str) -> UUID:
        async with self._database.tenant(tenant_id) as tx:
            return await self._person(tx, external_id, Standing("active", None))

    async def _person(self, tx: TenantTransaction, external_id: str, standing: Standing) -> UUID:
        if not _is_visible(external_id):
            raise Unauthenticated(f"The token's subject must be 1 to {LONGEST_PERSON} visible characters.")
        user_id, status = await tx.users.person(new_id(None), external_id)
        if standing.tenant != "active" or status != "active":
            raise Forbidden("This person's account is suspended.")
        return user_id

    def forget_person(self, tenant_id: UUID, user_id: UUID) -> None:
        """Nobody is this person any more: known at once in this process, within seconds in others."""
        gone = (tenant_id, user_id)
        self._principals.forget(lambda known: (known.caller.tenant_id, known.caller.user_id) == gone)
        self._people.forget(lambda known: known == user_id)

    # --- keys ---

    async def create_key(self, caller: Caller, wanted: ApiKeyCreate, operation_id: UUID | None = None) -> ApiKeyCreated:
        """A key that speaks for the caller, with its secret, which is shown this once.

        Errors: `Forbidden` for more rights than the caller has; `Invalid` for an expiry in the past;
        `SecretAlreadyShown` when this operation made the key before.
        """
        if Role.named(wanted.role) > caller.role:
            raise Forbidden(f"You are {caller.role.name.lower()} and cannot make a key for the role {wanted.role}.")
        if beyond := sorted(set(wanted.scopes) - caller.scopes):
            raise Forbidden(f"You do not have the scope {', '.join(beyond)} and cannot give it to a key.")
        if wanted.expires_at is not None and wanted.expires_at <= self._clock.now():
            detail = "must be in the future"
            raise Invalid(f"/expires_at {detail}.", [FieldError("/expires_at", detail)])
        wanted = wanted.model_copy(update={"scopes": sorted(set(wanted.scopes))})
        secret, key_id = SecretKey.generate(), new_id(operation_id, "api key")
        new = NewKey(key_id, secret.prefix, secret.secret_hash)
        async with self._database.tenant(caller.tenant_id) as tx:
            made = await tx.api_keys.insert(new, wanted, caller.user_id, caller.user_id, caller.api_key_id)
        if made is None:
            raise SecretAlreadyShown(
                "The first request with this Idempotency-Key made the key, and only its answer held the secret. If it "
                "did not reach you, revoke the key and make another.",
                api_key_id=str(key_id),
            )
        return ApiKeyCreated(**made.model_dump(), key=secret.text)

    async def list_keys(self, caller: Caller) -> list[ApiKey]:
        """The tenant's keys without their secrets, newest first, revoked ones too."""
        return await self._database.statements(caller.tenant_id).api_keys.list_all()

    async def revoke_key(self, caller: Caller, key_id: UUID) -> None:
        """Close the door: at once in this process, within seconds in others. Errors: `ApiKeyNotFound`."""
        async with self._database.tenant(caller.tenant_id) as tx:
            found = await tx.api_keys.revoke(key_id, caller.user_id, caller.api_key_id)
        if not found:
            raise ApiKeyNotFound("There is no such API key.")
        self._principals.forget(lambda principal: principal.caller.api_key_id == key_id)

    async def make_first_key(self) -> str | None:
        """An owner's key of the default tenant when it has none that opens; to be shown once."""
        owner = (await self._default_owner()).caller
        async with self._database.tenant(owner.tenant_id) as tx:
            if await tx.api_keys.any_live():
                return None
        wanted = ApiKeyCreate(name="First key", role="owner", scopes=["act_as"])
        return (await self.create_key(owner, wanted)).key


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _bearer(header: str) -> str:
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token or not token.isprintable():  # lone surrogates are not
        raise Unauthenticated("The Authorization header must be `Bearer` and an API key or token.")
    if len(token) > LONGEST_TOKEN:
        raise Unauthenticated(f"The token is longer than {LONGEST_TOKEN} bytes.")
    return token


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _is_visible(text: str) -> bool:
    return 0 < len(text) <= LONGEST_PERSON and text.isprintable() and not any(map(str.isspace, text))


@lru_cache(256)
def _is_local(host: str) -> bool:
    """Whether this Host header names this machine. A foreign name that resolves to it (rebinding) does not."""
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    if found[1].lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(found[1].strip("[]")).is_loopback
    except ValueError:
        return False


@lru_cache(256)
def _is_local_origin(origin: str) -> bool:
    scheme, separator, host = origin.partition("://")
    return scheme in ("http", "https") and bool(separator) and _is_local(host)
