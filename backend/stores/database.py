"""The way to the rows: short transactions that see one tenant, and the worker's, which sees what delivery needs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, cast
from uuid import UUID

import asyncpg

from backend.stores.pool import ACQUIRE_SECONDS, AWAY, HouseConnection, is_outage, taken, translated
from backend.stores.single_statements import SingleStatements
from backend.stores.tenant_stores import TenantStores
from backend.stores.worker import WorkerStore

if TYPE_CHECKING:
    from asyncpg import Connection, Pool
    from asyncpg.pool import PoolConnectionProxy

_open: ContextVar[bool] = ContextVar("open_transaction", default=False)


def inside_transaction() -> bool:
    """Whether this task holds a transaction: then it must not wait for a model, a gateway or a client."""
    return _open.get()


class TenantTransaction(TenantStores):
    """The stores of one tenant inside one transaction."""


class TenantStatements(TenantStores):
    """The stores of one tenant, where each call is one statement and a transaction of its own."""


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
            self._connection = await taken(self._pool, self._patience)
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
                if error is not None and (is_outage(error) or isinstance(error, asyncpg.ForeignKeyViolationError)):
                    raise error
                return
            try:
                connection.is_in_transaction()  # an InterfaceError, when it was lost and the pool took it back
                await cast("HouseConnection", connection).commit_and_clean()
            except BaseException:
                await self._roll_back()
                raise
            await self._pool.release(connection, timeout=self._patience)

    async def _roll_back(self) -> None:
        # Whoever is cancelled once may be cancelled again: the way back is walked to its end by itself.
        await asyncio.shield(self._give_back())

    async def _give_back(self) -> None:
        connection = cast("PoolConnectionProxy", self._connection)
        with contextlib.suppress(asyncpg.PostgresError, *AWAY):  # the release resets it or throws it away
            try:
                if not connection.is_closed():
                    await connection.execute("ROLLBACK")
            finally:
                await self._pool.release(connection, timeout=self._patience)


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

    def statements(self, tenant_id: UUID) -> TenantStatements:
        """The tenant's stores, each of whose calls is a transaction of its own, in one round trip.

        Between two of them somebody may change what they see. Errors: `DatabaseUnavailable`; `ValueError` from a call
        that locks, or writes without setting its tenant first.
        """
        single = SingleStatements(self._app, tenant_id, self._patience)
        return TenantStatements(cast("Connection", single), tenant_id)

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
