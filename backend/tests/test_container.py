"""The house while it is being opened: what is called off leaves nothing open, and nothing running."""

from __future__ import annotations

import asyncio
import gc
import warnings
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from backend.container import SystemClock, open_logins, open_memory
from backend.embedded.postgres import EmbeddedPostgres
from backend.settings import Settings
from backend.stores.database import Database
from backend.telemetry import Metrics
from backend.tests.fixtures_api import api_settings
from backend.tests.protocol_servers.openai_server import OpenAIServer


async def test_called_off_while_an_embedder_is_asked_for_its_dimensions(
    database: Database, database_url: str, tmp_path: Path, openai_server: OpenAIServer
) -> None:
    openai_server.fault("slow_headers")
    settings = api_settings(
        database_url,
        tmp_path / "prompts",
        embedder="openai",
        embedder_model="test-embedder",
        embedder_base_url=openai_server.base_url,
        embedder_api_key=SecretStr("sk-test"),
    )

    async def opened() -> None:
        async with open_memory(settings, database, SystemClock(), Metrics()):
            raise AssertionError("nobody has answered yet")

    with warnings.catch_warnings(record=True, category=ResourceWarning) as unclosed:
        warnings.simplefilter("always")
        opening = asyncio.create_task(opened())
        await asyncio.to_thread(openai_server.wait_for_calls, 1)
        opening.cancel()
        await asyncio.wait([opening])
        assert opening.cancelled()
        gc.collect()
    assert [str(one.message) for one in unclosed] == []


async def test_called_off_while_postgresql_starts(data_folder: Path) -> None:
    values: dict[str, Any] = {"_env_file": None, "database_url": None, "data_dir": data_folder}
    settings = Settings(**values)
    server = EmbeddedPostgres(data_folder)

    async def opened() -> None:
        async with open_logins(settings):
            raise AssertionError("it was called off before")

    opening = asyncio.create_task(opened())
    while server.pid is None:  # noqa: ASYNC110 — a process tells nobody
        await asyncio.sleep(0.005)
    opening.cancel()
    await asyncio.wait([opening])
    assert opening.cancelled()
    assert server.pid is None
