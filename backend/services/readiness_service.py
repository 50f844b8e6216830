"""Whether the server can do its work: each thing it depends on, asked now."""

from __future__ import annotations

from backend.errors import DatabaseUnavailable
from backend.models.readiness import DependencyStatus, Readiness
from backend.services.memory.reindex import Reindex
from backend.services.outbox_relay import OutboxRelay
from backend.stores.database import Database
from backend.stores.worker import Backlog

LATE_SECONDS = 60.0


class ReadinessService:
    """Asks the database and looks at the outbox. A mirror or an index that lags is told, and does not stop traffic;
    nor does an index that is away, without which people are answered all the same.

    `memories` delivers to the index, `reindex` watches over it.
    """

    def __init__(self, database: Database, relay: OutboxRelay, memories: OutboxRelay, reindex: Reindex) -> None:
        self._database = database
        self._relay = relay
        self._memories = memories
        self._reindex = reindex

    async def check(self) -> Readiness:
        """The state of each dependency."""
        try:
            await self._database.check()
            mirror = await self._relay.backlog()
            memories = await self._memories.backlog()
        except DatabaseUnavailable as error:
            away = DependencyStatus(status="down", detail=error.detail)
            return Readiness(status="down", dependencies={"database": away})
        index = self._index(memories)
        return Readiness(
            status="degraded" if index.status == "down" else "ready",
            dependencies={"database": DependencyStatus(status="ok"), "mirror": _lag(mirror), "index": index},
        )

    def _index(self, memories: Backlog) -> DependencyStatus:
        lag = _lag(memories)
        if self._reindex.away is None:
            return DependencyStatus(status="late", detail=f"being opened; {lag.detail}")
        if self._reindex.away:
            return DependencyStatus(status="down", detail=f"{self._reindex.away}; {lag.detail}")
        return lag


def _lag(backlog: Backlog) -> DependencyStatus:
    late = backlog.oldest_seconds > LATE_SECONDS
    detail = f"{backlog.pending} waiting, the oldest for {backlog.oldest_seconds:.1f} s"
    return DependencyStatus(status="late" if late else "ok", detail=detail)
