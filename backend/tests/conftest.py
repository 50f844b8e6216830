"""What every test stands on: no network but this machine, and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from backend.embedded.postgres import EmbeddedPostgres
from backend.tests.fixtures_api import api, served_api
from backend.tests.fixtures_database import clean, database, database_url, emptied, owner, tenant
from backend.tests.fixtures_embedder import minilm
from backend.tests.fixtures_logs import logs, quiet_logs
from backend.tests.fixtures_mcp import mcp_server, mcp_server_process
from backend.tests.fixtures_models import openai_server, openai_server_process
from backend.tests.fixtures_server import running_server
from backend.tests.fixtures_speech import (
    deepgram_server,
    deepgram_server_process,
    elevenlabs_server,
    elevenlabs_server_process,
)
from backend.tests.loopback_only import refuse_the_world
from backend.tests.temporary_folder import temporary_folder

# Fixtures are found by being names of this module.
__all__ = [
    "api",
    "clean",
    "database",
    "database_url",
    "deepgram_server",
    "deepgram_server_process",
    "elevenlabs_server",
    "elevenlabs_server_process",
    "emptied",
    "logs",
    "mcp_server",
    "mcp_server_process",
    "minilm",
    "openai_server",
    "openai_server_process",
    "owner",
    "quiet_logs",
    "running_server",
    "served_api",
    "tenant",
]

# A browser and real seconds are asked for by `make test-browser` only, which names the folder.
collect_ignore = ["browser"]

settings.register_profile("shared machine", deadline=None)  # tests share two cores, an example's time says nothing
settings.load_profile("shared machine")


@pytest.fixture(scope="session", autouse=True)
def loopback_only() -> None:
    """Refuse every connection that leaves this machine."""
    refuse_the_world()


@pytest.fixture(scope="session")
def postgres_server() -> Generator[EmbeddedPostgres]:
    """A server for the whole session, one per worker: make a database of your own in it."""
    with temporary_folder() as folder:
        server = EmbeddedPostgres(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def data_folder() -> Generator[Path]:
    """An empty data folder that the account of PostgreSQL may enter (pytest's own tmp_path is closed to it)."""
    with temporary_folder() as folder:
        yield folder
