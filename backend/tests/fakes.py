"""Small real implementations of the ports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from backend.errors import Unauthenticated
from backend.models.tenant import RoleName
from backend.ports import TokenClaims


class FrozenClock:
    """A `Clock` that stands still until it is moved."""

    def __init__(self, moment: datetime = datetime(2026, 11, 2, 12, tzinfo=UTC)) -> None:
        self._moment = moment

    def now(self) -> datetime:
        """The moment that was set."""
        return self._moment

    def advance(self, **duration: float) -> None:
        """Move on by so much, as in `advance(seconds=3)`."""
        self._moment += timedelta(**duration)


class FixedTokens:
    """A `TokenVerifier` that knows the tokens it was told of."""

    def __init__(self, clock: FrozenClock, lifetime: timedelta = timedelta(hours=1)) -> None:
        self._expires_at = clock.now() + lifetime
        self._known: dict[str, TokenClaims] = {}

    def know(self, token: str, tenant_id: UUID, subject: str, role: RoleName) -> None:
        """From now on this token is valid."""
        self._known[token] = TokenClaims(subject, tenant_id, role, self._expires_at)

    async def verify(self, token: str) -> TokenClaims:
        """The claims that were told of. Errors: `Unauthenticated`."""
        if token not in self._known:
            raise Unauthenticated("no such token")
        return self._known[token]
