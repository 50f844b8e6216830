"""ErasureService: takes a person out of every table at once, and tells what became of the rest."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from backend.errors import Conflict, ErasureNotFound, Forbidden, UserNotFound
from backend.models.erasure import Erasure
from backend.models.tenant import ADMIN_USER_ID, DEFAULT_TENANT_ID, Caller, Role
from backend.services.access_service import AccessService
from backend.services.identifiers import new_id
from backend.services.run_registry import RunRegistry
from backend.stores.database import Database
from backend.stores.erasures import Standing
from backend.telemetry import get_logger

_log = get_logger(__name__)


class ErasureService:
    """Rows go in the transaction that also orders the rest (`ErasureJob`): index, files, and the certificate."""

    def __init__(
        self, database: Database, access: AccessService, runs: RunRegistry, order_placed: Callable[[], None]
    ) -> None:
        self._database = database
        self._access = access
        self._runs = runs
        self._order_placed = order_placed

    async def erase(self, caller: Caller, user_id: UUID) -> Erasure:
        """Remove a person: an admin anybody of the tenant, others themselves. Asked again, tells of the first time.

        Errors: `UserNotFound`; `Forbidden` for somebody with a higher role; `Conflict` for who cannot be spared.
        """
        if caller.sees_only is not None and user_id != caller.user_id:
            raise _nobody()
        async with self._database.tenant(caller.tenant_id) as tx:
            standing = await tx.erasures.lock(user_id)
            if standing is None:
                known = await tx.erasures.of_person(user_id, caller.sees_only)
                if known is None:
                    raise _nobody()
                return known
            _refuse_indispensable(caller, user_id, standing)
            counts, plan = await tx.erasures.remove(user_id)
            stopped = self._runs.of_person(caller.tenant_id, user_id)
            counts["server_memory"] = len(stopped)
            erasure = await tx.erasures.open(new_id(None), user_id, caller.user_id, counts, plan)
            await tx.audit.record(caller, "user.erased", "user", user_id)
        # Their rows are gone: whatever still runs finds nowhere to store what it has.
        for run in (*stopped, *self._runs.of_person(caller.tenant_id, user_id)):
            run.stop("cancelled")
        self._access.forget_person(caller.tenant_id, user_id)
        self._order_placed()
        _log.info("a person's rows were removed", erasure_id=str(erasure.id))
        return erasure

    async def get(self, caller: Caller, erasure_id: UUID) -> Erasure:
        """What became of an erasure, for admins and for who asked for it. Errors: `ErasureNotFound`."""
        found = await self._database.statements(caller.tenant_id).erasures.get(erasure_id, caller.sees_only)
        if found is None:
            raise ErasureNotFound("There is no erasure with this id.")
        return found.erasure


def _refuse_indispensable(caller: Caller, user_id: UUID, standing: Standing) -> None:
    if (caller.tenant_id, user_id) == (DEFAULT_TENANT_ID, ADMIN_USER_ID):
        raise Conflict("This is the person that the server itself acts as; it cannot be erased.")
    if standing.role is not None and standing.role > caller.role:
        raise Forbidden(f"This person is {standing.role.name.lower()} and you are {caller.role.name.lower()}.")
    if standing.role == Role.OWNER and not standing.others_own:
        raise Conflict(
            "This person has the last key of an owner, without which nobody could manage the tenant: make an owner's "
            "key for somebody else first."
        )


def _nobody() -> UserNotFound:
    return UserNotFound("There is no person with this id.")
