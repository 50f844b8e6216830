"""The way to the rows: short transactions that see one tenant, and the worker's, which sees what delivery needs."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Generator
from contextvars import ContextVar, Token
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg

from backend.errors import DatabaseUnavailable, Forbidden, Misconfigured
from backend.stores.agents import AgentStore
from backend.stores.api_keys import ApiKeyStore
from backend.stores.audit import AuditStore
from backend.stores.erasures import ErasureStore
from backend.stores.idempotency import IdempotencyStore
from backend.stores.memories import MemoryStore
from backend.stores.run_steps import RunStepStore
from backend.stores.runs import RunStore
from backend.stores.schedules import ScheduleStore
from backend.stores.sessions import SessionStore
from backend.stores.threads import ThreadStore
from backend.stores.users import UserStore
from backend.stores.webhooks import WebhookStore
from backend.stores.worker import WorkerStore

if TYPE_CHECKING:
    from asyncpg import Connection, Pool
    from asyncpg.pool import PoolConnectionProxy

ACQUIRE_SECONDS = 5.0
RETRY_AFTER_SECONDS = 1
_AWAY = (
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
_open: ContextVar[bool] = ContextVar("open_transaction", default=False)


def inside_transaction() -> bool:
    """Whether this task holds a transaction: then it must not wait for a model, a gateway or a client."""
    return _open.get()


@contextlib.contextmanager
def translated() -> Generator[None]:
    """The one seam where a lost database becomes `DatabaseUnavailable`, and a person who is gone `Forbidden`."""
    try:
        yield
    except asyncpg.ForeignKeyViolationError as error:
        if not _NAMES_A_PERSON.search(error.constraint_name or ""):
            raise
        raise Forbidden("The person that this is for has been erased.") from error
    except _AWAY as error:
        if not _is_outage(error):
            raise
        raise DatabaseUnavailable(
            "The database is not reachable right now; try again in a moment.", retry_after=RETRY_AFTER_SECONDS
        ) from error


def _is_outage(error: BaseException | None) -> bool:
    if isinstance(error, asyncpg.InterfaceError):
        # asyncpg says it of wrong arguments, too, which are our mistake: only what was closed is away. (A connection
        # that is lost while we hold it has "been released back to the pool".)
        return any(word in str(error) for word in ("clos", "released"))
    return isinstance(error, _AWAY)


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

    async def reset(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 — asyncpg's signature
        """See asyncpg; nothing is sent when the connection is clean already."""
        if self._clean and not self.is_in_transaction():
            self._clean = False
            return
        self._clean = False
        await super().reset(timeout=timeout)


class TenantTransaction:
    """The stores of one tenant inside one transaction."""

    def __init__(self, connection: Connection, tenant_id: UUID) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    @cached_property
    def agents(self) -> AgentStore:
        """Agents and their versions."""
        return AgentStore(self._connection, self._tenant_id)

    @cached_property
    def threads(self) -> ThreadStore:
        """Threads and messages."""
        return ThreadStore(self._connection, self._tenant_id)

    @cached_property
    def runs(self) -> RunStore:
        """Turns."""
        return RunStore(self._connection, self._tenant_id)

    @cached_property
    def run_steps(self) -> RunStepStore:
        """What runs did."""
        return RunStepStore(self._connection, self._tenant_id)

    @cached_property
    def sessions(self) -> SessionStore:
        """Interviews, and what is made from them."""
        return SessionStore(self._connection, self._tenant_id)

    @cached_property
    def memories(self) -> MemoryStore:
        """What agents know, and which of it an answer was given."""
        return MemoryStore(self._connection, self._tenant_id)

    @cached_property
    def users(self) -> UserStore:
        """People, and the tenant's own row."""
        return UserStore(self._connection, self._tenant_id)

    @cached_property
    def api_keys(self) -> ApiKeyStore:
        """API keys."""
        return ApiKeyStore(self._connection, self._tenant_id)

    @cached_property
    def idempotency(self) -> IdempotencyStore:
        """Requests that may come twice."""
        return IdempotencyStore(self._connection, self._tenant_id)

    @cached_property
    def erasures(self) -> ErasureStore:
        """People who were taken out of everything."""
        return ErasureStore(self._connection, self._tenant_id)

    @cached_property
    def schedules(self) -> ScheduleStore:
        """When agents run by themselves."""
        return ScheduleStore(self._connection, self._tenant_id)

    @cached_property
    def webhooks(self) -> WebhookStore:
        """Addresses where events come in."""
        return WebhookStore(self._connection, self._tenant_id)

    @cached_property
    def audit(self) -> AuditStore:
        """Who did what."""
        return AuditStore(self._connection, self._tenant_id)


class _Tenant:
    """`async with`: one connection, one round trip to open, COMMIT or a shielded ROLLBACK to close."""

    __slots__ = ("_connection", "_patience", "_pool", "_tenant_id", "_token")

    def __init__(self, pool: Pool, tenant_id: UUID, patience: float) -> None:
        if type(tenant_id) is not UUID:  # asyncpg's own UUID class passes nowhere: this is formatted into SQL
            raise TypeError("a tenant is a UUID")
        self._pool = pool
        self._tenant_id = tenant_id
        self._patience = patience
        self._connection: PoolConnectionProxy | None = None
        self._token: Token[bool] | None = None

    async def __aenter__(self) -> TenantTransaction:
        with translated():
            self._connection = await self._pool.acquire(timeout=self._patience)
            try:
                await self._connection.execute(f"BEGIN; SET LOCAL app.tenant_id = '{self._tenant_id}'")
            except BaseException:
                await self._roll_back()
                raise
        self._token = _open.set(True)
        return TenantTransaction(cast("Connection", self._connection), self._tenant_id)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _open.reset(self._token)
        connection = cast("PoolConnectionProxy", self._connection)
        with translated():
            if kind is not None:
                await self._roll_back()
                if error is not None and (_is_outage(error) or isinstance(error, asyncpg.ForeignKeyViolationError)):
                    raise error
                return
            try:
                connection.is_in_transaction()  # an InterfaceError, when it was lost and the pool took it back
                await cast("HouseConnection", connection).commit_and_clean()
            except BaseException:
                await self._roll_back()
                raise
            await self._pool.release(connection)

    async def _roll_back(self) -> None:
        # Whoever is cancelled once may be cancelled again: the way back is walked to its end by itself.
        await asyncio.shield(self._give_back())

    async def _give_back(self) -> None:
        connection = cast("PoolConnectionProxy", self._connection)
        with contextlib.suppress(asyncpg.PostgresError, *_AWAY):  # the release resets it or throws it away
            try:
                if not connection.is_closed():
                    await connection.execute("ROLLBACK")
            finally:
                await self._pool.release(connection)


class Database:
    """Two pools over one database: the app's and the worker's. `acquire_seconds` bounds the wait for a connection."""

    def __init__(self, app: Pool, worker: Pool, acquire_seconds: float = ACQUIRE_SECONDS) -> None:
        self._app = app
        self._worker = worker
        self._patience = acquire_seconds

    def tenant(self, tenant_id: UUID) -> _Tenant:
        """A transaction that sees this tenant and no other.

        Never wait for a model or a socket inside it. Errors: `DatabaseUnavailable`.
        """
        return _Tenant(self._app, tenant_id, self._patience)

    @contextlib.asynccontextmanager
    async def worker(self) -> AsyncGenerator[WorkerStore]:
        """The worker's statements, each a transaction of its own. Errors: `DatabaseUnavailable`."""
        with translated():
            async with self._worker.acquire(timeout=self._patience) as connection:
                yield WorkerStore(cast("Connection", connection))

    async def check(self) -> None:
        """A round trip. Errors: `DatabaseUnavailable`."""
        with translated():
            async with self._app.acquire(timeout=self._patience) as connection:
                await connection.fetchval("SELECT 1", timeout=self._patience)

    def sizes(self) -> tuple[int, int]:
        """Connections of the app's pool: open, and of these idle."""
        return self._app.get_size(), self._app.get_idle_size()

    async def close(self) -> None:
        """Wait for what is running, at most a few seconds, then close."""
        for pool in (self._app, self._worker):
            try:
                async with asyncio.timeout(ACQUIRE_SECONDS):
                    await pool.close()
            except TimeoutError:
                pool.terminate()


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
        "jit": "off",
    }
    with connecting(url):
        return await asyncpg.create_pool(
            url, min_size=min(size, 2), max_size=size, server_settings=settings, timeout=10,
            max_inactive_connection_lifetime=300, connection_class=HouseConnection,
        )  # fmt: skip
