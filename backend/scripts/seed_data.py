"""Make the default tenant and its admin. Running it again changes nothing.

python -m backend.scripts.seed_data
"""

from __future__ import annotations

import asyncio

import typer

from backend.container import open_database
from backend.models.tenant import ADMIN_USER_ID, DEFAULT_TENANT_ID
from backend.settings import Settings
from backend.stores.database import Database

TENANT_NAME, TENANT_SLUG = "Numen AI", "numen-ai"
ADMIN_NAME, ADMIN_EMAIL = "Admin User", "admin@numen.ai"


async def seed(database: Database) -> bool:
    """The default tenant and its admin; True when anything was missing."""
    async with database.tenant(DEFAULT_TENANT_ID) as tx:
        tenant = await tx.users.insert_tenant(TENANT_NAME, TENANT_SLUG)
        admin = await tx.users.insert(ADMIN_USER_ID, ADMIN_EMAIL, ADMIN_NAME)
    return tenant or admin


async def _run() -> bool:
    async with open_database(Settings()) as database:
        return await seed(database)


def main() -> None:
    """Seed the database of the settings."""
    made = asyncio.run(_run())
    typer.echo(f"{TENANT_NAME} ({TENANT_SLUG}) and {ADMIN_EMAIL}: {'made' if made else 'there already'}")


if __name__ == "__main__":
    main()
