"""Fixtures for everything that speaks or listens."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from backend.tests.protocol_servers.deepgram_server import DeepgramServer
from backend.tests.protocol_servers.elevenlabs_server import ElevenLabsServer


@pytest.fixture(scope="session")
def elevenlabs_server_process() -> Generator[ElevenLabsServer]:
    """The session's server; take `elevenlabs_server` instead, which starts clean."""
    with ElevenLabsServer() as server:
        yield server


@pytest.fixture
def elevenlabs_server(elevenlabs_server_process: ElevenLabsServer) -> Generator[ElevenLabsServer]:
    """A local server that speaks the API of ElevenLabs, with nothing scripted and nothing recorded."""
    elevenlabs_server_process.reset()
    yield elevenlabs_server_process
    elevenlabs_server_process.reset()


@pytest.fixture(scope="session")
def deepgram_server_process() -> Generator[DeepgramServer]:
    """The session's server; take `deepgram_server` instead, which starts clean."""
    with DeepgramServer() as server:
        yield server


@pytest.fixture
def deepgram_server(deepgram_server_process: DeepgramServer) -> Generator[DeepgramServer]:
    """A local server that speaks the API of Deepgram, with nothing scripted and nothing recorded."""
    deepgram_server_process.reset()
    yield deepgram_server_process
    deepgram_server_process.reset()
