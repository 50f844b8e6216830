"""A real browser before a real server, whose providers are local servers that speak the providers' protocols."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncGenerator, Generator

import pytest
from playwright.async_api import Playwright, async_playwright

from backend.tests.browser.caller import Opener
from backend.tests.fixtures_server import NumenServer
from backend.tests.protocol_servers.deepgram_server import DeepgramServer
from backend.tests.protocol_servers.elevenlabs_server import ElevenLabsServer
from backend.tests.protocol_servers.openai_server import OpenAIServer
from backend.tests.temporary_folder import temporary_folder

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser of this machine, or the one that NUMEN_TEST_BROWSER names."""
    names = [named] if (named := os.environ.get("NUMEN_TEST_BROWSER")) else _NAMES
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        none = f"No browser: {', '.join(names)} not found on the path."
        pytest.exit(f"{none} Debian, Ubuntu: apt install chromium; NUMEN_TEST_BROWSER names another.", returncode=1)
    return found


@pytest.fixture(scope="session")
async def playwright() -> AsyncGenerator[Playwright]:
    async with async_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def talking_server(
    openai_server_process: OpenAIServer,
    elevenlabs_server_process: ElevenLabsServer,
    deepgram_server_process: DeepgramServer,
) -> Generator[NumenServer]:
    """`numen serve` in development mode, with its own PostgreSQL and all providers."""
    with temporary_folder() as folder:
        server = NumenServer(
            folder,
            OPENAI_API_KEY="sk-test",
            OPENAI_BASE_URL=openai_server_process.base_url,
            ELEVENLABS_API_KEY="el-test",
            ELEVENLABS_BASE_URL=elevenlabs_server_process.base_url,
            DEEPGRAM_API_KEY="dg-test",
            DEEPGRAM_BASE_URL=deepgram_server_process.base_url,
            NUMEN_MEMORY_EXTRACTION="false",  # it asks the model some time after a turn, and answers are scripted
        )
        try:
            yield server
        finally:
            status = server.stop()
        assert status == 0, server.log


@pytest.fixture
async def opener(playwright: Playwright, chromium: str, talking_server: NumenServer) -> AsyncGenerator[Opener]:
    """Opens browsers, and closes them; each must have been content with its page."""
    with temporary_folder() as folder:
        opener = Opener(playwright, chromium, talking_server.url, folder)
        try:
            yield opener
            await opener.complaints()
        finally:
            await opener.close()
