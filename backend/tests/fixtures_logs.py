"""Logs as the operator gets them: quiet unless a test asks."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import Any

import pytest

from backend.telemetry import configure_logging

Logs = Callable[[], list[dict[str, Any]]]


@pytest.fixture(scope="session", autouse=True)
def quiet_logs() -> None:
    """Warnings and worse, in JSON: the default of structlog draws tracebacks with local variables, for seconds."""
    configure_logging("warning", "json")


@pytest.fixture
def logs(capsys: pytest.CaptureFixture[str]) -> Generator[Logs]:
    """Everything from `info` on that was logged since the last call, line by line."""

    def read() -> list[dict[str, Any]]:
        return [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    configure_logging("info", "json")
    yield read
    configure_logging("warning", "json")
