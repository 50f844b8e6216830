"""The two roles that serve: the app, which sees one tenant at a time, and the worker, which delivers for all.

numen_apps and numen_workers are groups without a login; the migrations grant to them. Each database has logins of its
own in them, `{database}_app` and `{database}_worker`, whose passwords are derived from the owner's, so that every
process with the same `DATABASE_URL` knows them and none is stored. PostgreSQL gets their SCRAM verifiers, never the
passwords: statements are logged.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import asyncpg

from backend.errors import Misconfigured

if TYPE_CHECKING:
    from asyncpg import Connection

_LOCK = 7_215_002  # two servers of one database take turns; those of other databases do not see this lock
_TRIES = 8
_SCRAM_ITERATIONS = 4096
GROUPS = ("numen_apps", "numen_workers")
_LONGEST_NAME = 63 - len("_worker")


@dataclass(frozen=True, slots=True)
class Logins:
    """Connection URLs: the owner's (migrations only), the app's and the worker's."""

    owner: str
    app: str
    worker: str

    @classmethod
    def derived(cls, owner_url: str, app_url: str | None = None) -> Logins:
        """The logins that follow from the owner's URL; an operator's own app login stands as given."""
        app = app_url or _with_login(owner_url, "app")
        return cls(owner_url, app, _with_login(owner_url, "worker"))


def user_of(url: str) -> str:
    """The user name in a connection URL, decoded. Errors: `Misconfigured` when there is none."""
    parts = urlsplit(url)
    user = unquote(parts.username or "") or dict(parse_qsl(parts.query)).get("user", "")
    if not user:
        raise Misconfigured("The database URL names no user: postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    return user


def password_of(url: str) -> str:
    """The password in a connection URL, decoded; empty when there is none."""
    parts = urlsplit(url)
    return unquote(parts.password or "") or dict(parse_qsl(parts.query)).get("password", "")


def _with_login(owner_url: str, kind: str) -> str:
    parts = urlsplit(owner_url)
    if parts.scheme not in ("postgres", "postgresql"):
        raise Misconfigured("The database URL must look like postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    database = unquote(parts.path.removeprefix("/")) or user_of(owner_url)
    if len(database.encode()) > _LONGEST_NAME:
        raise Misconfigured(f"The database's name may have at most {_LONGEST_NAME} bytes: role names are made from it")
    secret = ""
    if password := password_of(owner_url):
        secret = ":" + hmac.new(password.encode(), f"numen:{kind}:{database}".encode(), hashlib.sha256).hexdigest()
    host = parts.netloc.rpartition("@")[2]
    query = urlencode([(key, value) for key, value in parse_qsl(parts.query) if key not in ("user", "password")])
    login = f"{quote(f'{database}_{kind}', safe='')}{secret}"
    return urlunsplit(("postgresql", f"{login}@{host}", f"/{quote(database, safe='')}", query, ""))


def _password(url: str) -> str:
    """The PASSWORD clause. Where the owner needs no password the server trusts who reaches it, and ours have none:
    one derived from nothing could be guessed anywhere else.
    """
    password = password_of(url)
    return f"PASSWORD '{_verifier(password)}'" if password else "PASSWORD NULL"


def _verifier(password: str) -> str:
    """What PostgreSQL would store for this password (RFC 5803)."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    keys = ":".join(b64encode(key).decode() for key in (stored, server))
    return f"SCRAM-SHA-256${_SCRAM_ITERATIONS}:{b64encode(salt).decode()}${keys}"


async def prepare_roles(owner: Connection, logins: Logins) -> None:
    """Make the groups and logins, or bring them up to date. Run by the owner before the migrations.

    Errors: `Misconfigured` with the statements for an administrator when the owner may not make roles, and when
    `DATABASE_URL` names a role that does not exist.
    """
    for again in range(_TRIES):
        try:
            return await _prepare(owner, logins)
        except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError, asyncpg.InternalServerError) as error:
            # Roles belong to the whole cluster: another database's server made or changed them at the same moment.
            if again == _TRIES - 1 or (
                isinstance(error, asyncpg.InternalServerError) and "concurrently" not in str(error)
            ):
                raise
            await asyncio.sleep(0.02 * 2**again)
    return None


async def _prepare(owner: Connection, logins: Logins) -> None:
    async with owner.transaction():
        await owner.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        wanted = await _statements(owner, logins)
        try:
            for statement in wanted:
                await owner.execute(statement)
        except asyncpg.InsufficientPrivilegeError as error:
            shown = ";\n".join(wanted)
            raise Misconfigured(
                f"The owner of the database may not make roles ({error}). Give it CREATEROLE, or let an administrator "
                f"run these in this database, and start again:\n{shown};"
            ) from error


async def _statements(owner: Connection, logins: Logins) -> list[str]:
    existing: set[str] = {row["rolname"] for row in await owner.fetch("SELECT rolname FROM pg_roles")}
    statements = [f"CREATE ROLE {group} NOLOGIN NOSUPERUSER NOBYPASSRLS" for group in GROUPS if group not in existing]
    kinds = (("app", logins.app), ("worker", logins.worker))
    for group, (kind, url) in zip(GROUPS, kinds, strict=True):
        login = user_of(url)
        name: str = await owner.fetchval("SELECT quote_ident($1)", login)
        if url != _with_login(logins.owner, kind):
            if login not in existing:
                raise Misconfigured(f"DATABASE_URL names the role {name}, which the database server does not have.")
        elif login not in existing:
            statements.append(f"CREATE ROLE {name} {_RIGHTS} {_password(url)}")
        elif await owner.fetchval(_MAY_ALTER, login):
            # Not its rights: only a superuser may name some of them, and the wall is asked before anything serves.
            statements.append(f"ALTER ROLE {name} LOGIN {_password(url)}")
        if not {login, group} <= existing or not await owner.fetchval(_IS_MEMBER, login, group):
            statements.append(f"GRANT {group} TO {name}")
        if group not in existing or not await owner.fetchval(_MAY_LOOK, group):
            statements.append(f"GRANT USAGE ON SCHEMA public TO {group}")
    return statements


_RIGHTS = "LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE INHERIT"
_IS_MEMBER = "SELECT pg_has_role($1::name, $2::name, 'member')"
_MAY_LOOK = "SELECT has_schema_privilege($1::name, 'public', 'usage')"
_MAY_ALTER = """
SELECT rolsuper OR rolcreaterole AND (current_setting('server_version_num')::int < 160000
                                      OR pg_has_role($1::name, 'member with admin option'))
  FROM pg_roles WHERE rolname = current_user"""
