"""Connections to PostgreSQL: how a pool of them is opened, and what its errors are for the rest of the house."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import asyncpg

from backend.errors import DatabaseUnavailable, Forbidden, Misconfigured

if TYPE_CHECKING:
    from asyncpg import Pool
    from asyncpg.pool import PoolConnectionProxy

ACQUIRE_SECONDS = 5.0
RETRY_AFTER_SECONDS = 1
AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,  # what a `fast` restart of the server looks like
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.QueryCanceledError,  # the statement's time was up
    asyncpg.DeadlockDetectedError,  # the other one was let through; once more, and it works
    asyncpg.InterfaceError,
    OSError,  # and TimeoutError, which is one
)
_NAMES_A_PERSON = re.compile("_(user_id|owner_id|created_by)_fkey$")


@contextlib.contextmanager
def translated() -> Generator[None]:
    """The one seam where a lost database becomes `DatabaseUnavailable`, and a person who is gone `Forbidden`."""
    try:
        yield
    except asyncpg.ForeignKeyViolationError as error:
        if not _NAMES_A_PERSON.search(error.constraint_name or ""):
            raise
        raise Forbidden("The person that this is for has been erased.") from error
    except AWAY as error:
        if not is_outage(error):
            raise
        raise DatabaseUnavailable(
            "The database is not reachable right now; try again in a moment.", retry_after=RETRY_AFTER_SECONDS
        ) from error


def is_outage(error: BaseException | None) -> bool:
    """Whether this says that the database is away, and not that we asked for something wrong."""
    if isinstance(error, asyncpg.InterfaceError):
        # asyncpg says it of wrong arguments, too, which are our mistake: only what was closed is away. (A connection
        # that is lost while we hold it has "been released back to the pool".)
        return any(word in str(error) for word in ("clos", "released"))
    return isinstance(error, AWAY)


@contextlib.contextmanager
def connecting(url: str) -> Generator[None]:
    """The seam around the first connection to `url`: what is wrong, in words for whoever set it, without the password.

    Errors: `Misconfigured` for an address or login that cannot work, `DatabaseUnavailable` when nobody answers.
    """
    try:
        with translated():
            yield
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
        raise Misconfigured(f"PostgreSQL at {_place(url)} refuses the login: {error}. Check DATABASE_URL.") from error
    except ValueError as error:
        raise Misconfigured(f"DATABASE_URL cannot be read: {error}.") from error
    except DatabaseUnavailable as error:
        raise DatabaseUnavailable(
            f"PostgreSQL at {_place(url)} does not answer ({error.__cause__}).", **error.context
        ) from error


def _place(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2] or "its socket"


class HouseConnection(asyncpg.Connection):
    """A connection that can be cleaned together with COMMIT, so that giving it back costs no further round trip.

    The query is asyncpg's own reset; whatever does not end this way is reset by the pool as always.
    """

    __slots__ = ("_clean",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._clean = False

    async def commit_and_clean(self) -> None:
        """COMMIT, and with it the reset that the pool would send."""
        await self.execute(f"COMMIT; {self.get_reset_query()}")
        self._clean = True

    def left_clean(self) -> None:
        """Say that what was done on it left nothing behind, so there is nothing to reset."""
        self._clean = True

    async def reset(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 — asyncpg's signature
        """See asyncpg; nothing is sent when the connection is clean already."""
        if self._clean and not self.is_in_transaction():
            self._clean = False
            return
        self._clean = False
        await super().reset(timeout=timeout)


async def taken(pool: Pool, patience: float) -> PoolConnectionProxy:
    """A connection of the pool, to be released. Errors: `TimeoutError` when none is free within `patience` seconds."""
    # A clock costs more than all the rest of taking one, and where one is free nobody waits.
    return await pool.acquire(timeout=None if pool.get_idle_size() else patience)


async def open_pool(url: str, *, size: int, name: str) -> Pool:
    """A pool of `size` connections under an application name. Errors: `DatabaseUnavailable`."""
    settings: dict[str, Any] = {
        "application_name": name,
        "timezone": "UTC",
        "statement_timeout": "30s",
        # Each of our queries has one good plan; making it anew costs more than most of them take to run.
        "plan_cache_mode": "force_generic_plan",
        # A plan made while a table was small must not scan it when it has grown.
        "enable_seqscan": "off",
        # Nor read all of a tenant's rows to sort them, which looks cheap for a table that nobody has analyzed yet.
        "enable_bitmapscan": "off",
        "jit": "off",
    }
    with connecting(url):
        return await asyncpg.create_pool(
            url, min_size=min(size, 2), max_size=size, server_settings=settings, timeout=10,
            max_inactive_connection_lifetime=300, connection_class=HouseConnection,
        )  # fmt: skip
