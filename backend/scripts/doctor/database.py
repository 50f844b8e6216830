"""The database: does it answer, which one is it, is its schema ours, and do the walls between tenants hold."""

from __future__ import annotations

from collections.abc import AsyncIterator

from backend.container import connect, open_logins
from backend.embedded.postgres import EmbeddedPostgres
from backend.errors import BrokenWall, NumenError
from backend.scripts.doctor.check import Check
from backend.settings import Settings
from backend.stores.roles import Logins
from backend.stores.schema import look_at_schema

OLDEST = 15
_CONNECTIONS = 1


async def database_checks(settings: Settings) -> AsyncIterator[Check]:
    """PostgreSQL, migrations, walls. Embedded and asleep, the server is woken for as long as we look."""
    if settings.embedded and not _was_made(settings):
        yield Check("database", "warn", "there is none yet", "`numen serve` makes it.")
        return
    try:
        async with open_logins(settings) as logins:
            async for check in _look(logins):
                yield check
    except NumenError as error:
        yield Check("database", "fail", error.detail, "Start PostgreSQL, or correct DATABASE_URL.")


def _was_made(settings: Settings) -> bool:
    postgres = EmbeddedPostgres(settings.data_dir)
    return postgres.pid is not None or postgres.data.exists()


async def _look(logins: Logins) -> AsyncIterator[Check]:
    state = await look_at_schema(logins)
    major = int(state.server.split(".")[0])
    if major < OLDEST:
        yield Check("database", "fail", f"PostgreSQL {state.server}", f"Numen needs {OLDEST} or newer.")
        return
    yield Check("database", "ok", f"PostgreSQL {state.server}")
    if state.pending:
        missing = ", ".join(state.pending)
        yield Check("migrations", "fail", f"not applied: {missing}", "`numen migrate` or `numen serve` applies them.")
        return
    yield Check("migrations", "ok", "all applied")
    try:
        async with connect(logins, _CONNECTIONS):
            yield Check("walls", "ok", "roles and row-level security keep tenants apart")
    except BrokenWall as error:
        yield Check("walls", "fail", error.detail, "Restore roles and policies as the migrations made them.")
