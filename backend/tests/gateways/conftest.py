"""A model at the local server, for every test of the gateways that talks to one."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from backend.gateways.openai_model import OpenAIModel
from backend.tests.gateways.model_requests import FAIR, SettableClock, model
from backend.tests.protocol_servers.openai_server import OpenAIServer


@pytest.fixture
def clock() -> SettableClock:
    """The time that the gateway sees."""
    return SettableClock()


@pytest.fixture
async def provider(openai_server: OpenAIServer, clock: SettableClock) -> AsyncGenerator[OpenAIModel]:
    """A model with roomy deadlines at the local server."""
    provider = model(openai_server.base_url, FAIR, clock)
    yield provider
    await provider.close()
