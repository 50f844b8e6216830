"""What an operator does with the deployment itself: serve, migrate, seed, and the doctor.

Everything heavy is imported inside the commands, so that those which only ask the server start at once.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer


def serve(
    host: Annotated[str | None, typer.Option(help="Listen on this address, whatever NUMEN_HOST says.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Whatever NUMEN_PORT says; 0 takes a free one.")
    ] = None,
) -> None:
    """Start the server, with all it needs.

    Database, migrations, seed and default agents are included. Ctrl-C stops it all.
    """
    from backend.scripts.deployment_settings import read_settings  # noqa: PLC0415 — heavy

    settings = read_settings(host=host, port=port)
    from backend.scripts.serve import serve as run  # noqa: PLC0415 — heavy, and wrong settings should be told at once

    run(settings)


def migrate() -> None:
    """Bring the database's schema up to date."""
    from backend.scripts.deployment_settings import read_settings  # noqa: PLC0415 — heavy
    from backend.scripts.migrate_database import migrate_database  # noqa: PLC0415 — heavy

    applied = asyncio.run(migrate_database(read_settings()))
    typer.echo(f"Applied {', '.join(applied)}." if applied else "The schema is up to date.")


def reindex() -> None:
    """Make the search index of memories anew from the database, as after another NUMEN_EMBEDDER.

    A server that has the index does it; otherwise it is done here and now.
    """
    from backend.scripts.deployment_settings import read_settings  # noqa: PLC0415 — heavy
    from backend.scripts.reindex_memories import reindex_memories, tell_of  # noqa: PLC0415 — heavy
    from backend.telemetry import configure_logging  # noqa: PLC0415 — heavy

    settings = read_settings()
    configure_logging("error", settings.log_format)
    shown = sys.stderr.isatty()

    def tell(waiting: int) -> None:
        if shown:
            typer.echo(f"\r{waiting} to go … ", nl=False, err=True)

    done = asyncio.run(reindex_memories(settings, tell))
    typer.echo(f"{chr(13) if shown else ''}{tell_of(done)}")


def seed(
    update: Annotated[
        bool, typer.Option("--update", help="Bring the default agents to the shipped contracts.")
    ] = False,
) -> None:
    """Make the default tenant, its admin and the default agents. Running it again changes nothing."""
    from backend.scripts.create_default_agents import seed_all  # noqa: PLC0415 — heavy
    from backend.scripts.deployment_settings import read_settings  # noqa: PLC0415 — heavy

    for name, outcome in asyncio.run(seed_all(read_settings(), update=update)).items():
        typer.echo(f"{name}: {outcome}")
