"""Whether the server can do its work: each thing it depends on, asked now."""

from __future__ import annotations

from backend.errors import DatabaseUnavailable
from backend.models.readiness import DependencyStatus, Readiness
from backend.services.outbox_relay import OutboxRelay
from backend.stores.database import Database

LATE_SECONDS = 60.0


class ReadinessService:
    """Asks the database and looks at the outbox; a mirror that lags is told, but does not stop traffic."""

    def __init__(self, database: Database, relay: OutboxRelay) -> None:
        self._database = database
        self._relay = relay

    async def check(self) -> Readiness:
        """The state of each dependency."""
        try:
            await self._database.check()
            backlog = await self._relay.backlog()
        except DatabaseUnavailable as error:
            away = DependencyStatus(status="down", detail=error.detail)
            return Readiness(status="down", dependencies={"database": away})
        late = backlog.oldest_seconds > LATE_SECONDS
        lag = f"{backlog.pending} waiting, the oldest for {backlog.oldest_seconds:.1f} s"
        return Readiness(
            status="ready",
            dependencies={
                "database": DependencyStatus(status="ok"),
                "mirror": DependencyStatus(status="late" if late else "ok", detail=lag),
            },
        )
