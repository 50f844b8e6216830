"""Time, files and tokens, as the house sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from backend.models.tenant import RoleName


class Clock(Protocol):
    """Time, so that tests can set it."""

    def now(self) -> datetime:
        """The current moment, timezone-aware UTC."""
        ...


class ContractFiles(Protocol):
    """The file mirror: one folder per agent. Blocking; errors are `OSError`."""

    def write(self, agent_id: UUID, files: Mapping[str, bytes]) -> bool:
        """Make the agent's folder hold these files, each the old or the new one at any moment.

        False when they were the same already.
        """
        ...

    def remove(self, agent_id: UUID) -> None:
        """Take the agent's folder away, if there is one."""
        ...

    def agents(self) -> list[UUID]:
        """The agents that have a folder."""
        ...

    def sweep(self) -> None:
        """Remove what a killed process left half written."""
        ...


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """What a verified token says: whose it is, in which tenant, the role it gives, and until when."""

    subject: str
    tenant_id: UUID
    role: RoleName
    expires_at: datetime


class TokenVerifier(Protocol):
    """Checks JSON web tokens."""

    async def verify(self, token: str) -> TokenClaims:
        """The claims of a valid token. Errors: `Unauthenticated`, `Unavailable` while the keys cannot be had."""
        ...
