"""The real model, opened once per session."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from backend.embedded.minilm import MiniLM


@pytest.fixture(scope="session")
async def minilm() -> AsyncGenerator[MiniLM]:
    """The embedder that Numen ships with; shared, so do not close it."""
    embedder = MiniLM()
    await embedder.warm()
    yield embedder
    await embedder.close()
