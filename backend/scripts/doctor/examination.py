"""Look at everything, one thing after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator

from backend.errors import Misconfigured
from backend.scripts.deployment_settings import read_settings
from backend.scripts.doctor.check import Check
from backend.scripts.doctor.database import database_checks
from backend.scripts.doctor.machine import folder_checks, python_check
from backend.scripts.doctor.provider import provider_checks
from backend.scripts.doctor.server import server_checks


async def examine(url: str) -> AsyncIterator[Check]:
    """Every check of this deployment, in the order of what depends on what; `url` is where its server answers.

    Nothing is changed: no folder is made, no migration applied.
    """
    yield python_check()
    try:
        settings = read_settings()
    except Misconfigured as error:
        yield Check("settings", "fail", error.detail, "Correct the environment or .env; .env.example has them all.")
        return
    kind = "embedded PostgreSQL" if settings.embedded else "external PostgreSQL"
    yield Check("settings", "ok", f"{kind}, auth {settings.auth_mode}, models by {settings.model_provider}")
    for check in folder_checks(settings):
        yield check
    async for check in database_checks(settings):
        yield check
    async for check in server_checks(url):
        yield check
    async for check in provider_checks(settings):
        yield check
