"""Bring the database's schema up to date. Running it again changes nothing.

python -m backend.scripts.migrate_database
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import typer

from backend.container import open_logins
from backend.settings import Settings
from backend.stores.schema import bring_up_to_date


async def migrate_database(settings: Settings) -> Sequence[str]:
    """Apply what is missing; the versions applied. Errors: `Misconfigured`, `DatabaseUnavailable`."""
    async with open_logins(settings) as logins:
        return await bring_up_to_date(logins)


def main() -> None:
    """Migrate the database of the settings."""
    applied = asyncio.run(migrate_database(Settings()))
    typer.echo(f"Applied {', '.join(applied)}." if applied else "The schema is up to date.")


if __name__ == "__main__":
    main()
