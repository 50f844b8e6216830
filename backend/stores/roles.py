"""The two roles that serve: the app, which sees one tenant at a time, and the worker, which delivers for all.

numen_apps and numen_workers are groups without a login; the migrations grant to them. Each database has logins of its
own in them, `{database}_app` and `{database}_worker`, whose passwords are derived from the owner's, so that every
process with the same `DATABASE_URL` knows them and none is stored.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import asyncpg

from backend.errors import Misconfigured

if TYPE_CHECKING:
    from asyncpg import Connection

_LOCK = 7_215_002  # roles belong to the whole cluster: two databases that boot at once take turns
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
    secret = hmac.new(password_of(owner_url).encode(), f"numen:{kind}:{database}".encode(), hashlib.sha256).hexdigest()
    host = parts.netloc.rpartition("@")[2]
    query = urlencode([(key, value) for key, value in parse_qsl(parts.query) if key not in ("user", "password")])
    login = f"{quote(f'{database}_{kind}', safe='')}:{secret}"
    return urlunsplit(("postgresql", f"{login}@{host}", f"/{quote(database, safe='')}", query, ""))


async def prepare_roles(owner: Connection, logins: Logins) -> None:
    """Make the groups and logins, or bring them up to date. Run by the owner before the migrations.

    Errors: `Misconfigured` with the statements for an administrator when the owner may not make roles.
    """
    async with owner.transaction():
        await owner.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        wanted = await _statements(owner, logins)
        try:
            for statement in wanted:
                await owner.execute(statement)
        except asyncpg.InsufficientPrivilegeError as error:
            shown = ";\n".join(statement.split(" PASSWORD ")[0] for statement in wanted)
            raise Misconfigured(
                f"The owner of the database may not make roles ({error}). Give it CREATEROLE, or let an administrator "
                f"run these, with passwords, and set DATABASE_URL and DATABASE_OWNER_URL:\n{shown};"
            ) from error


async def _statements(owner: Connection, logins: Logins) -> list[str]:
    existing: set[str] = {row["rolname"] for row in await owner.fetch("SELECT rolname FROM pg_roles")}
    statements = [f"CREATE ROLE {group} NOLOGIN NOSUPERUSER NOBYPASSRLS" for group in GROUPS if group not in existing]
    kinds = (("app", logins.app), ("worker", logins.worker))
    for group, (kind, url) in zip(GROUPS, kinds, strict=True):
        name: str = await owner.fetchval("SELECT quote_ident($1)", user_of(url))
        derived = url == _with_login(logins.owner, kind)
        if derived:
            verb = "ALTER" if user_of(url) in existing else "CREATE"
            rights = "LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE INHERIT"
            statements.append(f"{verb} ROLE {name} {rights} PASSWORD '{password_of(url)}'")
        member = "SELECT pg_has_role($1::name, $2::name, 'member')"
        if (
            user_of(url) not in existing
            or group not in existing
            or not await owner.fetchval(member, user_of(url), group)
        ):
            statements.append(f"GRANT {group} TO {name}")
    return [*statements, *(f"GRANT USAGE ON SCHEMA public TO {group}" for group in GROUPS)]
