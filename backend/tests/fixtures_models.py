"""Fixtures for everything that talks to a language model."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from backend.tests.protocol_servers.openai_server import OpenAIServer


@pytest.fixture(scope="session")
def openai_server_process() -> Generator[OpenAIServer]:
    """The session's server; take `openai_server` instead, which starts clean."""
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def openai_server(openai_server_process: OpenAIServer) -> Generator[OpenAIServer]:
    """A local server that speaks the OpenAI API, with nothing scripted and nothing recorded."""
    openai_server_process.reset()
    yield openai_server_process
    openai_server_process.reset()
